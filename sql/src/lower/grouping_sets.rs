//! `GROUPING SETS`, `ROLLUP` and `CUBE`: the rows once for each set, with the keys that are not of it null and the number of
//! the set as one more key.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, lit};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{Input, NodeId, OperatorSpec, Partitioning, StatelessSpec, Step};

use super::aggregate::window_ends;
use super::calls::{Part, Prepared, part_of, prepare};
use super::rel::{Rel, WindowColumns};
use super::{Lowering, broken, column_of};
use crate::error::Result;
use crate::query::from_datafusion;

/// One set: which of the grouping expressions it has, and the number that tells it from the others.
struct Set {
    has: Vec<bool>,
    id: ScalarValue,
}

impl Lowering<'_> {
    pub(super) fn grouping_sets(&mut self, aggregate: &Aggregate, sets: &GroupingSet) -> Result<Rel> {
        let exprs: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
        let sets = numbered(&exprs, &listed(sets), aggregate)?;
        let rel = self.plan(&aggregate.input)?;
        let input = aggregate.input.schema();
        let mut parts: Vec<Option<Part>> =
            exprs.iter().map(|expr| column_of(expr, input).and_then(|column| part_of(&rel.window, column))).collect();
        let in_all = |part: Part| {
            let of_part = |(has, of): (&bool, &Option<Part>)| *has && *of == Some(part);
            sets.iter().all(|set| set.has.iter().zip(&parts).any(of_part))
        };
        let windowed = in_all(Part::Start) && in_all(Part::End);
        // A part of the window that some sets leave out is a key as others.
        for (index, part) in parts.iter_mut().enumerate() {
            if !windowed || !sets.iter().all(|set| set.has.get(index) == Some(&true)) {
                *part = None;
            }
        }
        let ends = if windowed { window_ends(&rel)?.to_vec() } else { Vec::new() };
        let prepared = prepare(rel, &exprs, &parts, &aggregate.aggr_expr, &ends, input, &aggregate.schema)?;
        let expanded = self.expand(prepared, &sets)?;
        if windowed {
            return self.attached_windows(expanded, &aggregate.schema);
        }
        Ok(self.emit_groups(expanded, &aggregate.schema))
    }

    /// The rows once for each set. The keys are copied, since arguments may be the same columns.
    fn expand(&mut self, prepared: Prepared, sets: &[Set]) -> Result<Prepared> {
        let Prepared { rel, mut grouping, keys, calls, extra } = prepared;
        let width = rel.schema.fields().len();
        let (changelog, time_column, window) = (rel.changelog, rel.time_column, rel.window.clone());
        let (emit, ttl_us) = (rel.emit, rel.ttl_us);
        let schema = Arc::clone(&rel.schema);
        let from = self.settle(rel);
        let mut fields: Vec<Field> = schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.extend(keys.iter().map(|&key| schema.field(key).clone().with_nullable(true)));
        let Some(first) = sets.first() else { return Err(broken("no grouping sets")) };
        fields.push(Field::new(Aggregate::INTERNAL_GROUPING_ID, first.id.data_type(), false));
        let made = Arc::new(Schema::new(fields));
        let mut inputs = Vec::with_capacity(sets.len());
        for set in sets {
            let mut exprs: Vec<Scalar> = (0..width).map(|column| Scalar::column(&schema, column)).collect();
            for (index, &key) in keys.iter().enumerate() {
                let used = grouping.iter().zip(&set.has).any(|(place, has)| *has && *place == Ok(index));
                exprs.push(match used {
                    true => Scalar::column(&schema, key),
                    false => constant(ScalarValue::try_from(schema.field(key).data_type()).map_err(from_datafusion)?)?,
                });
            }
            exprs.push(constant(set.id.clone())?);
            let spec = StatelessSpec { steps: vec![Step::Project { exprs, schema: Arc::clone(&made) }] };
            let input = vec![Input { from, partitioning: Partitioning::Forward }];
            let of_set = Rel { changelog, time_column, emit, ttl_us, ..Rel::new(NodeId(0), Arc::clone(&made)) };
            let node = self.node(OperatorSpec::Stateless(spec), input, of_set).node;
            inputs.push(Input { from: node, partitioning: Partitioning::Forward });
        }
        let mut out = Rel { changelog, time_column, emit, ttl_us, ..Rel::new(NodeId(0), made) };
        out.window = WindowColumns { start: window.start, end: window.end, time: window.time };
        let rel = self.node(OperatorSpec::Union, inputs, out);
        grouping.push(Ok(keys.len()));
        let keys = (width..=width + keys.len()).collect();
        Ok(Prepared { rel, grouping, keys, calls, extra })
    }
}

fn constant(value: ScalarValue) -> Result<Scalar> {
    Ok(Scalar::compile(&lit(value), &DFSchema::empty())?)
}

/// The sets one by one.
fn listed(sets: &GroupingSet) -> Vec<Vec<Expr>> {
    match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(exprs) => (0..=exprs.len()).rev().map(|len| exprs[..len].to_vec()).collect(),
        GroupingSet::Cube(exprs) => {
            let subset = |bits: usize| {
                let of = exprs.iter().enumerate().filter(|(index, _)| bits & (1 << index) != 0);
                of.map(|(_, expr)| expr.clone()).collect()
            };
            (0..1_usize << exprs.len().min(usize::BITS as usize - 1)).map(subset).collect()
        }
    }
}

/// The sets with their numbers: a bit for each expression that is left out, the last one lowest; above those bits how
/// often the same set came before.
fn numbered(exprs: &[Expr], sets: &[Vec<Expr>], aggregate: &Aggregate) -> Result<Vec<Set>> {
    let id_type = aggregate.schema.field(exprs.len()).data_type();
    let mut seen: HashMap<Vec<bool>, u64> = HashMap::new();
    sets.iter()
        .map(|set| {
            let has: Vec<bool> = exprs.iter().map(|expr| set.contains(expr)).collect();
            let mask = has.iter().fold(0_u64, |mask, has| mask << 1 | u64::from(!has));
            let before = seen.entry(has.clone()).or_default();
            let id = *before << exprs.len() | mask;
            *before += 1;
            let id = ScalarValue::UInt64(Some(id)).cast_to(id_type).map_err(from_datafusion)?;
            Ok(Set { has, id })
        })
        .collect()
}
