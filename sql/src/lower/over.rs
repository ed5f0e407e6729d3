//! Window functions: `OVER` with its partition, order and frames.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};
use millstream_engine::plan::{
    ChangelogMode, Frame, FrameBound, FrameUnits, OperatorSpec, OverCall, OverEmit, OverFunction, OverSpec, SortKey,
};

use super::calls::{aggregate_function, sort_key};
use super::columns::{Extended, extended, narrowed};
use super::rel::Rel;
use super::window::spread;
use super::{Lowering, broken, refuse};
use crate::error::Result;
use crate::query::from_datafusion;
use crate::types::flink_name;

/// A call whose arguments are expressions still.
struct Planned<'a> {
    params: &'a datafusion::logical_expr::expr::WindowFunctionParams,
    function: OverFunction,
    args: Vec<Expr>,
    /// The value of `LAG` and `LEAD` where there is no row.
    default: Option<Expr>,
    frame: Frame,
    ignore_nulls: bool,
    output: FieldRef,
    /// Its place among the plan's window functions.
    place: usize,
}

impl Lowering<'_> {
    /// The rows with the results of window functions behind them.
    pub(super) fn over(&mut self, window: &Window) -> Result<Rel> {
        let input = window.input.schema();
        let width = input.fields().len();
        let mut rel = self.plan(&window.input)?;
        let mut open = Vec::with_capacity(window.window_expr.len());
        for (place, expr) in window.window_expr.iter().enumerate() {
            let output = Arc::clone(&window.schema.fields()[width + place]);
            open.push(planned(expr, output, place, input)?);
        }
        // Calls of one partition and order are computed together; the columns of each such group follow the input.
        let mut places = vec![0; open.len()];
        let mut done = 0;
        while let Some(first) = open.first() {
            let (partition, order) = (first.params.partition_by.clone(), first.params.order_by.clone());
            let same = |call: &Planned<'_>| call.params.partition_by == partition && call.params.order_by == order;
            let (group, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(same);
            open = rest;
            for call in &group {
                places[call.place] = width + done;
                done += 1;
            }
            rel = self.over_group(rel, &group, input, width + done - group.len())?;
        }
        let columns: Vec<usize> = (0..width).chain(places).collect();
        let fields = columns.iter().zip(window.schema.fields());
        let fields: Vec<Field> =
            fields.map(|(&column, named)| rel.schema.field(column).clone().with_name(named.name())).collect();
        Ok(narrowed(rel, &columns, &Arc::new(Schema::new(fields))))
    }

    /// Window functions of one partition and order. `rel` has the input's columns and results of other groups, `width`
    /// columns in all; those of this group follow.
    fn over_group(&mut self, rel: Rel, group: &[Planned<'_>], input: &DFSchema, width: usize) -> Result<Rel> {
        let Some(first) = group.first() else { return Err(broken("no window function")) };
        let (partition_by, order_by) = (&first.params.partition_by, &first.params.order_by);
        let mut exprs: Vec<Expr> = partition_by.clone();
        exprs.extend(order_by.iter().map(|sort| sort.expr.clone()));
        for call in group {
            exprs.extend(call.args.iter().chain(&call.default).cloned());
            exprs.extend(call.params.filter.iter().map(|filter| filter.as_ref().clone()));
        }
        // The results that are there already have no names in the input: only their number counts.
        let padded = padded(input, &rel)?;
        let Extended { rel, columns, .. } = extended(rel, &exprs, &padded, "over")?;
        let mut columns = columns.into_iter();
        let partition: Vec<usize> = columns.by_ref().take(partition_by.len()).collect();
        let order: Vec<SortKey> =
            order_by.iter().zip(columns.by_ref()).map(|(sort, column)| sort_key(sort, column)).collect();
        let mut calls = Vec::with_capacity(group.len());
        for call in group {
            let args: Vec<usize> = columns.by_ref().take(call.args.len()).collect();
            let default = call.default.as_ref().and_then(|_| columns.next());
            let filter = call.params.filter.as_ref().and_then(|_| columns.next());
            calls.push(OverCall {
                function: with_default(call.function.clone(), default),
                args,
                distinct: call.params.distinct,
                frame: call.frame,
                filter,
                ignore_nulls: call.ignore_nulls,
                output: Arc::clone(&call.output),
            });
        }
        let emit = emit(&rel, &order, &calls);
        let retracts = rel.changelog == ChangelogMode::Retract;
        let made = rel.schema.fields().len();
        let fields = rel.schema.fields().iter().cloned().chain(calls.iter().map(|call| Arc::clone(&call.output)));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let mut out = Rel { steps: Vec::new(), ..rel.clone() };
        out.schema = Arc::clone(&schema);
        out.spread = spread(&partition);
        if emit == OverEmit::NetChange {
            out.changelog = ChangelogMode::Retract;
            out.time_column = None;
        }
        let inputs = vec![self.exchange(rel, &partition)];
        let count = calls.len();
        let spec = OverSpec { partition, order, calls, emit, retracts };
        let out = self.node(OperatorSpec::Over(spec), inputs, out);
        // Without the columns that were computed for this group.
        let kept: Vec<usize> = (0..width).chain(made..made + count).collect();
        let fields: Vec<Field> = kept.iter().map(|&column| schema.field(column).clone()).collect();
        Ok(narrowed(out, &kept, &Arc::new(Schema::new(fields))))
    }
}

/// The schema of the input with nameless columns for the results behind it.
fn padded(input: &DFSchema, rel: &Rel) -> Result<DFSchema> {
    let mut named: Vec<_> = input.iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
    for (index, field) in rel.schema.fields().iter().enumerate().skip(named.len()) {
        named.push((None, Arc::new(field.as_ref().clone().with_name(format!("__result{index}")))));
    }
    DFSchema::new_with_metadata(named, Default::default()).map_err(from_datafusion)
}

/// When the rows come out: as soon as they can without being changed later, else as net changes.
fn emit(rel: &Rel, order: &[SortKey], calls: &[OverCall]) -> OverEmit {
    let backwards = calls.iter().all(|call| match &call.function {
        OverFunction::Aggregate(_) | OverFunction::FirstValue | OverFunction::LastValue | OverFunction::NthValue(_) => {
            looks_back(&call.frame)
        }
        OverFunction::RowNumber | OverFunction::Rank | OverFunction::DenseRank => true,
        OverFunction::Lag { offset, .. } => *offset >= 0,
        OverFunction::Lead { offset, .. } => *offset <= 0,
        OverFunction::PercentRank | OverFunction::CumeDist | OverFunction::Ntile(_) => false,
    });
    if rel.changelog == ChangelogMode::Retract || !backwards {
        return OverEmit::NetChange;
    }
    match order {
        [key] if !key.descending && rel.time_column == Some(key.column) => OverEmit::OnWatermark { column: key.column },
        [key] if !key.descending && rel.proctime.contains(&key.column) => OverEmit::OnArrival,
        _ => OverEmit::NetChange,
    }
}

/// Whether a frame reaches no row after the current one.
fn looks_back(frame: &Frame) -> bool {
    let back = |bound: FrameBound| matches!(bound, FrameBound::Preceding(_) | FrameBound::CurrentRow);
    match frame.start {
        FrameBound::UnboundedPreceding => frame.end == FrameBound::CurrentRow,
        FrameBound::Preceding(_) | FrameBound::CurrentRow => back(frame.end),
        FrameBound::Following(_) | FrameBound::UnboundedFollowing => false,
    }
}

fn with_default(function: OverFunction, column: Option<usize>) -> OverFunction {
    match function {
        OverFunction::Lag { offset, .. } => OverFunction::Lag { offset, default: column },
        OverFunction::Lead { offset, .. } => OverFunction::Lead { offset, default: column },
        other => other,
    }
}

fn planned<'a>(expr: &'a Expr, output: FieldRef, place: usize, input: &DFSchema) -> Result<Planned<'a>> {
    let call: &WindowFunction = match expr {
        Expr::WindowFunction(call) => call,
        Expr::Alias(alias) => return planned(&alias.expr, output, place, input),
        _ => return Err(broken("a window function that is none")),
    };
    let params = &call.params;
    let args = params.args.as_slice();
    let ignore_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let mut default = None;
    let (function, args) = match &call.fun {
        WindowFunctionDefinition::AggregateUDF(aggregate) => {
            let name = aggregate.name().to_ascii_lowercase();
            match (name.as_str(), args) {
                // As window functions they see nulls, unless it is said that they do not.
                ("first_value", [arg]) => (OverFunction::FirstValue, vec![arg.clone()]),
                ("last_value", [arg]) => (OverFunction::LastValue, vec![arg.clone()]),
                ("nth_value", [arg, n]) => (OverFunction::NthValue(count(n, "nth_value")?), vec![arg.clone()]),
                _ => {
                    let (function, args) = aggregate_function(&name, args, &[])?;
                    (OverFunction::Aggregate(function), args)
                }
            }
        }
        WindowFunctionDefinition::WindowUDF(function) => {
            let value = || args.first().cloned().ok_or_else(|| broken("a window function without its argument"));
            match function.name() {
                "row_number" => (OverFunction::RowNumber, Vec::new()),
                "rank" => (OverFunction::Rank, Vec::new()),
                "dense_rank" => (OverFunction::DenseRank, Vec::new()),
                "percent_rank" => (OverFunction::PercentRank, Vec::new()),
                "cume_dist" => (OverFunction::CumeDist, Vec::new()),
                "ntile" => (OverFunction::Ntile(count(&value()?, "ntile")?), Vec::new()),
                name @ ("lag" | "lead") => {
                    let offset = args.get(1).map_or(Ok(1), |offset| whole(offset, name))?;
                    default = args.get(2).filter(|default| !is_null(default)).cloned();
                    let function = match name {
                        "lag" => OverFunction::Lag { offset, default: None },
                        _ => OverFunction::Lead { offset, default: None },
                    };
                    (function, vec![value()?])
                }
                "first_value" => (OverFunction::FirstValue, vec![value()?]),
                "last_value" => (OverFunction::LastValue, vec![value()?]),
                "nth_value" => {
                    let n = args.get(1).ok_or_else(|| broken("nth_value without its number"))?;
                    (OverFunction::NthValue(count(n, "nth_value")?), vec![value()?])
                }
                other => return Err(refuse(&format!("the window function {other}"), None)),
            }
        }
    };
    let order = params.order_by.first().map(|sort| sort.expr.get_type(input)).transpose().map_err(from_datafusion)?;
    let frame = frame(&params.window_frame, order.as_ref())?;
    Ok(Planned { params, function, args, default, frame, ignore_nulls, output, place })
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn whole(expr: &Expr, name: &str) -> Result<i64> {
    let value = match expr {
        Expr::Literal(value, _) => value.cast_to(&DataType::Int64).ok(),
        Expr::Negative(inner) => return Ok(-whole(inner, name)?),
        _ => None,
    };
    match value {
        Some(ScalarValue::Int64(Some(value))) => Ok(value),
        _ => Err(refuse(&format!("{name} with an offset that is no literal"), None)),
    }
}

fn count(expr: &Expr, name: &str) -> Result<u64> {
    u64::try_from(whole(expr, name)?).map_err(|_| refuse(&format!("{name} of a negative number"), None))
}

/// A frame; offsets of RANGE over times are spans.
fn frame(frame: &WindowFrame, order: Option<&DataType>) -> Result<Frame> {
    let units = match frame.units {
        WindowFrameUnits::Rows => FrameUnits::Rows,
        WindowFrameUnits::Range => FrameUnits::Range,
        WindowFrameUnits::Groups => FrameUnits::Groups,
    };
    let offset = |value: &ScalarValue| offset(value, units, order);
    let start = match &frame.start_bound {
        WindowFrameBound::Preceding(value) if value.is_null() => FrameBound::UnboundedPreceding,
        WindowFrameBound::Preceding(value) => FrameBound::Preceding(offset(value)?),
        WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
        WindowFrameBound::Following(value) => FrameBound::Following(offset(value)?),
    };
    let end = match &frame.end_bound {
        WindowFrameBound::Preceding(value) => FrameBound::Preceding(offset(value)?),
        WindowFrameBound::CurrentRow => FrameBound::CurrentRow,
        WindowFrameBound::Following(value) if value.is_null() => FrameBound::UnboundedFollowing,
        WindowFrameBound::Following(value) => FrameBound::Following(offset(value)?),
    };
    Ok(Frame { units, start, end })
}

fn offset(value: &ScalarValue, units: FrameUnits, order: Option<&DataType>) -> Result<i64> {
    if let (FrameUnits::Range, Some(of)) = (units, order)
        && !matches!(of, DataType::Timestamp(..) | DataType::Date32)
        && (!of.is_integer() || *of == DataType::UInt64)
    {
        return Err(refuse(&format!("RANGE with an offset over a column of type {}", flink_name(of)), None));
    }
    let timed = units == FrameUnits::Range && order.is_some_and(DataType::is_temporal);
    let span = match value {
        ScalarValue::IntervalDayTime(Some(span)) if timed => {
            Some(i64::from(span.days) * 86_400_000_000 + i64::from(span.milliseconds) * 1_000)
        }
        ScalarValue::IntervalMonthDayNano(Some(span)) if timed && span.months == 0 => {
            Some(i64::from(span.days) * 86_400_000_000 + span.nanoseconds / 1_000)
        }
        _ if timed => None,
        other => match other.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(offset)) => offset,
            _ => None,
        },
    };
    span.filter(|span| *span >= 0).ok_or_else(|| refuse(&format!("a frame with the offset {value}"), None))
}
