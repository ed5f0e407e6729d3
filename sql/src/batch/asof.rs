//! Temporal joins as standard nodes.
//!
//! As of processing time it is a join with what the right side holds. In event time, the rows of both sides are put in one
//! order by time within each key, the last right row is carried on to the left ones, and the left ones are kept.

use datafusion::common::{Column, JoinType, Result as PlanResult, ScalarValue};
use datafusion::functions::core::expr_fn::{get_field, named_struct};
use datafusion::functions_aggregate::first_last::last_value_udaf;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, ScalarUDF, WindowFrame, WindowFrameBound,
    WindowFrameUnits, WindowFunctionDefinition, cast, lit, when,
};
use millstream_engine::plan::AsofMatch;

use super::call;
use super::functions::{Opaque, TimeFunction};
use crate::query::temporal::{TemporalJoin, Times};

/// Names of the columns on the way. Not to be met in user tables.
const LEFT: &str = "__millstream_left";
const RIGHT: &str = "__millstream_right";
const TIME: &str = "__millstream_at";
const KEY: &str = "__millstream_key";
const FOUND: &str = "__millstream_found";
const HOLDS: &str = "__millstream_holds";

/// The plan of the join.
pub(super) fn plan(node: &TemporalJoin) -> PlanResult<LogicalPlan> {
    match &node.times {
        None => Ok(LogicalPlan::Join(node.join.clone())),
        Some(times) => in_event_time(node, times),
    }
}

fn in_event_time(node: &TemporalJoin, times: &Times) -> PlanResult<LogicalPlan> {
    let join = &node.join;
    let keys = || (0..join.on.len()).map(|number| own(&format!("{KEY}{number}")));
    let (left, right) = (join.left.as_ref(), join.right.as_ref());
    let (left_type, right_type) = (packed(left).get_type(left.schema())?, packed(right).get_type(right.schema())?);
    let nothing = |data_type| Ok::<_, datafusion::common::DataFusionError>(lit(ScalarValue::try_new_null(data_type)?));

    let earliest_first = matches!(times.asof, AsofMatch::AtOrBefore | AsofMatch::Before);
    // Rows of one time: those that count stand before those that they count for. One number holds time and side, since a side
    // that is the same for all rows of an input confuses DataFusion's orderings.
    let place = |time: &Expr, is_second: bool| {
        call(TimeFunction::micros(), time.clone()) * lit(2_i64) + lit(i64::from(is_second))
    };
    let left_is_second = matches!(times.asof, AsofMatch::AtOrBefore | AsofMatch::After);
    let of_left =
        [packed(left).alias(LEFT), nothing(&right_type)?.alias(RIGHT), place(&times.left, left_is_second).alias(TIME)];
    let of_right = [
        nothing(&left_type)?.alias(LEFT),
        packed(right).alias(RIGHT),
        place(&times.right, !left_is_second).alias(TIME),
    ];
    let (mut of_left, mut of_right) = (of_left.to_vec(), of_right.to_vec());
    for (number, (left_key, right_key)) in join.on.iter().enumerate() {
        let (key, data_type) = (format!("{KEY}{number}"), left_key.get_type(left.schema())?);
        let opaque = |key: Expr| ScalarUDF::new_from_impl(Opaque::new()).call(vec![key]);
        of_left.push(opaque(left_key.clone()).alias(&key));
        of_right.push(opaque(cast(right_key.clone(), data_type)).alias(&key));
    }
    let has_key = |rows: LogicalPlanBuilder| match keys().map(Expr::is_not_null).reduce(Expr::and) {
        Some(condition) => rows.filter(condition),
        None => Ok(rows),
    };
    let right_rows = has_key(LogicalPlanBuilder::from(right.clone()).project(of_right)?)?;
    let rows = LogicalPlanBuilder::from(left.clone()).project(of_left)?.union(right_rows.build()?)?;

    let order = vec![own(TIME).sort(earliest_first, false)];
    let until_here = WindowFrame::new_bounds(
        WindowFrameUnits::Rows,
        WindowFrameBound::Preceding(ScalarValue::UInt64(None)),
        WindowFrameBound::CurrentRow,
    );
    let last = WindowFunctionDefinition::AggregateUDF(last_value_udaf());
    let last = Expr::WindowFunction(Box::new(WindowFunction::new(last, vec![own(RIGHT)])))
        .partition_by(keys().collect())
        .order_by(order)
        .window_frame(until_here)
        .null_treatment(NullTreatment::IgnoreNulls)
        .build()?
        .alias(FOUND);
    let rows = rows.window(vec![last])?.filter(own(LEFT).is_not_null())?;
    unpacked(node, rows)?.build()
}

/// The columns of the join, of rows with the packed columns of both sides.
fn unpacked(node: &TemporalJoin, rows: LogicalPlanBuilder) -> PlanResult<LogicalPlanBuilder> {
    let join = &node.join;
    let columns = |plan: &LogicalPlan, from: &str| {
        let fields = plan.schema().iter().zip(0..);
        let of = |((qualifier, field), place): ((Option<&datafusion::common::TableReference>, _), usize)| {
            let field: &arrow::datatypes::FieldRef = field;
            get_field(own(from), place.to_string()).alias_qualified(qualifier.cloned(), field.name())
        };
        fields.map(of).collect::<Vec<_>>()
    };
    let found = own(FOUND).is_not_null();
    let all: Vec<Expr> = columns(&join.left, LEFT).into_iter().chain(columns(&join.right, FOUND)).collect();
    let holds = join.filter.clone().map_or_else(|| lit(true), |filter| filter.is_true());
    let names: Vec<Expr> = join.schema.iter().map(Expr::from).collect();
    let rows = rows.project(all.into_iter().chain([found.alias(HOLDS)]))?;
    let holds = own(HOLDS).and(holds);
    if join.join_type == JoinType::Inner {
        return rows.filter(holds)?.project(names);
    }
    let width = join.left.schema().fields().len();
    let rows = rows.project(names.iter().cloned().chain([holds.alias(HOLDS)]))?;
    let mut columns = names;
    for column in columns.iter_mut().skip(width) {
        let Expr::Column(name) = column.clone() else { continue };
        let value = when(own(HOLDS), column.clone()).end()?;
        *column = value.alias_qualified(name.relation.clone(), name.name);
    }
    rows.project(columns)
}

/// All columns of a row as one, by their places.
fn packed(plan: &LogicalPlan) -> Expr {
    let columns = plan.schema().iter().zip(0_usize..);
    named_struct(columns.flat_map(|(column, place)| [lit(place.to_string()), Expr::from(column)]).collect())
}

/// A column of this plan's own.
fn own(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
