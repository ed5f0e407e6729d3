//! The tables of a `FROM`.

use std::sync::Arc;

use datafusion::sql::sqlparser::ast as sp;

use super::scope::{Clause, Cte, Env, Scope};
use super::tvf::{self, TvfCall};
use super::{Columns, Named, Resolver, renamed, row_function, temporal, using};
use crate::catalog::{LookupError, Relation};
use crate::error::{Result, SqlError, SqlState};
use crate::files::{self, FileScan};
use crate::namespace;
use crate::query::nodes::window_names;
use crate::query::position::at;

impl Resolver<'_> {
    pub(super) fn table_with_joins<'s>(
        &self,
        table: &mut sp::TableWithJoins,
        scope: &mut Scope<'s>,
        env: &Env<'s>,
    ) -> Result<()> {
        self.factor(&mut table.relation, scope, env)?;
        for join in &mut table.joins {
            let version = self.version(join, scope, env)?;
            let right = scope.relations.len();
            self.factor(&mut join.relation, scope, env)?;
            match constraint(&mut join.join_operator) {
                Some(sp::JoinConstraint::On(condition)) => self.expr(condition, scope, Clause::Row, env)?,
                Some(sp::JoinConstraint::Using(_) | sp::JoinConstraint::Natural) => {
                    using::written_out(join, scope, right)?;
                }
                Some(sp::JoinConstraint::None) | None => {}
            }
            if let Some(version) = version {
                self.mark(join, version, scope, env)?;
            }
        }
        Ok(())
    }

    fn factor<'s>(&self, factor: &mut sp::TableFactor, scope: &mut Scope<'s>, env: &Env<'s>) -> Result<()> {
        if let Some(file) = files::of_factor(factor)? {
            return self.file(&file, factor, scope);
        }
        if let Some(table) = self.system_table(factor) {
            let name = table.name.rsplit('.').next().unwrap_or_default();
            replace_by(table, sp::Ident::with_quote('"', name), factor, scope);
            return Ok(());
        }
        if let Some((table, name)) = self.hinted(factor)? {
            replace_by(&table, name, factor, scope);
            self.state.borrow_mut().tables.push(table);
            return Ok(());
        }
        match factor {
            sp::TableFactor::Table { name, alias, args: None, version, .. } => {
                if version.is_some() {
                    let error =
                        SqlError::unsupported("FOR SYSTEM_TIME AS OF is supported for the right table of a join only");
                    return Err(temporal::at_name(error, name));
                }
                let (found, columns) = self.relation(name, env)?;
                let last = namespace::split(&found).1;
                if alias.is_none()
                    && name.0.last().and_then(|part| part.as_ident()).is_none_or(|name| name.value != last)
                {
                    // The query calls it by the last part of its name, or as it was written.
                    let name = sp::Ident::with_quote('"', last);
                    *alias = Some(sp::TableAlias { explicit: false, name, columns: Vec::new(), at: None });
                }
                push(scope, Some(found), alias.as_ref(), columns);
                Ok(())
            }
            sp::TableFactor::Derived { lateral, subquery, alias, .. } => {
                let outer = if *lateral { Some(&*scope) } else { env.outer };
                let env = Env { ctes: env.ctes.clone(), outer };
                let columns = self.query(subquery, &env)?;
                push(scope, None, alias.as_ref(), columns);
                Ok(())
            }
            sp::TableFactor::NestedJoin { table_with_joins, alias } => {
                let mut inner = Scope::new(env.outer);
                self.table_with_joins(table_with_joins, &mut inner, env)?;
                match alias {
                    Some(_) => {
                        scope.merged |= inner.merged;
                        push(scope, None, alias.as_ref(), None);
                    }
                    None => scope.append(inner),
                }
                Ok(())
            }
            sp::TableFactor::UNNEST { .. } => self.unnest(factor, scope, env),
            sp::TableFactor::Table { args: Some(_), .. }
            | sp::TableFactor::TableFunction { .. }
            | sp::TableFactor::Function { .. } => match row_function::unnest(factor) {
                Some(unnest) => {
                    *factor = unnest;
                    self.unnest(factor, scope, env)
                }
                None => self.table_function(factor, scope, env),
            },
            other => Err(SqlError::unsupported(format!("this kind of table is not supported: {other}"))),
        }
    }

    /// The system table that a qualified name stands for, where no relation of the user has it.
    fn system_table(&self, factor: &sp::TableFactor) -> Option<&Arc<Relation>> {
        let sp::TableFactor::Table { name, args: None, .. } = factor else { return None };
        let [schema, table] = name.0.as_slice() else { return None };
        let (schema, table) = (schema.as_ident()?, table.as_ident()?);
        if self.catalog.find(&[&schema.value, &table.value]).is_ok() {
            return None;
        }
        self.catalog.files.get(&format!("{}.{}", schema.value.to_ascii_lowercase(), table.value.to_ascii_lowercase()))
    }

    /// A table function: only the windowing ones are ours.
    fn table_function<'s>(&self, factor: &mut sp::TableFactor, scope: &mut Scope<'s>, env: &Env<'s>) -> Result<()> {
        let (mut call, alias) = match factor {
            sp::TableFactor::TableFunction { expr: sp::Expr::Function(function), alias } => {
                let sp::FunctionArguments::List(list) = &function.args else {
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{} needs arguments", function.name)));
                };
                (TvfCall::parse(&function.name, &list.args)?, alias.take())
            }
            sp::TableFactor::Table { name, args: Some(args), alias, .. } => {
                (TvfCall::parse(name, &args.args)?, alias.take())
            }
            sp::TableFactor::Function { name, args, alias, .. } => (TvfCall::parse(name, args)?, alias.take()),
            other => return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("not a table function: {other}"))),
        };
        let table = call.input_table();
        let columns = self.query(&mut call.input, env)?;
        let mut inner = Scope::default();
        inner.push(table.clone(), columns.clone());
        for expr in std::iter::once(&mut call.time).chain(&mut call.partition_by) {
            self.expr(expr, &inner, Clause::Row, env)?;
        }
        let columns = columns.map(|mut columns| {
            let names = window_names(columns.iter().map(|column| column.plan.as_str()));
            columns.extend(names.into_iter().map(|name| Named::new(name, Some(crate::query::nodes::WINDOW_TYPE))));
            columns
        });
        push(scope, table, alias.as_ref(), columns);
        *factor = tvf::placeholder(&mut self.state.borrow_mut().calls, call, alias);
        Ok(())
    }

    /// A file: the table that the server made of it, under its own name where the query gives none.
    fn file(&self, file: &FileScan, factor: &mut sp::TableFactor, scope: &mut Scope<'_>) -> Result<()> {
        let Some(relation) = self.catalog.files.get(&file.key) else {
            let message = format!("could not open file \"{}\"", file.path());
            return Err(SqlError::new(SqlState::UNDEFINED_FILE, message));
        };
        replace_by(
            relation,
            sp::Ident::with_quote('"', files::stem(file.paths.first().map_or("", String::as_str))),
            factor,
            scope,
        );
        Ok(())
    }

    /// A table, view or `WITH` query by name, in the plan's spelling.
    fn relation(&self, name: &mut sp::ObjectName, env: &Env<'_>) -> Result<(String, Columns)> {
        let parts: Vec<sp::Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
        let Some((ident, schema)) = parts.split_last() else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name} does not name a table")));
        };
        let missing =
            || at(SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist")), ident.span);
        let cte = |exact: bool| {
            env.ctes.iter().rev().find(|Cte { name, .. }| {
                schema.is_empty() && if exact { *name == ident.value } else { name.eq_ignore_ascii_case(&ident.value) }
            })
        };
        let parts = namespace::parts(name);
        let candidates = self.catalog.candidates(&parts).map_err(|_| missing())?;
        let exact = candidates.iter().any(|candidate| self.catalog.relations.contains_key(candidate));
        if let Some(found) = cte(true).or_else(|| if exact { None } else { cte(false) }) {
            let spelled = sp::Ident { value: found.plan.clone(), ..ident.clone() };
            *name = sp::ObjectName::from(vec![spelled]);
            return Ok((found.name.clone(), found.columns.clone()));
        }
        match self.catalog.find(&parts) {
            Ok(relation) => {
                let columns = relation.columns.iter();
                let columns =
                    columns.map(|column| Named::new(&column.name, Some(column.data_type.arrow.clone()))).collect();
                let spelled = sp::Ident { value: relation.name.clone(), ..ident.clone() };
                *name = sp::ObjectName::from(vec![spelled]);
                Ok((relation.name.clone(), Some(columns)))
            }
            Err(LookupError::Missing(near)) => {
                let ctes = env.ctes.iter().map(|cte| cte.name.as_str());
                let near = near.or_else(|| crate::catalog::nearest(&ident.value, ctes).map(str::to_owned));
                Err(match near {
                    Some(near) => missing().with_hint(format!("perhaps you meant \"{near}\"")),
                    None => missing(),
                })
            }
            Err(LookupError::Ambiguous(names)) => {
                let message = format!("relation name \"{}\" is ambiguous", ident.value);
                let error = SqlError::new(SqlState::AMBIGUOUS_COLUMN, message);
                Err(at(error.with_detail(format!("it could be any of {}", names.join(", "))), ident.span))
            }
        }
    }
}

/// Puts a table that is not the catalog's in the place of an item; `name`: what it is called where the query says nothing.
fn replace_by(relation: &Relation, name: sp::Ident, factor: &mut sp::TableFactor, scope: &mut Scope<'_>) {
    let alias = match factor {
        sp::TableFactor::Table { alias, .. }
        | sp::TableFactor::Function { alias, .. }
        | sp::TableFactor::TableFunction { alias, .. } => alias.take(),
        _ => None,
    };
    let alias = alias.unwrap_or_else(|| sp::TableAlias { explicit: false, name, columns: Vec::new(), at: None });
    let columns = relation.columns.iter();
    let columns = columns.map(|column| Named::new(&column.name, Some(column.data_type.arrow.clone()))).collect();
    push(scope, None, Some(&alias), Some(columns));
    let mut table = tvf::table(sp::Ident::with_quote('"', &relation.name));
    if let sp::TableFactor::Table { alias: into, .. } = &mut table {
        *into = Some(alias);
    }
    *factor = table;
}

pub(super) fn push(scope: &mut Scope<'_>, name: Option<String>, alias: Option<&sp::TableAlias>, columns: Columns) {
    match alias {
        Some(alias) => scope.push(Some(alias.name.value.clone()), renamed(columns, &alias.columns)),
        None => scope.push(name, columns),
    }
}

pub(super) fn constraint(operator: &mut sp::JoinOperator) -> Option<&mut sp::JoinConstraint> {
    match operator {
        sp::JoinOperator::Join(constraint)
        | sp::JoinOperator::Inner(constraint)
        | sp::JoinOperator::Left(constraint)
        | sp::JoinOperator::LeftOuter(constraint)
        | sp::JoinOperator::Right(constraint)
        | sp::JoinOperator::RightOuter(constraint)
        | sp::JoinOperator::FullOuter(constraint)
        | sp::JoinOperator::CrossJoin(constraint)
        | sp::JoinOperator::Semi(constraint)
        | sp::JoinOperator::LeftSemi(constraint)
        | sp::JoinOperator::RightSemi(constraint)
        | sp::JoinOperator::Anti(constraint)
        | sp::JoinOperator::LeftAnti(constraint)
        | sp::JoinOperator::RightAnti(constraint)
        | sp::JoinOperator::StraightJoin(constraint)
        | sp::JoinOperator::AsOf { constraint, .. } => Some(constraint),
        sp::JoinOperator::CrossApply
        | sp::JoinOperator::OuterApply
        | sp::JoinOperator::ArrayJoin
        | sp::JoinOperator::LeftArrayJoin
        | sp::JoinOperator::InnerArrayJoin => None,
    }
}
