//! Names inside expressions.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use super::scope::{Clause, Env, Found, Scope};
use super::{Resolver, aggregate_names, arrays, legacy, patterns, tuples};
use crate::catalog::nearest;
use crate::error::{Result, SqlError, SqlState};
use crate::functions;
use crate::query::position::at;

impl Resolver<'_> {
    /// Resolves all names in an expression, those of its subqueries included.
    pub(super) fn expr(&self, expr: &mut sp::Expr, scope: &Scope<'_>, clause: Clause<'_>, env: &Env<'_>) -> Result<()> {
        let mut names = Names { resolver: self, scope, clause, env, depth: 0, locals: Vec::new() };
        match expr.visit(&mut names) {
            ControlFlow::Continue(()) => {}
            ControlFlow::Break(error) => return Err(error),
        }
        if env.outer.is_some() {
            arrays::as_calls(expr);
        }
        Ok(())
    }

    /// Resolves an expression and tells what column it is, where it is nothing but one.
    pub(super) fn column(&self, expr: &mut sp::Expr, scope: &Scope<'_>, env: &Env<'_>) -> Result<Option<Found>> {
        if let Some(told) = self.about_session(expr, scope) {
            *expr = told;
            return Ok(None);
        }
        match expr {
            sp::Expr::Identifier(ident) if !ident.value.starts_with('@') => {
                let mut found = scope.resolve(ident, Clause::Row)?;
                if let Some(shared) = found.as_mut().and_then(|found| found.shared.take()) {
                    *expr = shared;
                    // It is given its name.
                    found.as_mut().into_iter().for_each(|found| found.child = true);
                }
                Ok(found)
            }
            sp::Expr::CompoundIdentifier(path) => scope.resolve_path(path),
            other => {
                self.expr(other, scope, Clause::Row, env)?;
                Ok(None)
            }
        }
    }

    /// `current_schema`, `current_database()` and `current_catalog` as what they are for the session, where no column has
    /// that name.
    fn about_session(&self, expr: &sp::Expr, scope: &Scope<'_>) -> Option<sp::Expr> {
        let name = match expr {
            sp::Expr::Identifier(ident) if ident.quote_style.is_none() && !scope.has(ident) => &ident.value,
            sp::Expr::Function(function) => match (function.name.0.as_slice(), &function.args) {
                ([sp::ObjectNamePart::Identifier(ident)], sp::FunctionArguments::None) => &ident.value,
                ([sp::ObjectNamePart::Identifier(ident)], sp::FunctionArguments::List(list))
                    if list.args.is_empty() =>
                {
                    &ident.value
                }
                _ => return None,
            },
            _ => return None,
        };
        let value = match name.to_ascii_lowercase().as_str() {
            "current_schema" => match self.catalog.current_schema() {
                Some(schema) => sp::Value::SingleQuotedString(schema),
                None => sp::Value::Null,
            },
            "current_database" | "current_catalog" => {
                sp::Value::SingleQuotedString(crate::namespace::DATABASE.to_owned())
            }
            _ => return None,
        };
        Some(sp::Expr::Value(value.into()))
    }

    /// Gives a function's name the spelling of the registry.
    fn function(&self, function: &mut sp::Function) -> Result<()> {
        let [sp::ObjectNamePart::Identifier(ident)] = function.name.0.as_slice() else { return Ok(()) };
        let lower = ident.value.to_ascii_lowercase();
        let collects = lower == functions::COLLECT;
        let lower = aggregate_names::registered(function, lower);
        let [sp::ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice() else { return Ok(()) };
        if self.catalog.functions.contains_key(&lower) {
            self.state.borrow_mut().functions.insert(lower.clone());
        } else if let Some(native) = self.catalog.natives.get(&lower) {
            if native.is_aggregate() {
                aggregate_names::over_rows(function, native, &lower);
                return Ok(());
            }
        } else if !functions::exists(&lower) && !legacy::is_window_function(&lower) {
            let message = format!("function {lower} does not exist");
            let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message);
            let names = functions::names();
            let candidates = names.iter().map(String::as_str).chain(self.catalog.functions.keys().map(String::as_str));
            let candidates = candidates.chain(self.catalog.natives.keys().map(String::as_str));
            let error = match nearest(&lower, candidates) {
                Some(near) => error.with_hint(format!("perhaps you meant {near}")),
                None => error,
            };
            return Err(at(error, ident.span));
        }
        ident.value = lower;
        ident.quote_style = None;
        if collects {
            *function = aggregate_names::call(functions::COLLECT, vec![sp::Expr::Function(function.clone())]);
        }
        Ok(())
    }
}

/// Walks an expression. Subqueries are resolved as a whole when they are entered, and not again inside.
struct Names<'r, 'a, 's> {
    resolver: &'r Resolver<'a>,
    scope: &'r Scope<'s>,
    clause: Clause<'r>,
    env: &'r Env<'s>,
    /// How many subqueries deep the walk is.
    depth: usize,
    /// Parameters of lambdas.
    locals: Vec<String>,
}

impl VisitorMut for Names<'_, '_, '_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut sp::Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        if self.depth > 1 {
            return ControlFlow::Continue(());
        }
        let env = Env { ctes: self.env.ctes.clone(), outer: Some(self.scope) };
        flow(self.resolver.query(query, &env).map(drop))
    }

    fn post_visit_query(&mut self, _query: &mut sp::Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<SqlError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        if let Some(told) = self.resolver.about_session(expr, self.scope) {
            *expr = told;
            return ControlFlow::Continue(());
        }
        patterns::written_out(expr);
        tuples::as_value(expr);
        if let Err(error) = patterns::without_collation(expr) {
            return ControlFlow::Break(error);
        }
        match expr {
            sp::Expr::Identifier(ident) => {
                if ident.value.starts_with('@') || self.locals.contains(&ident.value) {
                    return ControlFlow::Continue(());
                }
                match self.scope.resolve(ident, self.clause) {
                    Ok(Some(Found { shared: Some(shared), .. })) => *expr = shared,
                    Ok(_) => {}
                    Err(error) => return ControlFlow::Break(error),
                }
                ControlFlow::Continue(())
            }
            sp::Expr::CompoundIdentifier(path) => {
                if path.first().is_some_and(|head| self.locals.contains(&head.value)) {
                    return ControlFlow::Continue(());
                }
                flow(self.scope.resolve_path(path).map(drop))
            }
            sp::Expr::CompoundFieldAccess { access_chain, .. } => {
                // The planner takes the name of a field as a text.
                for access in access_chain {
                    if let sp::AccessExpr::Dot(field @ sp::Expr::Identifier(_)) = access
                        && let sp::Expr::Identifier(ident) = &*field
                    {
                        let name = sp::Value::SingleQuotedString(ident.value.clone()).with_span(ident.span);
                        *field = sp::Expr::Value(name);
                    }
                }
                ControlFlow::Continue(())
            }
            sp::Expr::Lambda(lambda) => {
                self.locals.extend(lambda.params.iter().map(|parameter| parameter.name.value.clone()));
                ControlFlow::Continue(())
            }
            sp::Expr::Function(function) => flow(self.resolver.function(function)),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn flow(result: Result<()>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}
