//! `JOIN … USING (k)` and `NATURAL JOIN`: written out as a condition, so that any number of them can follow one another.
//!
//! The column that both sides share is one, as in PostgreSQL: the left one of an inner or left join, the right one of a
//! right join, and of a full join the one that is not null. It comes first in `*`. Where the columns of a table are not
//! known here, the join is left to DataFusion.

use datafusion::sql::sqlparser::ast as sp;

use super::Named;
use super::aggregate_names::call;
use super::factor::constraint;
use super::scope::{Scope, alike};
use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// A column that tables share.
pub(super) struct Shared {
    /// As names see it.
    pub(super) column: Named,
    /// What it is in the plan.
    pub(super) expr: sp::Expr,
}

/// A column of one side of a join.
struct Side {
    name: String,
    expr: sp::Expr,
    column: Named,
    /// The table and the column, where it is not shared already.
    place: Option<(usize, usize)>,
}

/// Writes `USING` and `NATURAL` out. `right`: where the tables of the right side begin in the scope.
pub(super) fn written_out(join: &mut sp::Join, scope: &mut Scope<'_>, right: usize) -> Result<()> {
    let kind = Kind::of(&join.join_operator);
    let Some(constraint) = constraint(&mut join.join_operator) else { return Ok(()) };
    let (names, natural): (Vec<sp::Ident>, bool) = match &*constraint {
        sp::JoinConstraint::Using(names) => (names.iter().filter_map(last).collect(), false),
        sp::JoinConstraint::Natural => (Vec::new(), true),
        sp::JoinConstraint::On(_) | sp::JoinConstraint::None => return Ok(()),
    };
    let (Some(kind), true) = (kind, scope.is_plain()) else {
        scope.merged = true;
        return Ok(());
    };
    let names = if natural { common(scope, right) } else { names };
    let mut condition: Option<sp::Expr> = None;
    for (index, name) in names.iter().enumerate() {
        let (left, right) = (side(scope, name, |table| table < right)?, side(scope, name, |table| table >= right)?);
        let both = sp::Expr::BinaryOp {
            left: Box::new(left.expr.clone()),
            op: sp::BinaryOperator::Eq,
            right: Box::new(right.expr.clone()),
        };
        condition = Some(match condition.take() {
            None => both,
            Some(before) => {
                sp::Expr::BinaryOp { left: Box::new(before), op: sp::BinaryOperator::And, right: Box::new(both) }
            }
        });
        share(scope, kind, index, (left, right));
    }
    let always = || sp::Expr::Value(sp::Value::Boolean(true).into());
    *constraint = sp::JoinConstraint::On(condition.unwrap_or_else(always));
    Ok(())
}

/// Which side's column the shared one is.
#[derive(Clone, Copy)]
enum Kind {
    Left,
    Right,
    Full,
}

impl Kind {
    fn of(operator: &sp::JoinOperator) -> Option<Self> {
        match operator {
            sp::JoinOperator::Join(_)
            | sp::JoinOperator::Inner(_)
            | sp::JoinOperator::Left(_)
            | sp::JoinOperator::LeftOuter(_) => Some(Self::Left),
            sp::JoinOperator::Right(_) | sp::JoinOperator::RightOuter(_) => Some(Self::Right),
            sp::JoinOperator::FullOuter(_) => Some(Self::Full),
            _ => None,
        }
    }
}

fn last(name: &sp::ObjectName) -> Option<sp::Ident> {
    name.0.last().and_then(|part| part.as_ident()).cloned()
}

/// The names that both sides have, in the order of the left one.
fn common(scope: &Scope<'_>, right: usize) -> Vec<sp::Ident> {
    let names = |of: &dyn Fn(usize) -> bool| -> Vec<String> {
        let shared = scope.shared.iter().filter(|(_, table)| of(*table)).map(|(shared, _)| shared.column.name.clone());
        shared.chain(scope.visible().filter(|(place, _)| of(place.0)).map(|(_, column)| column.name.clone())).collect()
    };
    let (left, right) = (names(&|table| table < right), names(&|table| table >= right));
    left.into_iter().filter(|name| right.contains(name)).map(|name| sp::Ident::with_quote('"', name)).collect()
}

/// The one column of that name on a side.
fn side(scope: &Scope<'_>, name: &sp::Ident, of: impl Fn(usize) -> bool) -> Result<Side> {
    for exact in [true, false] {
        let shared =
            scope.shared.iter().filter(|(shared, table)| of(*table) && alike(&shared.column.name, name, exact));
        let shared = shared.map(|(shared, _)| Side {
            name: shared.column.name.clone(),
            expr: shared.expr.clone(),
            column: shared.column.clone(),
            place: None,
        });
        let plain = scope.visible().filter(|(place, column)| of(place.0) && alike(&column.name, name, exact));
        let plain = plain.map(|(place, column)| Side {
            name: column.name.clone(),
            expr: scope.qualified(place.0, column),
            column: column.clone(),
            place: Some(place),
        });
        let mut found = shared.chain(plain);
        match (found.next(), found.next()) {
            (Some(side), None) => return Ok(side),
            (Some(_), Some(_)) => {
                let message = format!("common column name \"{}\" appears more than once in one side", name.value);
                return Err(at(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message), name.span));
            }
            (None, _) => {}
        }
    }
    let message = format!("column \"{}\" specified in USING clause does not exist in both tables", name.value);
    Err(at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), name.span))
}

/// Puts the shared column in the place of those of both sides. `index`: among those of the join, which come before older ones.
fn share(scope: &mut Scope<'_>, kind: Kind, index: usize, (left, right): (Side, Side)) {
    let expr = match kind {
        Kind::Left => left.expr,
        Kind::Right => right.expr,
        Kind::Full => sp::Expr::Function(call("coalesce", vec![left.expr, right.expr])),
    };
    let column = Named { name: left.name.clone(), plan: left.name.clone(), data_type: left.column.data_type };
    scope.shared.retain(|(shared, _)| shared.column.name != left.name && shared.column.name != right.name);
    scope.hidden.extend(left.place.into_iter().chain(right.place));
    // It belongs to what is on the left of the next join.
    scope.shared.insert(index.min(scope.shared.len()), (Shared { column, expr }, 0));
}
