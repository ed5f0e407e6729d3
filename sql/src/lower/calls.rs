//! What an aggregation computes: its keys, arguments and filters as columns of its input, its aggregates as calls over them.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{NullTreatment, Sort};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{AggregateCall, AggregateFunction, PairStatistic, Percentile, SortKey, Step};

use super::rel::{Rel, WindowColumns};
use super::{broken, column_of, refuse};
use crate::error::Result;

/// Which column of a window a grouping expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Start,
    End,
    Time,
}

/// A grouping expression: a key, or a column of the window.
pub(super) type Grouping = std::result::Result<usize, Part>;

/// An aggregation whose keys, arguments and filters are columns of its input.
pub(super) struct Prepared {
    /// The input with those columns.
    pub(super) rel: Rel,
    /// For each grouping expression its key (an index into `keys`) or the window's column that it is.
    pub(super) grouping: Vec<Grouping>,
    pub(super) keys: Vec<usize>,
    pub(super) calls: Vec<AggregateCall>,
    /// Extra columns that were asked for, in order.
    pub(super) extra: Vec<usize>,
}

/// Which column of a window a column is.
pub(super) fn part_of(window: &WindowColumns, column: usize) -> Option<Part> {
    if window.start.contains(&column) {
        Some(Part::Start)
    } else if window.end.contains(&column) {
        Some(Part::End)
    } else if window.time.contains(&column) {
        Some(Part::Time)
    } else {
        None
    }
}

/// Projects the input of an aggregation to its keys, arguments and filters (and the `extra` columns).
pub(super) fn prepare(
    mut rel: Rel,
    group: &[Expr],
    parts: &[Option<Part>],
    aggregates: &[Expr],
    extra: &[usize],
    input: &DFSchema,
    output: &DFSchemaRef,
) -> Result<Prepared> {
    let mut columns = ColumnList { exprs: Vec::new(), places: HashMap::new() };
    let (mut grouping, mut keys) = (Vec::new(), Vec::new());
    for (expr, part) in group.iter().zip(parts) {
        grouping.push(match part {
            Some(part) => Err(*part),
            None => {
                let column = columns.place(expr);
                let known = keys.iter().position(|key| *key == column);
                Ok(known.unwrap_or_else(|| {
                    keys.push(column);
                    keys.len() - 1
                }))
            }
        });
    }
    let mut calls = Vec::with_capacity(aggregates.len());
    // The aggregates stand last, behind the grouping expressions and, of grouping sets, their number.
    let first = output.fields().len() - aggregates.len();
    for (expr, field) in aggregates.iter().zip(output.fields().iter().skip(first)) {
        calls.push(call(expr, Arc::clone(field), &mut columns)?);
    }
    let column_exprs: Vec<Expr> = extra.iter().map(|&column| Expr::from(input.qualified_field(column))).collect();
    let extra = column_exprs.iter().map(|expr| columns.place(expr)).collect();
    let from: Vec<Option<usize>> = columns.exprs.iter().map(|expr| column_of(expr, input)).collect();
    let mut exprs = Vec::with_capacity(columns.exprs.len());
    let mut fields = Vec::with_capacity(columns.exprs.len());
    for (expr, of) in columns.exprs.iter().zip(&from) {
        let (scalar, field) = match of {
            Some(column) => (Scalar::column(&rel.schema, *column), rel.schema.field(*column).clone()),
            None => {
                let scalar = Scalar::compile(expr, input)?;
                let data_type = scalar.data_type(&rel.schema)?;
                (scalar, Field::new(expr.to_string(), data_type, true))
            }
        };
        fields.push(field.with_nullable(true));
        exprs.push(scalar);
    }
    let schema = Arc::new(Schema::new(fields));
    let mut steps = std::mem::take(&mut rel.steps);
    steps.push(Step::Project { exprs, schema: Arc::clone(&schema) });
    let mut rel = rel.mapped(&from, schema);
    rel.steps = steps;
    Ok(Prepared { rel, grouping, keys, calls, extra })
}

/// The columns that an aggregation needs, each once.
struct ColumnList {
    exprs: Vec<Expr>,
    places: HashMap<Expr, usize>,
}

impl ColumnList {
    fn place(&mut self, expr: &Expr) -> usize {
        let expr = expr.clone().unalias();
        *self.places.entry(expr).or_insert_with_key(|expr| {
            self.exprs.push(expr.clone());
            self.exprs.len() - 1
        })
    }
}

/// An aggregate expression as a call over columns.
fn call(expr: &Expr, output: FieldRef, columns: &mut ColumnList) -> Result<AggregateCall> {
    let expr = expr.clone().unalias();
    let Expr::AggregateFunction(aggregate) = &expr else { return Err(broken("an aggregate that is none")) };
    let name = aggregate.func.name().to_ascii_lowercase();
    let params = &aggregate.params;
    let (function, arguments) = function(&name, &params.args, &params.order_by)?;
    if params.null_treatment == Some(NullTreatment::RespectNulls) && function != AggregateFunction::ArrayAgg {
        return Err(refuse(&format!("RESPECT NULLS in {name}"), None));
    }
    let args = match arguments {
        [Expr::Literal(value, _)] if function == AggregateFunction::Count && !value.is_null() => Vec::new(),
        args => args.iter().map(|arg| columns.place(arg)).collect(),
    };
    let ordered = match function {
        AggregateFunction::PercentileCont(_) | AggregateFunction::PercentileDisc(_) => &[][..],
        _ => params.order_by.as_slice(),
    };
    let order_by = ordered.iter().map(|sort| sort_key(sort, columns.place(&sort.expr))).collect();
    let filter = params.filter.as_ref().map(|filter| columns.place(filter));
    Ok(AggregateCall { function, args, order_by, distinct: params.distinct, filter, output })
}

/// The order of a sort expression whose value is in `column`.
pub(super) fn sort_key(sort: &Sort, column: usize) -> SortKey {
    SortKey { column, descending: !sort.asc, nulls_first: sort.nulls_first }
}

/// The aggregate of that name over expressions: those of its arguments that are columns.
///
/// # Errors
/// Where there is none of that name, or a literal is missing.
pub(super) fn aggregate_function(name: &str, args: &[Expr], order: &[Sort]) -> Result<(AggregateFunction, Vec<Expr>)> {
    let (function, rest) = function(name, args, order)?;
    Ok(match rest {
        [Expr::Literal(value, _)] if function == AggregateFunction::Count && !value.is_null() => (function, Vec::new()),
        rest => (function, rest.to_vec()),
    })
}

/// The aggregate of that name, and those of its arguments that are columns.
fn function<'e>(name: &str, args: &'e [Expr], order: &[Sort]) -> Result<(AggregateFunction, &'e [Expr])> {
    let function = match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" | "mean" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "first_value" | "any_value" => AggregateFunction::FirstValue,
        "last_value" => AggregateFunction::LastValue,
        "stddev" | "stddev_samp" => AggregateFunction::StddevSamp,
        "stddev_pop" => AggregateFunction::StddevPop,
        "var" | "var_samp" | "var_sample" => AggregateFunction::VarSamp,
        "var_pop" | "var_population" => AggregateFunction::VarPop,
        "bool_and" => AggregateFunction::BoolAnd,
        "bool_or" => AggregateFunction::BoolOr,
        "bit_and" => AggregateFunction::BitAnd,
        "bit_or" => AggregateFunction::BitOr,
        "bit_xor" => AggregateFunction::BitXor,
        "approx_distinct" => AggregateFunction::ApproxCountDistinct,
        "array_agg" => AggregateFunction::ArrayAgg,
        "median" | "approx_median" => AggregateFunction::Median,
        "string_agg" => {
            let (separator, args) = literal_behind(name, args)?;
            let separator = separator.and_then(|value| value.try_as_str().flatten().map(str::to_owned));
            return Ok((AggregateFunction::StringAgg { separator: separator.unwrap_or_default() }, args));
        }
        "percentile_cont" | "percentile_disc" | "quantile_cont" | "approx_percentile_cont" => {
            let (fraction, args) = literal_behind(name, args)?;
            let fraction = fraction.and_then(|value| value.cast_to(&arrow::datatypes::DataType::Float64).ok());
            let Some(ScalarValue::Float64(Some(fraction))) = fraction else {
                return Err(refuse(&format!("{name} without a fraction"), None));
            };
            let descending = order.first().is_some_and(|sort| !sort.asc);
            let percentile = Percentile { fraction, descending };
            let cont = name != "percentile_disc";
            let function = if cont { AggregateFunction::PercentileCont } else { AggregateFunction::PercentileDisc };
            return Ok((function(percentile), args));
        }
        other => match pair_statistic(other) {
            Some(statistic) => AggregateFunction::OfPairs(statistic),
            None => return Err(refuse(&format!("the aggregate {other}"), None)),
        },
    };
    Ok((function, args))
}

fn pair_statistic(name: &str) -> Option<PairStatistic> {
    Some(match name {
        "covar_pop" => PairStatistic::CovarPop,
        "covar_samp" | "covar" => PairStatistic::CovarSamp,
        "corr" => PairStatistic::Corr,
        "regr_slope" => PairStatistic::RegrSlope,
        "regr_intercept" => PairStatistic::RegrIntercept,
        "regr_count" => PairStatistic::RegrCount,
        "regr_r2" => PairStatistic::RegrR2,
        "regr_avgx" => PairStatistic::RegrAvgX,
        "regr_avgy" => PairStatistic::RegrAvgY,
        "regr_sxx" => PairStatistic::RegrSxx,
        "regr_syy" => PairStatistic::RegrSyy,
        "regr_sxy" => PairStatistic::RegrSxy,
        _ => return None,
    })
}

/// The literal that follows the one argument that is a column.
fn literal_behind<'e>(name: &str, args: &'e [Expr]) -> Result<(Option<ScalarValue>, &'e [Expr])> {
    match args {
        [_] => Ok((None, args)),
        [_, literal, ..] => match literal {
            Expr::Literal(value, _) => Ok((Some(value.clone()), &args[..1])),
            _ => Err(refuse(&format!("{name} with an argument that is no literal"), None)),
        },
        [] => Err(broken("an aggregate without arguments")),
    }
}
