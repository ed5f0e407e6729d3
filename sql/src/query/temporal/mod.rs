//! Joins with one version of a table: `FOR SYSTEM_TIME AS OF` and `ASOF JOIN`.
//!
//! [`super::resolve`] leaves a call of [`MARKER`] in the condition of such a join, since DataFusion's planner would drop what
//! chooses the version. Here the joins with that call become [`TemporalJoin`] nodes: the condition is taken apart into
//! equalities, times and the rest, and the right side must have what the join needs ([`versioned`]).

mod node;
mod side;
mod versioned;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, DataFusionError, JoinType, NullEquality, Result as PlanResult, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, Join, JoinConstraint, LogicalPlan, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};
use millstream_engine::plan::AsofMatch;

pub(crate) use self::node::{TemporalJoin, Times};
use self::side::{Side, is_proctime, uncast};
use self::versioned::{newest, versioned};
use super::from_datafusion;
use super::provider::external;
use crate::error::{Result, SqlError, SqlState};

/// The function whose call marks the condition of a join with one version of a table. Not to be met in user texts.
pub(super) const MARKER: &str = "__millstream_as_of";

/// The first argument of the marker for `FOR SYSTEM_TIME AS OF`.
pub(super) const SYSTEM_TIME: &str = "system_time";
/// The first argument of the marker for `ASOF JOIN`.
pub(super) const ASOF: &str = "asof";

/// The marker: which join, its packed position, and the time or the match condition.
pub(super) fn marker() -> Arc<ScalarUDF> {
    Arc::new(ScalarUDF::new_from_impl(Marker { signature: Signature::variadic_any(Volatility::Volatile) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Marker {
    signature: Signature,
}

impl ScalarUDFImpl for Marker {
    fn name(&self) -> &str {
        MARKER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> PlanResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(DataFusionError::Internal("the version of a join was not taken out of its condition".into()))
    }
}

/// What a marker says.
struct Mark {
    asof: bool,
    position: Option<usize>,
    /// The time, or the match condition.
    what: Option<Expr>,
}

impl Mark {
    fn of(expr: &Expr) -> Option<Self> {
        let Expr::ScalarFunction(call) = expr else { return None };
        if call.name() != MARKER {
            return None;
        }
        let asof = matches!(call.args.first()?, Expr::Literal(ScalarValue::Utf8(Some(kind)), _) if kind == ASOF);
        let position = match call.args.get(1)? {
            Expr::Literal(position, _) => match position.cast_to(&DataType::Int64) {
                Ok(ScalarValue::Int64(Some(position))) => usize::try_from(position).ok(),
                Ok(_) | Err(_) => None,
            },
            _ => None,
        };
        Some(Self { asof, position, what: call.args.get(2).cloned() })
    }

    fn error(&self, error: SqlError) -> SqlError {
        match self.position {
            Some(position) => error.at(position),
            None => error,
        }
    }

    fn unsupported(&self, message: impl Into<String>) -> SqlError {
        self.error(SqlError::unsupported(message))
    }

    fn name(&self) -> &'static str {
        if self.asof { "ASOF JOIN" } else { "FOR SYSTEM_TIME AS OF" }
    }
}

/// Makes nodes of the marked joins.
///
/// # Errors
/// Where such a join cannot be right.
pub(super) fn bind(plan: LogicalPlan) -> Result<LogicalPlan> {
    let bound = plan.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else { return Ok(Transformed::no(node)) };
        let conjuncts = join.filter.clone().map(split_conjunction_owned).unwrap_or_default();
        let Some((mark, place)) = conjuncts.iter().zip(0_usize..).find_map(|(expr, at)| Some((Mark::of(expr)?, at)))
        else {
            return Ok(Transformed::no(node));
        };
        let mut others = conjuncts;
        others.remove(place);
        Ok(Transformed::yes(temporal(join, &mark, others).map_err(external)?))
    });
    Ok(bound.map_err(from_datafusion)?.data)
}

/// The condition of a join, taken apart.
struct Condition {
    /// Equalities, the left side first.
    keys: Vec<(Expr, Expr)>,
    others: Vec<Expr>,
}

impl Condition {
    fn of(join: &Join, conjuncts: Vec<Expr>) -> Self {
        let mut condition = Self { keys: join.on.clone(), others: Vec::new() };
        for expr in conjuncts {
            if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = &expr {
                match (Side::of(left, join), Side::of(right, join)) {
                    (Some(Side::Left), Some(Side::Right)) => {
                        condition.keys.push((left.as_ref().clone(), right.as_ref().clone()));
                        continue;
                    }
                    (Some(Side::Right), Some(Side::Left)) => {
                        condition.keys.push((right.as_ref().clone(), left.as_ref().clone()));
                        continue;
                    }
                    _ => {}
                }
            }
            condition.others.push(expr);
        }
        condition
    }
}

fn temporal(join: &Join, mark: &Mark, conjuncts: Vec<Expr>) -> Result<LogicalPlan> {
    if !matches!(join.join_type, JoinType::Inner | JoinType::Left) {
        let message = format!("a {} join cannot have {}", join.join_type.to_string().to_uppercase(), mark.name());
        return Err(mark.unsupported(message).with_hint("it can be an inner or a left join"));
    }
    let mut condition = Condition::of(join, conjuncts);
    let (right, times) = if mark.asof {
        (None, Some(asof_times(join, mark, &mut condition)?))
    } else {
        system_time(join, mark, &mut condition)?
    };
    if condition.keys.is_empty() {
        let message = format!("{} needs an equality between columns of both tables in its condition", mark.name());
        return Err(mark.unsupported(message).with_hint("join ON left.key = right.key"));
    }
    let right = right.map_or_else(|| Arc::clone(&join.right), Arc::new);
    let inner = Join::try_new(
        Arc::clone(&join.left),
        right,
        condition.keys,
        conjunction(condition.others),
        join.join_type,
        JoinConstraint::On,
        NullEquality::NullEqualsNothing,
        false,
    );
    Ok(TemporalJoin::new(inner.map_err(from_datafusion)?, times).into_plan())
}

/// `FOR SYSTEM_TIME AS OF time`: the right side where it must change, and the times; none in processing time.
fn system_time(join: &Join, mark: &Mark, condition: &mut Condition) -> Result<(Option<LogicalPlan>, Option<Times>)> {
    let Some(time) = mark.what.as_ref().map(uncast) else {
        return Err(mark.unsupported("FOR SYSTEM_TIME AS OF needs a time"));
    };
    if is_proctime(time, &join.left) {
        return Ok((newest(&join.right)?, None));
    }
    if !matches!(time, Expr::Column(_)) || Side::of(time, join) != Some(Side::Left) {
        let message = format!("FOR SYSTEM_TIME AS OF must name a time column of the left table, not {time}");
        return Err(mark.unsupported(message).with_hint("the column has a watermark, or is PROCTIME()"));
    }
    check_time(time, join.left.schema(), mark)?;
    let table = versioned(&join.right).map_err(|error| mark.error(error))?;
    let schema = table.plan.schema();
    let column = |index: usize| Expr::from(schema.qualified_field(index));
    let wanted: Vec<Expr> = table.key.iter().map(|&index| column(index)).collect();
    let missing = wanted.iter().find(|key| !condition.keys.iter().any(|(_, right)| uncast(right) == *key));
    if let Some(missing) = missing {
        let message = format!("a temporal join must compare the whole key of the table, but {missing} is not compared");
        return Err(mark.unsupported(message).with_hint(format!("add left.column = {missing} to the condition")));
    }
    // What is compared beyond the key chooses no other version.
    let (keys, more): (Vec<_>, Vec<_>) =
        std::mem::take(&mut condition.keys).into_iter().partition(|(_, right)| wanted.contains(uncast(right)));
    condition.keys = keys;
    condition.others.extend(more.into_iter().map(|(left, right)| left.eq(right)));
    let times = Times { left: time.clone(), right: column(table.time), asof: AsofMatch::AtOrBefore };
    Ok((Some(table.plan), Some(times)))
}

/// The times of an ASOF join: from its match condition, else from the one comparison in `ON`.
fn asof_times(join: &Join, mark: &Mark, condition: &mut Condition) -> Result<Times> {
    let found = match &mark.what {
        Some(comparison) => asof_match(comparison, join),
        None => {
            let others = condition.others.iter().map(|expr| asof_match(expr, join));
            let places: Vec<usize> =
                others.enumerate().filter(|(_, found)| found.is_some()).map(|(place, _)| place).collect();
            match places[..] {
                [place] => asof_match(&condition.others.remove(place), join),
                _ => None,
            }
        }
    };
    let Some(times) = found else {
        let message =
            "ASOF JOIN needs one comparison (>=, >, <= or <) of a time column of the left table with one of the right";
        return Err(mark.error(SqlError::new(SqlState::SYNTAX_ERROR, message)).with_hint(
            "write l ASOF JOIN r MATCH_CONDITION (l.t >= r.t) ON l.k = r.k, or ASOF JOIN r ON l.k = r.k AND l.t >= r.t",
        ));
    };
    check_time(&times.left, join.left.schema(), mark)?;
    check_time(&times.right, join.right.schema(), mark)?;
    Ok(times)
}

/// A comparison of a column of the left side with one of the right.
fn asof_match(expr: &Expr, join: &Join) -> Option<Times> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = expr else { return None };
    let (a, b) = (uncast(left), uncast(right));
    let (left, op, right) = match (Side::of(a, join)?, Side::of(b, join)?) {
        (Side::Left, Side::Right) => (a, *op, b),
        (Side::Right, Side::Left) => (b, op.swap()?, a),
        (Side::Left, Side::Left) | (Side::Right, Side::Right) => return None,
    };
    let asof = match op {
        Operator::GtEq => AsofMatch::AtOrBefore,
        Operator::Gt => AsofMatch::Before,
        Operator::LtEq => AsofMatch::AtOrAfter,
        Operator::Lt => AsofMatch::After,
        _ => return None,
    };
    let are_columns = matches!((left, right), (Expr::Column(_), Expr::Column(_)));
    are_columns.then(|| Times { left: left.clone(), right: right.clone(), asof })
}

/// A time must be a timestamp.
fn check_time(time: &Expr, schema: &DFSchema, mark: &Mark) -> Result<()> {
    let data_type = time.get_type(schema).map_err(from_datafusion)?;
    if matches!(data_type, DataType::Timestamp(..)) {
        return Ok(());
    }
    let message = format!("the time of {} must be a timestamp, but {time} is of type {data_type}", mark.name());
    Err(mark.error(SqlError::new(SqlState::DATATYPE_MISMATCH, message)))
}

/// A constant that is the number 1.
fn is_one(expr: &Expr) -> bool {
    matches!(uncast(expr), Expr::Literal(value, _) if value.cast_to(&DataType::Int64).is_ok_and(|value| value == ScalarValue::Int64(Some(1))))
}

/// The number 1 as `ROW_NUMBER()` gives it.
fn first_number() -> Expr {
    lit(1_u64)
}
