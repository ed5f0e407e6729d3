//! The first rows of an order: filters over ROW_NUMBER, RANK and DENSE_RANK (Top-N and deduplication), LIMIT.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Sort, WindowFunction};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, FetchType, Filter, Limit, LogicalPlan, Operator, SkipType, WindowFunctionDefinition, lit,
};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{ChangelogMode, OperatorSpec, RankEmit, RankFunction, RankSpec, SortKey, Step};

use super::calls::sort_key;
use super::columns::{Extended, extended, narrowed};
use super::rel::Rel;
use super::window::spread;
use super::{Lowering, column_of, refuse, row};
use crate::error::Result;
use crate::query::from_datafusion;

/// A numbering under a filter, and what stands between them, the filter's input first.
struct Numbering<'a> {
    function: RankFunction,
    call: &'a WindowFunction,
    window: &'a datafusion::logical_expr::Window,
    between: Vec<&'a LogicalPlan>,
}

/// Ranks from the first to the second, inclusive.
type Bounds = (u64, u64);

impl Lowering<'_> {
    /// A filter that bounds a rank, where it is one. `needed`: the columns of its output that somebody reads.
    pub(super) fn top_n(&mut self, filter: &Filter, needed: Option<&BTreeSet<usize>>) -> Result<Option<Rel>> {
        let schema = filter.input.schema();
        let conjuncts = split_conjunction(&filter.predicate);
        let Some((rank, numbering)) = conjuncts.iter().find_map(|conjunct| {
            let column = compared(conjunct, schema)?.0;
            Some((column, numbering(&filter.input, column)?))
        }) else {
            return Ok(None);
        };
        let (mut bounds, mut others): (Bounds, Vec<&Expr>) = ((1, u64::MAX), Vec::new());
        for conjunct in conjuncts {
            match compared(conjunct, schema).filter(|(column, ..)| *column == rank) {
                Some((_, op, value)) => match narrowed_by(bounds, op, value) {
                    Some(narrower) => bounds = narrower,
                    None => others.push(conjunct),
                },
                None => others.push(conjunct),
            }
        }
        if bounds.1 == u64::MAX {
            return Ok(None);
        }
        let reads_rank =
            |expr: &&Expr| expr.column_refs().iter().any(|column| schema.maybe_index_of_column(column) == Some(rank));
        let wanted = needed.is_none_or(|needed| needed.contains(&rank)) || others.iter().any(reads_rank);
        let mut rel = self.rank_of(&numbering, bounds, wanted)?;
        for plan in numbering.between.iter().rev() {
            if let LogicalPlan::Projection(projection) = plan {
                rel = row::project(rel, &projection.expr, projection.input.schema(), &projection.schema)?;
            }
        }
        for other in others {
            rel.steps.push(Step::Filter(Scalar::compile(other, schema)?));
        }
        Ok(Some(rel))
    }

    /// The rows of the numbering's input whose rank is within bounds, with the rank behind them; null where it is not
    /// wanted.
    fn rank_of(&mut self, numbering: &Numbering<'_>, bounds: Bounds, wanted: bool) -> Result<Rel> {
        let params = &numbering.call.params;
        let rel = self.plan(&numbering.window.input)?;
        let input = numbering.window.input.schema();
        let rank = numbering.window.schema.field(input.fields().len());
        let constant = match (bounds.0 == bounds.1 && numbering.function == RankFunction::RowNumber, wanted) {
            (true, _) => Some(ScalarValue::UInt64(Some(bounds.0))),
            (false, false) => Some(ScalarValue::UInt64(None)),
            (false, true) => None,
        };
        let column: Option<FieldRef> = constant.is_none().then(|| Arc::clone(rank));
        let ranked =
            self.rank(rel, &params.partition_by, &params.order_by, numbering.function, bounds, column, input)?;
        let made = numbering.window.schema.inner();
        let width = input.fields().len();
        let Some(constant) = constant else {
            let last = ranked.schema.fields().len() - 1;
            return Ok(narrowed(ranked, &(0..width).chain([last]).collect::<Vec<_>>(), made));
        };
        let constant = constant.cast_to(rank.data_type()).map_err(from_datafusion)?;
        let mut exprs: Vec<Scalar> = (0..width).map(|column| Scalar::column(&ranked.schema, column)).collect();
        exprs.push(Scalar::compile(&lit(constant), &DFSchema::empty())?);
        let from: Vec<Option<usize>> = (0..=width).map(|column| (column < width).then_some(column)).collect();
        let mut fields: Vec<Field> = made.fields().iter().map(|field| field.as_ref().clone()).collect();
        if let Some(last) = fields.last_mut() {
            last.set_nullable(true);
        }
        let made = Arc::new(Schema::new(fields));
        let mut steps = ranked.steps.clone();
        steps.push(Step::Project { exprs, schema: Arc::clone(&made) });
        let mut out = ranked.mapped(&from, made);
        out.steps = steps;
        Ok(out)
    }

    /// Adds a rank. Output: the columns of the input, computed ones behind them, then the rank's where it is asked for.
    #[expect(clippy::too_many_arguments, reason = "the parts of an OVER clause")]
    fn rank(
        &mut self,
        rel: Rel,
        partition_by: &[Expr],
        order_by: &[Sort],
        function: RankFunction,
        (from, to): Bounds,
        rank_column: Option<FieldRef>,
        input: &DFSchema,
    ) -> Result<Rel> {
        let exprs: Vec<Expr> =
            partition_by.iter().cloned().chain(order_by.iter().map(|sort| sort.expr.clone())).collect();
        let Extended { rel, columns, .. } = extended(rel, &exprs, input, "rank")?;
        let (partition, ordered) = columns.split_at(partition_by.len());
        let order: Vec<SortKey> = order_by.iter().zip(ordered).map(|(sort, &column)| sort_key(sort, column)).collect();
        let mut partition = partition.to_vec();
        partition.sort_unstable();
        partition.dedup();
        let (append, ttl_us) = (rel.changelog == ChangelogMode::Append, self.ttl_us(&rel));
        let window_end = partition
            .iter()
            .copied()
            .find(|column| rel.window.end.contains(column))
            .filter(|_| !rel.emit.updates() && partition.iter().any(|column| rel.window.start.contains(column)));
        let first = function == RankFunction::RowNumber && (from, to) == (1, 1);
        let emit = match (order.as_slice(), rel.time_column) {
            ([key], Some(time_column)) if append && first && !key.descending && key.column == time_column => {
                RankEmit::OnWatermark { time_column }
            }
            ([key], _) if append && first && rel.proctime.contains(&key.column) => match key.descending {
                true => RankEmit::LastArrival,
                false => RankEmit::FirstArrival,
            },
            _ => RankEmit::NetChange,
        };
        let mut out = rel.clone();
        out.steps = Vec::new();
        let changes = matches!(emit, RankEmit::NetChange | RankEmit::LastArrival);
        if window_end.is_some() {
            // Out of a window that has closed nothing is taken back.
            out.changelog = ChangelogMode::Append;
        } else if changes {
            out.changelog = ChangelogMode::Retract;
        }
        out.stream_key = first.then(|| partition.clone()).or(out.stream_key);
        out.spread = spread(&partition);
        if let Some(column) = &rank_column {
            let fields = rel.schema.fields().iter().cloned().chain([Arc::clone(column)]);
            out.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        }
        let inputs = vec![self.exchange(rel, &partition)];
        let spec =
            RankSpec { function, partition, order, from, to, rank_column, retracts: !append, ttl_us, emit, window_end };
        Ok(self.node(OperatorSpec::Rank(spec), inputs, out))
    }

    /// `LIMIT` and `OFFSET`, with the order below them.
    pub(super) fn limit(&mut self, limit: &Limit) -> Result<Rel> {
        let skip = match limit.get_skip_type().map_err(from_datafusion)? {
            SkipType::Literal(skip) => skip as u64,
            SkipType::UnsupportedExpr => return Err(refuse("OFFSET of an expression", None)),
        };
        let to = match limit.get_fetch_type().map_err(from_datafusion)? {
            FetchType::Literal(Some(fetch)) => skip.saturating_add(fetch as u64),
            FetchType::Literal(None) => u64::MAX,
            FetchType::UnsupportedExpr => return Err(refuse("LIMIT of an expression", None)),
        };
        self.limited(&limit.input, (skip + 1, to))
    }

    fn limited(&mut self, plan: &LogicalPlan, bounds: Bounds) -> Result<Rel> {
        let (order, input): (&[Sort], &LogicalPlan) = match plan {
            LogicalPlan::Projection(projection) => {
                let rel = self.limited(&projection.input, bounds)?;
                return row::project(rel, &projection.expr, projection.input.schema(), &projection.schema);
            }
            LogicalPlan::SubqueryAlias(alias) => return self.limited(&alias.input, bounds),
            LogicalPlan::Sort(sort) => (&sort.expr, &sort.input),
            other => (&[], other),
        };
        let rel = self.plan(input)?;
        let schema = Arc::clone(&rel.schema);
        let ranked = self.rank(rel, &[], order, RankFunction::RowNumber, bounds, None, input.schema())?;
        Ok(narrowed(ranked, &(0..schema.fields().len()).collect::<Vec<_>>(), &schema))
    }
}

/// The numbering that a column of a plan is, where only projections stand over it.
fn numbering(plan: &LogicalPlan, column: usize) -> Option<Numbering<'_>> {
    let (mut plan, mut column, mut between) = (plan, column, Vec::new());
    loop {
        match plan {
            LogicalPlan::Projection(projection) => {
                between.push(plan);
                column = column_of(projection.expr.get(column)?, projection.input.schema())?;
                plan = &projection.input;
            }
            LogicalPlan::SubqueryAlias(alias) => plan = &alias.input,
            LogicalPlan::Window(window) => {
                let index = column.checked_sub(window.input.schema().fields().len())?;
                let [Expr::WindowFunction(call)] = window.window_expr.as_slice() else { return None };
                let function = rank_function(call).filter(|_| index == 0)?;
                return Some(Numbering { function, call, window, between });
            }
            _ => return None,
        }
    }
}

fn rank_function(call: &WindowFunction) -> Option<RankFunction> {
    let WindowFunctionDefinition::WindowUDF(function) = &call.fun else { return None };
    match function.name() {
        "row_number" => Some(RankFunction::RowNumber),
        "rank" => Some(RankFunction::Rank),
        "dense_rank" => Some(RankFunction::DenseRank),
        _ => None,
    }
}

/// A comparison of a column with a whole number: `column op number`.
fn compared(expr: &Expr, schema: &DFSchema) -> Option<(usize, Operator, i128)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    if let (Some(column), Some(value)) = (column_of(uncast(left), schema), whole(right)) {
        return Some((column, *op, value));
    }
    let (column, value) = (column_of(uncast(right), schema)?, whole(left)?);
    Some((column, op.swap()?, value))
}

/// The expression without a conversion between whole numbers.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if cast.field.data_type().is_integer() => &cast.expr,
        other => other,
    }
}

fn whole(expr: &Expr) -> Option<i128> {
    let Expr::Literal(value, _) = expr else { return None };
    if !value.data_type().is_integer() {
        return None;
    }
    match value.cast_to(&DataType::Decimal128(38, 0)).ok()? {
        ScalarValue::Decimal128(value, ..) => value,
        _ => None,
    }
}

/// Bounds with a comparison put in; `None` where it is none of a range.
fn narrowed_by((from, to): Bounds, op: Operator, value: i128) -> Option<Bounds> {
    let rank = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX - 1);
    Some(match op {
        Operator::LtEq => (from, to.min(rank(value))),
        Operator::Lt => (from, to.min(rank(value - 1))),
        Operator::GtEq => (from.max(rank(value)), to),
        Operator::Gt => (from.max(rank(value + 1)), to),
        Operator::Eq => (from.max(rank(value)), to.min(rank(value))),
        _ => return None,
    })
}

/// The columns of a filter's output that a projection over it reads.
pub(super) fn read_by(exprs: &[Expr], schema: &DFSchema) -> BTreeSet<usize> {
    let columns = exprs.iter().flat_map(Expr::column_refs);
    columns.filter_map(|column| schema.maybe_index_of_column(column)).collect()
}
