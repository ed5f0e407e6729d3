//! Where Flink and PostgreSQL disagree on a result, the plan is rewritten so that streaming and batch both give what
//! `sql.semantics` says. The list of differences is in `docs/semantics.md`.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result as PlanResult, ScalarValue};
use datafusion::functions::math::expr_fn::round;
use datafusion::logical_expr::expr::NullTreatment;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Like, LogicalPlan, LogicalPlanBuilder, Operator, WindowFunctionDefinition, cast,
    lit, not,
};

use super::types::type_of;
use super::{from_datafusion, java, rewrite};
use crate::catalog::Semantics;
use crate::error::Result;
use crate::functions::{LIKE_PATTERN, checked, in_flink, looking, regexp_extracts, registry, whole_number, wrapping};

/// What whole numbers are averaged in, so that the mean has a scale of 16.
const MEAN: DataType = DataType::Decimal128(38, 12);
/// What whole numbers are summed in.
const SUM: DataType = DataType::Decimal128(38, 0);

/// Gives `AVG` and `SUM` of whole numbers their types. Before the analyzer, which would make them doubles.
pub(super) fn aggregates(plan: LogicalPlan, semantics: Semantics) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|node| {
        if !matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_)) {
            return Ok(Transformed::no(node));
        }
        let Some(input) = node.inputs().first().map(|input| input.schema().as_ref().clone()) else {
            return Ok(Transformed::no(node));
        };
        let names = NamePreserver::new(&node);
        let mut narrowed: Vec<(String, Narrow)> = Vec::new();
        let mapped = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let column = expr.schema_name().to_string();
            let mut narrow = None;
            let rewritten = expr.transform_up(|expr| aggregate(expr, &input, semantics, &mut narrow))?;
            narrowed.extend(narrow.map(|narrow| (column, narrow)));
            Ok(if rewritten.transformed { Transformed::yes(name.restore(rewritten.data)) } else { rewritten })
        })?;
        if !mapped.transformed {
            return Ok(mapped);
        }
        let plan = mapped.data.recompute_schema()?;
        let plan = if narrowed.is_empty() { plan } else { narrow_results(plan, &narrowed)? };
        Ok(Transformed::yes(plan))
    });
    Ok(rewritten.map_err(from_datafusion)?.data)
}

/// The type that a result is brought back to.
#[derive(Debug, Clone, PartialEq)]
enum Narrow {
    /// Digits behind the point are cut off.
    Truncate(DataType),
    /// The low bits are kept.
    Wrap(DataType),
}

fn aggregate(
    expr: Expr,
    input: &DFSchema,
    semantics: Semantics,
    narrow: &mut Option<Narrow>,
) -> PlanResult<Transformed<Expr>> {
    let changed = is_edge(&expr);
    let expr = ignoring_nulls(expr, semantics);
    let (name, args) = match &expr {
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => (function.name(), &call.params.args),
            WindowFunctionDefinition::WindowUDF(_) => return Ok(Transformed::new_transformed(expr, changed)),
        },
        _ => return Ok(Transformed::no(expr)),
    };
    let [arg] = args.as_slice() else { return Ok(Transformed::new_transformed(expr, changed)) };
    let data_type = arg.get_type(input)?;
    if !data_type.is_integer() {
        return Ok(Transformed::new_transformed(expr, changed));
    }
    let wanted = match (name, semantics, &data_type) {
        ("avg", Semantics::Postgres, _) => MEAN,
        ("sum", Semantics::Postgres, DataType::Int64) => SUM,
        ("avg", Semantics::Flink, _) => {
            *narrow = Some(Narrow::Truncate(data_type));
            MEAN
        }
        ("sum", Semantics::Flink, DataType::Int8 | DataType::Int16 | DataType::Int32) => {
            *narrow = Some(Narrow::Wrap(data_type));
            DataType::Int64
        }
        _ => return Ok(Transformed::new_transformed(expr, changed)),
    };
    let arg = cast(arg.clone(), wanted);
    Ok(Transformed::yes(match expr {
        Expr::AggregateFunction(mut call) => {
            call.params.args = vec![arg];
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(mut call) => {
            call.params.args = vec![arg];
            Expr::WindowFunction(call)
        }
        other => other,
    }))
}

/// Whether this is `first_value` or `last_value`.
fn is_edge(expr: &Expr) -> bool {
    let name = match expr {
        Expr::AggregateFunction(call) => call.func.name(),
        Expr::WindowFunction(call) => call.fun.name(),
        _ => return false,
    };
    matches!(name, "first_value" | "last_value")
}

/// The aggregates `first_value` and `last_value` pass over nulls unless it is said that they do not, as Flink's; as window
/// functions they do so in Flink only.
fn ignoring_nulls(expr: Expr, semantics: Semantics) -> Expr {
    let edge = is_edge(&expr);
    match expr {
        Expr::AggregateFunction(mut call) if edge && call.params.null_treatment.is_none() => {
            call.params.null_treatment = Some(NullTreatment::IgnoreNulls);
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(mut call)
            if edge && semantics == Semantics::Flink && call.params.null_treatment.is_none() =>
        {
            call.params.null_treatment = Some(NullTreatment::IgnoreNulls);
            Expr::WindowFunction(call)
        }
        other => other,
    }
}

/// A projection over an aggregation that brings results back to narrower types, under the same names.
fn narrow_results(plan: LogicalPlan, narrowed: &[(String, Narrow)]) -> PlanResult<LogicalPlan> {
    let exprs: Vec<Expr> = plan
        .schema()
        .iter()
        .map(|(qualifier, field)| {
            let column = Expr::from((qualifier, field));
            let expr = match narrowed.iter().find(|(name, _)| qualifier.is_none() && name == field.name()) {
                None => return column,
                Some((_, Narrow::Truncate(data_type))) => cast(column, data_type.clone()),
                Some((_, Narrow::Wrap(data_type))) => wrapping(column, data_type),
            };
            expr.alias_qualified(qualifier.cloned(), field.name())
        })
        .collect();
    LogicalPlanBuilder::from(plan).project(exprs)?.build()
}

/// Functions that have another meaning in Flink under the same name. Before the analyzer.
pub(super) fn functions(plan: LogicalPlan, semantics: Semantics) -> Result<LogicalPlan> {
    let plan = rewrite::expressions(plan, |expr, _| Ok(digits_of_clock(expr, semantics)))?;
    let regexes = |expr: Expr, _: &DFSchema| Ok(looking(&expr).map_or_else(|| Transformed::no(expr), Transformed::yes));
    if semantics == Semantics::Postgres {
        return rewrite::expressions(rewrite::expressions(plan, regexes)?, seconds);
    }
    let plan = rewrite::expressions(plan, |expr, input| match &expr {
        Expr::Cast(_) | Expr::TryCast(_) => Ok(whole_text(expr, input)),
        Expr::ScalarFunction(call) => match in_flink(&call.func, &call.args) {
            Some(meant) => Ok(Transformed::yes(meant?)),
            None => Ok(Transformed::no(expr)),
        },
        Expr::Like(like) if has_no_escape(like) => Ok(Transformed::yes(without_escape(like.clone()))),
        _ => Ok(Transformed::no(expr)),
    })?;
    rewrite::expressions(plan, regexes)
}

/// Whether a `LIKE` without `ESCAPE` has a pattern in which a backslash may stand.
fn has_no_escape(like: &Like) -> bool {
    match like.pattern.as_ref() {
        Expr::Literal(ScalarValue::Utf8(Some(text)), _) => text.contains('\\'),
        Expr::Literal(..) => false,
        Expr::ScalarFunction(call) => call.name() != LIKE_PATTERN,
        _ => true,
    }
}

/// A `LIKE` in whose pattern a backslash is a backslash: Flink has no escape character but the one that is named.
fn without_escape(mut like: Like) -> Expr {
    if let Some(function) = registry().scalar.get(LIKE_PATTERN) {
        like.pattern = Box::new(function.call(vec![*like.pattern, lit("")]));
    }
    Expr::Like(like)
}

/// The time of the clock with six digits, in Flink three.
fn digits_of_clock(expr: Expr, semantics: Semantics) -> Transformed<Expr> {
    let unit = match semantics {
        Semantics::Postgres => TimeUnit::Microsecond,
        Semantics::Flink => TimeUnit::Millisecond,
    };
    match expr {
        Expr::ScalarFunction(call) if call.name() == "now" && call.args.is_empty() => {
            let moment = DataType::Timestamp(unit, Some("UTC".into()));
            Transformed::yes(cast(Expr::ScalarFunction(call), moment))
        }
        other => Transformed::no(other),
    }
}

/// A cast of a text to a whole number leaves out what stands behind its point. Those that the query has alone: a comparison
/// of a text with a number must not.
fn whole_text(mut expr: Expr, input: &DFSchema) -> Transformed<Expr> {
    let (value, to) = match &mut expr {
        Expr::Cast(cast) => (&mut cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&mut cast.expr, cast.field.data_type()),
        _ => return Transformed::no(expr),
    };
    if !to.is_signed_integer() || !matches!(type_of(value, input), Ok(DataType::Utf8 | DataType::Utf8View)) {
        return Transformed::no(expr);
    }
    **value = whole_number(std::mem::take(value));
    Transformed::yes(expr)
}

/// PostgreSQL: `EXTRACT(SECOND FROM t)` with its fraction.
fn seconds(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let Expr::ScalarFunction(mut call) = expr else { return Ok(Transformed::no(expr)) };
    let of_time = |at: &Expr| {
        matches!(type_of(at, input), Ok(DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_)))
    };
    match call.args.as_mut_slice() {
        [Expr::Literal(part, _), at]
            if call.func.name() == "date_part" && part.to_string().eq_ignore_ascii_case("second") && of_time(at) =>
        {
            *part = ScalarValue::Utf8(Some("microsecond".to_owned()));
        }
        _ => return Ok(Transformed::no(Expr::ScalarFunction(call))),
    }
    let seconds = cast(Expr::ScalarFunction(call), DataType::Float64) / lit(1e6);
    Ok(Transformed::yes(cast(seconds, DataType::Decimal128(8, 6))))
}

/// `REGEXP_EXTRACT(…) IS [NOT] NULL` as a call of the function that tells whether there is a match, which takes less than to tell
/// which one. In either semantics; after the analyzer, which has typed the arguments.
pub(super) fn questions(plan: LogicalPlan) -> Result<LogicalPlan> {
    let asked = |of: &Expr| match of {
        Expr::ScalarFunction(call) if call.name() == "regexp_extract" => Some(regexp_extracts(call.args.clone())),
        _ => None,
    };
    rewrite::expressions(plan, |expr, _| {
        let question = match &expr {
            Expr::IsNotNull(of) => asked(of),
            Expr::IsNull(of) => asked(of).map(not),
            _ => None,
        };
        Ok(question.map_or_else(|| Transformed::no(expr), Transformed::yes))
    })
}

/// PostgreSQL: whole-number arithmetic fails on overflow, floating point on a division by zero, casts to whole numbers round.
/// Flink: casts to narrower whole numbers wrap, and so does arithmetic; `NaN` is neither less nor greater than anything. After the analyzer, when both sides of an operator have one type.
pub(super) fn arithmetic(plan: LogicalPlan, semantics: Semantics) -> Result<LogicalPlan> {
    match semantics {
        Semantics::Flink => rewrite::expressions(plan, |expr, input| {
            let java = java::operator(expr, input)?;
            if java.transformed { Ok(java) } else { narrowing(java.data, input) }
        }),
        Semantics::Postgres => rewrite::expressions(plan, operator),
    }
}

/// A cast of a whole number to a narrower type keeps the low bits.
fn narrowing(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    let (value, to) = match &expr {
        Expr::Cast(cast) => (&cast.expr, cast.field.data_type()),
        Expr::TryCast(cast) => (&cast.expr, cast.field.data_type()),
        _ => return Ok(Transformed::no(expr)),
    };
    let narrows = |from: &DataType| {
        matches!(
            (from, to),
            (DataType::Int16 | DataType::Int32 | DataType::Int64, DataType::Int8)
                | (DataType::Int32 | DataType::Int64, DataType::Int16)
                | (DataType::Int64, DataType::Int32)
        )
    };
    if !type_of(value, input).is_ok_and(|from| narrows(&from)) {
        return Ok(Transformed::no(expr));
    }
    Ok(Transformed::yes(wrapping(cast(value.as_ref().clone(), DataType::Int64), to)))
}

fn operator(expr: Expr, input: &DFSchema) -> PlanResult<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            if let (Ok(left_type), Ok(right_type)) = (type_of(&left, input), type_of(&right, input))
                && left_type == right_type
                && !divides_by_a_number(op, &right)
                && let Some(function) = checked(op, &left_type)
            {
                return Ok(Transformed::yes(function.call(vec![*left, *right])));
            }
            Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        Expr::Cast(mut cast) => {
            let rounds = cast.field.data_type().is_integer()
                && type_of(&cast.expr, input).is_ok_and(|from| from.is_floating() || from.is_decimal());
            if !rounds || already_round(&cast.expr) {
                return Ok(Transformed::no(Expr::Cast(cast)));
            }
            cast.expr = Box::new(round(vec![*cast.expr]));
            Ok(Transformed::yes(Expr::Cast(cast)))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// Whether the operator is a division by a constant that is not zero, which cannot fail.
fn divides_by_a_number(operator: Operator, right: &Expr) -> bool {
    let number = match right {
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => *number,
        Expr::Literal(ScalarValue::Float32(Some(number)), _) => f64::from(*number),
        _ => return false,
    };
    matches!(operator, Operator::Divide | Operator::Modulo) && number != 0.0
}

/// Whether the expression is a call of `round`: a plan may come here twice.
fn already_round(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.name() == "round")
}
