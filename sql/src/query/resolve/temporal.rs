//! Joins with one version of a table: what chooses the version is taken out of the tree, and a call of a marker put into
//! the join's condition, which [`crate::query::temporal`] makes a plan node of.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;

use super::Resolver;
use super::aggregate_names::call;
use super::factor::constraint;
use super::scope::{Clause, Env, Scope};
use crate::error::{Result, SqlError};
use crate::query::position::{at, packed};
use crate::query::temporal::{ASOF, MARKER, SYSTEM_TIME};

/// What chooses the version.
pub(super) struct Version {
    kind: &'static str,
    /// The time, or the match condition; a match condition is not resolved yet. `None`: it stands in `ON`.
    what: Option<sp::Expr>,
    span: Span,
}

impl Resolver<'_> {
    /// Takes what chooses the version out of a join. `scope`: the tables on its left.
    ///
    /// # Errors
    /// Where a version is asked for in a way that is not known.
    pub(super) fn version(&self, join: &mut sp::Join, scope: &Scope<'_>, env: &Env<'_>) -> Result<Option<Version>> {
        let span = name_span(&join.relation);
        // The parser's mark of an ASOF join that it does not know: see `parse::asof`.
        let marked = std::mem::take(&mut join.global);
        if let sp::JoinOperator::AsOf { match_condition, constraint } = &mut join.join_operator {
            let what = Some(match_condition.clone());
            let constraint = std::mem::replace(constraint, sp::JoinConstraint::None);
            join.join_operator = match marked {
                true => sp::JoinOperator::LeftOuter(constraint),
                false => sp::JoinOperator::Inner(constraint),
            };
            return Ok(Some(Version { kind: ASOF, what, span }));
        }
        if marked {
            return Ok(Some(Version { kind: ASOF, what: None, span }));
        }
        let sp::TableFactor::Table { version, .. } = &mut join.relation else { return Ok(None) };
        match version.take() {
            None => Ok(None),
            Some(sp::TableVersion::ForSystemTimeAsOf(mut time)) => {
                self.expr(&mut time, scope, Clause::Row, env)?;
                Ok(Some(Version { kind: SYSTEM_TIME, what: Some(time), span }))
            }
            Some(other) => Err(at(SqlError::unsupported(format!("{other} is not supported")), span)),
        }
    }

    /// Puts the marker into the condition of a join. `scope`: the tables on both sides.
    ///
    /// # Errors
    /// Where the join has no condition; what is wrong with the match condition.
    pub(super) fn mark(&self, join: &mut sp::Join, version: Version, scope: &Scope<'_>, env: &Env<'_>) -> Result<()> {
        let Version { kind, mut what, span } = version;
        if let (ASOF, Some(condition)) = (kind, &mut what) {
            self.expr(condition, scope, Clause::Row, env)?;
        }
        let Some(sp::JoinConstraint::On(condition)) = constraint(&mut join.join_operator) else {
            let error = SqlError::unsupported("a temporal join needs an ON condition");
            return Err(at(error.with_hint("write JOIN … ON left.key = right.key"), span));
        };
        let position = packed(span.start).unwrap_or(0).to_string();
        let kind = sp::Expr::Value(sp::Value::SingleQuotedString(kind.to_owned()).into());
        let position = sp::Expr::Value(sp::Value::Number(position, false).into());
        let args = [kind, position].into_iter().chain(what);
        let marker = sp::Expr::Function(call(MARKER, args.collect()));
        let written = std::mem::replace(condition, sp::Expr::Value(sp::Value::Null.into()));
        *condition = sp::Expr::BinaryOp {
            left: Box::new(sp::Expr::Nested(Box::new(written))),
            op: sp::BinaryOperator::And,
            right: Box::new(marker),
        };
        Ok(())
    }
}

/// The error at a name.
pub(super) fn at_name(error: SqlError, name: &sp::ObjectName) -> SqlError {
    at(error, span_of(name))
}

fn name_span(factor: &sp::TableFactor) -> Span {
    match factor {
        sp::TableFactor::Table { name, .. } => span_of(name),
        _ => Span::empty(),
    }
}

fn span_of(name: &sp::ObjectName) -> Span {
    name.0.last().and_then(|part| part.as_ident()).map_or_else(Span::empty, |ident| ident.span)
}
