//! The select list and the clauses around it.

use std::collections::HashSet;

use datafusion::sql::sqlparser::ast as sp;

use super::legacy::LegacyWindow;
use super::naming::result_name;
use super::scope::{Clause, Env, Scope};
use super::{Columns, Named, Resolver, tuples};
use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// A resolved `SELECT`.
pub(super) struct ResolvedSelect<'s> {
    pub(super) scope: Scope<'s>,
    pub(super) outputs: Columns,
    pub(super) legacy: Option<LegacyWindow>,
}

/// Elements of a `CUBE`, as PostgreSQL limits them.
const CUBE_MAX: usize = 12;

impl Resolver<'_> {
    pub(super) fn select<'s>(&self, select: &mut sp::Select, env: &Env<'s>) -> Result<ResolvedSelect<'s>> {
        let hints = crate::query::emit::hints(&std::mem::take(&mut select.optimizer_hints))?;
        self.state.borrow_mut().hints.extend(hints);
        super::group_id::replaced(select)?;
        let mut scope = Scope::new(env.outer);
        for table in &mut select.from {
            self.table_with_joins(table, &mut scope, env)?;
        }
        if let Some(condition) = &mut select.selection {
            tuples::in_condition(condition);
            self.expr(condition, &scope, Clause::Row, env)?;
        }
        let outputs = self.projection(&mut select.projection, &scope, env)?;
        let visible = outputs.as_deref().unwrap_or_default();
        let group_by: &mut [sp::Expr] = match &mut select.group_by {
            sp::GroupByExpr::Expressions(exprs, _) => exprs,
            sp::GroupByExpr::All(_) => &mut [],
        };
        let distinct_on: &mut [sp::Expr] = match &mut select.distinct {
            Some(sp::Distinct::On(exprs)) => exprs,
            Some(sp::Distinct::All | sp::Distinct::Distinct) | None => &mut [],
        };
        for expr in group_by.iter_mut().chain(&mut select.having).chain(&mut select.qualify) {
            check_cube(expr)?;
            self.expr(expr, &scope, Clause::Group(visible), env)?;
        }
        for expr in distinct_on {
            self.expr(expr, &scope, Clause::OrderBy(visible), env)?;
        }
        for sp::NamedWindowDefinition(_, window) in &mut select.named_window {
            if let sp::NamedWindowExpr::WindowSpec(spec) = window {
                let order_by = spec.order_by.iter_mut().map(|order| &mut order.expr);
                for expr in spec.partition_by.iter_mut().chain(order_by) {
                    self.expr(expr, &scope, Clause::Row, env)?;
                }
            }
        }
        let legacy = LegacyWindow::rewrite(select, visible, &mut self.state.borrow_mut().calls)?;
        Ok(ResolvedSelect { scope, outputs, legacy })
    }

    /// Resolves the select list and gives every result a name that is unique in the plan.
    fn projection(&self, items: &mut Vec<sp::SelectItem>, scope: &Scope<'_>, env: &Env<'_>) -> Result<Columns> {
        let mut outputs = Some(Outputs::default());
        for item in std::mem::take(items) {
            match item {
                sp::SelectItem::UnnamedExpr(mut expr) => {
                    let name = result_name(&expr);
                    tuples::refuse(&expr)?;
                    let found = self.column(&mut expr, scope, env)?;
                    let plain = found.as_ref().filter(|found| !found.child).map(|found| found.column.plan.clone());
                    let (name, data_type) = match found {
                        Some(found) => (found.column.name, found.column.data_type),
                        None => (name, None),
                    };
                    let Some(outputs) = &mut outputs else {
                        items.push(sp::SelectItem::UnnamedExpr(expr));
                        continue;
                    };
                    let plan = outputs.push(name, data_type);
                    let unnamed = plain.as_ref() == Some(&plan);
                    items.push(if unnamed { sp::SelectItem::UnnamedExpr(expr) } else { aliased(expr, plan, None) });
                }
                sp::SelectItem::ExprWithAlias { mut expr, alias } => {
                    tuples::refuse(&expr)?;
                    let found = self.column(&mut expr, scope, env)?;
                    let data_type = found.and_then(|found| found.column.data_type);
                    let name = alias.value.clone();
                    let plan = outputs.as_mut().map_or(name.clone(), |outputs| outputs.push(name, data_type));
                    items.push(aliased(expr, plan, Some(alias)));
                }
                sp::SelectItem::Wildcard(ref options) if !scope.shared.is_empty() && is_plain(options) => {
                    let shared = scope.shared.iter().map(|(shared, _)| (shared.expr.clone(), &shared.column));
                    let own = scope.visible().map(|(place, column)| (scope.qualified(place.0, column), column));
                    for (expr, column) in shared.chain(own) {
                        let name = column.name.clone();
                        let plan = outputs.as_mut().map(|outputs| outputs.push(name.clone(), column.data_type.clone()));
                        items.push(aliased(expr, plan.unwrap_or(name), None));
                    }
                }
                sp::SelectItem::Wildcard(ref options) => {
                    let plain = is_plain(options) && !scope.merged;
                    let relations =
                        scope.relations.iter().map(|relation| (relation.name.as_deref(), &relation.columns));
                    expand(item, relations.collect(), plain, &mut outputs, items);
                }
                sp::SelectItem::QualifiedWildcard(kind, options) => {
                    let (kind, relation) = qualified(kind, scope)?;
                    let plain = is_plain(&options);
                    let item = sp::SelectItem::QualifiedWildcard(kind, options);
                    expand(item, relation, plain, &mut outputs, items);
                }
                other @ sp::SelectItem::ExprWithAliases { .. } => {
                    outputs = None;
                    items.push(other);
                }
            }
        }
        Ok(outputs.map(|outputs| outputs.columns))
    }
}

/// The results so far.
#[derive(Default)]
struct Outputs {
    columns: Vec<Named>,
    taken: HashSet<String>,
}

impl Outputs {
    /// Adds a result; gives its name in the plan, which has a number appended where the name is taken.
    fn push(&mut self, name: String, data_type: Option<arrow::datatypes::DataType>) -> String {
        let mut plan = name.clone();
        let mut number = 0;
        while !self.taken.insert(plan.clone()) {
            number += 1;
            plan = format!("{name}:{number}");
        }
        self.columns.push(Named { name, plan: plan.clone(), data_type });
        plan
    }
}

fn aliased(expr: sp::Expr, plan: String, alias: Option<sp::Ident>) -> sp::SelectItem {
    let mut alias = alias.unwrap_or_else(|| sp::Ident::with_quote('"', ""));
    alias.value = plan;
    sp::SelectItem::ExprWithAlias { expr, alias }
}

fn is_plain(options: &sp::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

type Relations<'c> = Vec<(Option<&'c str>, &'c Columns)>;

/// Adds the columns of a wildcard. Where a name would come twice the wildcard is written out, so that the second can
/// be called something else in the plan.
fn expand(
    item: sp::SelectItem,
    relations: Relations<'_>,
    plain: bool,
    outputs: &mut Option<Outputs>,
    items: &mut Vec<sp::SelectItem>,
) {
    let known = plain && relations.iter().all(|(_, columns)| columns.is_some());
    let Some(outputs) = outputs.as_mut().filter(|_| known) else {
        *outputs = None;
        items.push(item);
        return;
    };
    let mut written = Vec::new();
    let mut renamed = false;
    for (relation, columns) in relations {
        for column in columns.iter().flatten() {
            let plan = outputs.push(column.name.clone(), column.data_type.clone());
            let ident = sp::Ident::with_quote('"', &column.plan);
            let expr = match relation {
                Some(relation) => sp::Expr::CompoundIdentifier(vec![sp::Ident::with_quote('"', relation), ident]),
                None => sp::Expr::Identifier(ident),
            };
            renamed |= plan != column.plan;
            written.push(if plan == column.plan {
                sp::SelectItem::UnnamedExpr(expr)
            } else {
                aliased(expr, plan, None)
            });
        }
    }
    if renamed {
        items.extend(written);
    } else {
        items.push(item);
    }
}

/// `t.*`: the table it means, in the plan's spelling.
fn qualified<'c>(
    kind: sp::SelectItemQualifiedWildcardKind,
    scope: &'c Scope<'_>,
) -> Result<(sp::SelectItemQualifiedWildcardKind, Relations<'c>)> {
    let sp::SelectItemQualifiedWildcardKind::ObjectName(name) = kind else {
        return Err(SqlError::unsupported("* of an expression is not supported"));
    };
    let Some(sp::ObjectNamePart::Identifier(ident)) = name.0.last() else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("{name}.* does not name a table")));
    };
    for exact in [true, false] {
        let hit = scope.relations.iter().find(|relation| {
            relation
                .name
                .as_ref()
                .is_some_and(|name| if exact { *name == ident.value } else { name.eq_ignore_ascii_case(&ident.value) })
        });
        if let Some(relation) = hit {
            let name = relation.name.clone().unwrap_or_default();
            let spelled = sp::ObjectName::from(vec![sp::Ident::with_quote('"', name)]);
            let kind = sp::SelectItemQualifiedWildcardKind::ObjectName(spelled);
            return Ok((kind, vec![(relation.name.as_deref(), &relation.columns)]));
        }
    }
    let message = format!("missing FROM-clause entry for table \"{}\"", ident.value);
    Err(at(SqlError::new(SqlState::UNDEFINED_TABLE, message), ident.span))
}

/// Each further element of a `CUBE` doubles the number of its sets.
fn check_cube(expr: &sp::Expr) -> Result<()> {
    match expr {
        sp::Expr::Cube(elements) if elements.len() > CUBE_MAX => {
            let message = format!("CUBE is limited to {CUBE_MAX} elements");
            Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message))
        }
        sp::Expr::GroupingSets(sets) => sets.iter().flatten().try_for_each(check_cube),
        _ => Ok(()),
    }
}
