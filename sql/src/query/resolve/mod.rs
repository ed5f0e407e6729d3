//! Names: every identifier of a query is replaced by the spelling that the plan uses, before DataFusion sees it.
//!
//! A name matches exactly first, else without regard to case where that is unique among what is visible. On the way
//! unnamed results get PostgreSQL's names, windowing table functions are taken out of the tree (see [`tvf`]) and
//! `GROUP BY TUMBLE(…)` is rewritten to them (see [`legacy`]). What is not known here (the columns of `UNNEST`) is left
//! to DataFusion.

mod aggregate_names;
mod arrays;
mod expr;
mod factor;
mod group_id;
mod hint;
mod legacy;
mod limit;
mod naming;
mod output;
mod patterns;
mod row_function;
mod scope;
mod temporal;
mod tuples;
pub(super) mod tvf;
mod using;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::sql::sqlparser::ast as sp;

use crate::catalog::{CatalogSnapshot, Relation};
use crate::error::{Result, SqlError, SqlState};
use crate::query::emit::TtlHint;
use crate::query::position::at;
pub(crate) use hint::{option, with_options};
use scope::{Clause, Cte, Env, Scope};
use tvf::TvfCall;

/// A column as names see it.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// What the user calls it. Not unique.
    pub(crate) name: String,
    /// What the plan calls it. Unique in a select list.
    pub(crate) plan: String,
    /// Its type, where it is known without planning.
    pub(crate) data_type: Option<DataType>,
}

impl Named {
    fn new(name: impl Into<String>, data_type: Option<DataType>) -> Self {
        let name = name.into();
        Self { plan: name.clone(), name, data_type }
    }
}

/// `WITH` queries of one query: each sees all before it.
const CTES_MAX: usize = 1_000;

/// The columns of a relation or result; `None` where they are not known before planning.
pub(crate) type Columns = Option<Vec<Named>>;

/// Resolves the names of one statement.
pub(crate) struct Resolver<'a> {
    catalog: &'a CatalogSnapshot,
    state: RefCell<State>,
}

/// What resolving found besides names.
#[derive(Debug, Default)]
struct State {
    calls: Vec<TvfCall>,
    functions: BTreeSet<String>,
    hints: Vec<TtlHint>,
    tables: Vec<Arc<Relation>>,
}

/// What resolving found.
pub(crate) struct Resolved {
    /// The table functions that were taken out of the tree.
    pub(crate) calls: Vec<TvfCall>,
    /// The SQL functions that are called.
    pub(crate) functions: BTreeSet<String>,
    /// How long state is kept.
    pub(super) hints: Vec<TtlHint>,
    /// Tables with options of their own, under names of their own.
    pub(super) tables: Vec<Arc<Relation>>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(catalog: &'a CatalogSnapshot) -> Self {
        Self { catalog, state: RefCell::default() }
    }

    /// What was found besides names.
    pub(crate) fn finish(self) -> Resolved {
        let State { calls, functions, hints, tables } = self.state.into_inner();
        Resolved { calls, functions, hints, tables }
    }

    /// Resolves a statement's query. Returns its columns.
    pub(crate) fn statement(&self, query: &mut sp::Query) -> Result<Columns> {
        self.query(query, &Env::default())
    }

    /// Resolves an expression over the columns of one table.
    pub(crate) fn expression(&self, expr: &mut sp::Expr, schema: &SchemaRef) -> Result<()> {
        let mut scope = Scope::default();
        let columns = schema.fields().iter().map(|field| Named::new(field.name(), Some(field.data_type().clone())));
        scope.push(None, Some(columns.collect()));
        self.expr(expr, &scope, Clause::Row, &Env::default())
    }

    fn query(&self, query: &mut sp::Query, env: &Env<'_>) -> Result<Columns> {
        limit::written_out(query)?;
        let mut env = env.clone();
        if let Some(with) = &mut query.with {
            self.with(with, &mut env)?;
        }
        if let sp::SetExpr::Select(select) = query.body.as_mut() {
            let resolved = self.select(select, &env)?;
            for expr in order_by(&mut query.order_by) {
                let clause = Clause::OrderBy(resolved.outputs.as_deref().unwrap_or_default());
                self.expr(expr, &resolved.scope, clause, &env)?;
                if let Some(legacy) = &resolved.legacy {
                    legacy.replace(expr)?;
                }
            }
            return Ok(resolved.outputs);
        }
        let columns = self.set_expr(&mut query.body, &env)?;
        let mut scope = Scope::new(env.outer);
        scope.push(None, columns.clone());
        for expr in order_by(&mut query.order_by) {
            self.expr(expr, &scope, Clause::Row, &env)?;
        }
        Ok(columns)
    }

    /// Resolves the queries of a `WITH` and adds them to what is visible.
    fn with(&self, with: &mut sp::With, env: &mut Env<'_>) -> Result<()> {
        if with.cte_tables.len() > CTES_MAX {
            let message = format!("a query can have {CTES_MAX} queries in its WITH");
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        }
        let around = env.ctes.len();
        for cte in &mut with.cte_tables {
            let ident = &mut cte.alias.name;
            let name = ident.value.clone();
            let alike = |cte: &Cte| cte.name == name;
            if env.ctes.iter().skip(around).any(alike) {
                let message = format!("WITH query name \"{name}\" specified more than once");
                return Err(at(SqlError::new(SqlState("42712"), message), ident.span));
            }
            let hides = env.ctes.iter().any(alike);
            let plan = if hides { format!("{name} {}", env.ctes.len()) } else { name.clone() };
            if hides {
                *ident = sp::Ident { value: plan.clone(), quote_style: Some('"'), ..ident.clone() };
            }
            let mut inner = env.clone();
            if with.recursive {
                inner.ctes.push(Cte { name: name.clone(), plan: plan.clone(), columns: None });
            }
            let columns = self.query(&mut cte.query, &inner)?;
            env.ctes.push(Cte { name, plan, columns: renamed(columns, &cte.alias.columns) });
        }
        Ok(())
    }

    fn set_expr(&self, body: &mut sp::SetExpr, env: &Env<'_>) -> Result<Columns> {
        match body {
            sp::SetExpr::Select(select) => Ok(self.select(select, env)?.outputs),
            sp::SetExpr::Query(query) => self.query(query, env),
            sp::SetExpr::SetOperation { left, right, .. } => {
                let columns = self.set_expr(left, env)?;
                self.set_expr(right, env)?;
                Ok(columns)
            }
            sp::SetExpr::Values(values) => {
                let scope = Scope::new(env.outer);
                for expr in values.rows.iter_mut().flat_map(|row| &mut row.content) {
                    self.expr(expr, &scope, Clause::Row, env)?;
                }
                let width = values.rows.first().map_or(0, |row| row.content.len());
                Ok(Some((1..=width).map(|number| Named::new(format!("column{number}"), None)).collect()))
            }
            sp::SetExpr::Table(table) => {
                let Some(name) = table.table_name.clone() else {
                    return Err(SqlError::unsupported("TABLE without a name is not supported"));
                };
                let select = tvf::select_all(sp::Ident::new(name));
                *body = *select.body;
                self.set_expr(body, env)
            }
            sp::SetExpr::Insert(_) | sp::SetExpr::Update(_) | sp::SetExpr::Delete(_) | sp::SetExpr::Merge(_) => {
                Err(SqlError::unsupported("a data-changing statement inside a query is not supported"))
            }
        }
    }
}

/// The columns under the names of an alias list, which may be shorter.
fn renamed(columns: Columns, aliases: &[sp::TableAliasColumnDef]) -> Columns {
    let mut columns = columns?;
    for (column, alias) in columns.iter_mut().zip(aliases) {
        *column = Named::new(alias.name.value.clone(), column.data_type.take());
    }
    Some(columns)
}

/// The expressions of an `ORDER BY`, but for output positions.
fn order_by(order_by: &mut Option<sp::OrderBy>) -> impl Iterator<Item = &mut sp::Expr> {
    let exprs = match order_by {
        Some(sp::OrderBy { kind: sp::OrderByKind::Expressions(exprs), .. }) => exprs.as_mut_slice(),
        Some(_) | None => &mut [],
    };
    exprs.iter_mut().map(|order| &mut order.expr)
}
