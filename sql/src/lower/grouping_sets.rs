//! `GROUPING SETS`, `ROLLUP` and `CUBE`: the rows once for each set, with the keys that are not of it null and the number of
//! the set as one more key.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, lit};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{ChangelogMode, Input, NodeId, OperatorSpec, Partitioning, StatelessSpec, Step};

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
        if windowed {
            let expanded = self.expand(prepared, &sets)?;
            return self.attached_windows(expanded, &aggregate.schema);
        }
        // A set without keys has one row even where there is no input.
        let (whole, keyed): (Vec<Set>, Vec<Set>) = sets.into_iter().partition(|set| !set.has.contains(&true));
        if whole.is_empty() {
            let expanded = self.expand(prepared, &keyed)?;
            return Ok(self.emit_groups(expanded, &aggregate.schema));
        }
        let mut rel = prepared.rel.clone();
        rel.node = self.settle(rel.clone());
        rel.steps = Vec::new();
        let prepared = Prepared { rel, ..prepared };
        let mut parts = vec![self.of_all_rows(&prepared, &whole, &aggregate.schema)?];
        if !keyed.is_empty() {
            let expanded = self.expand(prepared, &keyed)?;
            parts.push(self.emit_groups(expanded, &aggregate.schema));
        }
        Ok(self.united(parts))
    }

    /// The rows of sets without keys: those of one aggregation of all rows, once for each set.
    fn of_all_rows(&mut self, prepared: &Prepared, sets: &[Set], schema: &DFSchemaRef) -> Result<Rel> {
        let Prepared { rel, grouping, keys, calls, extra } = prepared;
        let key_types = grouping.iter().map(|place| match place {
            Ok(key) => keys.get(*key).map(|&key| rel.schema.field(key).data_type().clone()),
            Err(_) => None,
        });
        let key_types = key_types.collect::<Option<Vec<_>>>().ok_or_else(|| broken("a key that is not there"))?;
        let all = Prepared {
            rel: rel.clone(),
            grouping: Vec::new(),
            keys: Vec::new(),
            calls: calls.clone(),
            extra: extra.clone(),
        };
        let rel = self.emit_groups(all, schema);
        let mut parts = Vec::with_capacity(sets.len());
        for set in sets {
            let mut exprs = Vec::with_capacity(schema.fields().len());
            for data_type in &key_types {
                exprs.push(constant(ScalarValue::try_from(data_type).map_err(from_datafusion)?)?);
            }
            exprs.push(constant(set.id.clone())?);
            exprs.extend((0..calls.len()).map(|column| Scalar::column(&rel.schema, column)));
            let types = key_types.iter().cloned().chain([set.id.data_type()]);
            let types = types.chain(calls.iter().map(|call| call.output.data_type().clone()));
            let fields = schema.fields().iter().zip(types);
            let fields: Vec<Field> = fields.map(|(named, of)| Field::new(named.name(), of, true)).collect();
            let made = Arc::new(Schema::new(fields));
            let mut of_set = rel.clone();
            of_set.steps.push(Step::Project { exprs, schema: Arc::clone(&made) });
            of_set.schema = made;
            parts.push(of_set);
        }
        Ok(self.united(parts))
    }

    /// All rows of parts that change.
    fn united(&mut self, mut parts: Vec<Rel>) -> Rel {
        if parts.len() < 2
            && let Some(only) = parts.pop()
        {
            return only;
        }
        let schema = parts.first().map_or_else(|| Arc::new(Schema::empty()), |part| Arc::clone(&part.schema));
        let mut inputs = Vec::with_capacity(parts.len());
        for part in parts {
            inputs.push(Input { from: self.settle(part), partitioning: Partitioning::Forward });
        }
        let out = Rel { changelog: ChangelogMode::Retract, ..Rel::new(NodeId(0), schema) };
        self.node(OperatorSpec::Union, inputs, out)
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
