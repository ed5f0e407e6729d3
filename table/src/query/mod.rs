//! From the verbs of a table to the SQL of a query.
//!
//! A verb goes into the `SELECT` that is there where SQL would compute it at the same place, else the query so far becomes
//! a derived table: `filter` before `select` is a `WHERE`, behind it one over a derived table. The query is then parsed and
//! bound as any other.

mod columns;
mod select;

use std::sync::Arc;

use millstream_sql::{SqlError, check_query};

use crate::expression::{Expression, Scope, closed, quoted, refused};
use crate::plan::{ColumnChange, JoinKind, Plan};
use crate::window::GroupWindow;

pub(crate) use columns::KnownColumns;
use select::{Query, Select};

/// How deep verbs may stand on verbs. What is deeper would not be parsed either.
const DEPTH_MAX: usize = 1_000;

/// The SQL of a table.
///
/// # Errors
/// Where an expression cannot be written.
pub(crate) fn sql(plan: &Plan, columns: &KnownColumns) -> Result<String, SqlError> {
    Writer { columns, derived: 0, depth: 0 }.query(plan).map(Query::into_sql)
}

struct Writer<'a> {
    columns: &'a KnownColumns,
    /// Derived tables so far, for their names.
    derived: usize,
    depth: usize,
}

impl Writer<'_> {
    fn query(&mut self, plan: &Plan) -> Result<Query, SqlError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(refused(format!("a table of more than {DEPTH_MAX} calls cannot be written as SQL")));
        }
        let query = self.verb(plan);
        self.depth -= 1;
        query
    }

    fn verb(&mut self, plan: &Plan) -> Result<Query, SqlError> {
        let scope = Scope::default();
        Ok(match plan {
            Plan::Relation(parts) => Query::Select(Select::from(relation(parts))),
            Plan::Sql(text) => {
                check_query(text)?;
                Query::Whole(closed(text))
            }
            Plan::Values(rows) => Query::Select(Select::from(values(rows)?)),
            Plan::Select { input, items } => {
                let input = self.query(input)?;
                self.select(input, items, scope)?
            }
            Plan::Over { input, windows, items } => {
                let input = self.query(input)?;
                self.select(input, items, Scope { group: None, over: windows })?
            }
            Plan::Aggregate { input, window, keys, items } => self.aggregate(input, window.as_ref(), keys, items)?,
            Plan::Filter { input, condition } => {
                let input = self.query(input)?;
                let mut select = self.plain(input);
                let text = condition.sql(scope)?;
                select.filter.push(text);
                Query::Select(select)
            }
            Plan::Distinct(input) => match self.query(input)? {
                Query::Select(select) if !select.distinct && !select.is_ordered() => {
                    Query::Select(Select { distinct: true, ..select })
                }
                other => Query::Select(Select { distinct: true, ..self.derive(other) }),
            },
            Plan::Join { left, right, kind, on } => self.join(left, right, *kind, on.as_ref())?,
            Plan::Combine { left, right, operator } => {
                let left = self.query(left)?.into_operand();
                let right = self.query(right)?.into_operand();
                Query::Whole(format!("{left} {operator} {right}"))
            }
            Plan::Order { input, keys } => self.order(input, keys)?,
            Plan::Slice { input, offset, fetch } => self.slice(input, *offset, *fetch)?,
            Plan::Named { input, names } => {
                let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
                let name = match input.as_ref() {
                    Plan::Values(rows) => format!("{} ({})", values(rows)?, names.join(", ")),
                    _ => {
                        let text = self.query(input)?.into_sql();
                        format!("({text}) AS {} ({})", self.name(), names.join(", "))
                    }
                };
                Query::Select(Select::from(name))
            }
            Plan::Columns { input, change } => self.changed(input, change)?,
        })
    }

    /// `SELECT items` over a query.
    fn select(&mut self, input: Query, items: &[Expression], scope: Scope<'_>) -> Result<Query, SqlError> {
        let mut select = self.plain(input);
        select.items = Some(items.iter().map(|item| item.item(scope)).collect::<Result<_, _>>()?);
        Ok(Query::Select(select))
    }

    fn order(&mut self, input: &Arc<Plan>, keys: &[Expression]) -> Result<Query, SqlError> {
        // In SQL an expression in ORDER BY sees the columns before the select list, here those behind it.
        let names = keys.iter().all(|key| key.column_name().is_some());
        let mut select = match self.query(input)? {
            Query::Select(select) if !select.is_ordered() && (select.items.is_none() || names) => select,
            other => self.derive(other),
        };
        select.order = keys.iter().map(|key| key.order_item(Scope::default())).collect::<Result<_, _>>()?;
        Ok(Query::Select(select))
    }

    fn slice(&mut self, input: &Arc<Plan>, offset: Option<u64>, fetch: Option<u64>) -> Result<Query, SqlError> {
        let mut select = match self.query(input)? {
            Query::Select(select) if select.fetch.is_none() && (select.offset.is_none() || offset.is_none()) => select,
            other => self.derive(other),
        };
        select.offset = offset.or(select.offset);
        select.fetch = fetch;
        Ok(Query::Select(select))
    }

    fn aggregate(
        &mut self,
        input: &Arc<Plan>,
        window: Option<&GroupWindow>,
        keys: &[Expression],
        items: &[Expression],
    ) -> Result<Query, SqlError> {
        if let Some(window) = window
            && !keys.iter().any(|key| key.column_name() == Some(&window.alias))
        {
            return Err(refused(format!("window \"{}\" must be one of the keys of group_by", window.alias)));
        }
        let scope = Scope { group: window, over: &[] };
        let mut input = self.query(input)?;
        // A key with a name of its own is a column first.
        if keys.iter().any(|key| key.alias_name().is_some()) {
            let all = Expression::new(crate::expression::Node::Column("*".to_owned()));
            let named = keys.iter().filter(|key| key.alias_name().is_some()).cloned();
            let items: Vec<Expression> = std::iter::once(all).chain(named).collect();
            input = self.select(input, &items, Scope::default())?;
        }
        let mut select = self.plain(input);
        let key = |key: &Expression| key.alias_name().map_or_else(|| key.sql(scope), |name| Ok(quoted(name)));
        select.group = Some(keys.iter().map(key).collect::<Result<_, _>>()?);
        select.items = Some(items.iter().map(|item| item.item(scope)).collect::<Result<_, _>>()?);
        Ok(Query::Select(select))
    }

    fn join(
        &mut self,
        left: &Arc<Plan>,
        right: &Arc<Plan>,
        kind: JoinKind,
        on: Option<&Expression>,
    ) -> Result<Query, SqlError> {
        let left = self.query(left)?;
        let right = self.query(right)?;
        let right = self.factor(right);
        let condition = on.map_or_else(|| Ok("TRUE".to_owned()), |on| on.sql(Scope::default()))?;
        let words = match kind {
            JoinKind::Inner => "JOIN",
            JoinKind::Left => "LEFT JOIN",
            JoinKind::Right => "RIGHT JOIN",
            JoinKind::Full => "FULL JOIN",
            JoinKind::Cross => {
                let left = self.chain(left);
                return Ok(Query::Select(Select::from_join(format!("{left} CROSS JOIN {right}"))));
            }
            JoinKind::Semi | JoinKind::Anti => {
                let mut select = self.plain(left);
                let not = if kind == JoinKind::Anti { "NOT " } else { "" };
                select.filter.push(format!("{not}EXISTS (SELECT 1 FROM {right} WHERE {condition})"));
                return Ok(Query::Select(select));
            }
        };
        let left = self.chain(left);
        Ok(Query::Select(Select::from_join(format!("{left} {words} {right} ON {condition}"))))
    }

    /// A query of which only the `FROM` and the `WHERE` are there.
    fn plain(&mut self, query: Query) -> Select {
        match query {
            Query::Select(select) if select.is_plain() => select,
            other => self.derive(other),
        }
    }

    /// What may stand on the left of a join: joins may go on.
    fn chain(&mut self, query: Query) -> String {
        match query {
            Query::Select(select) if select.is_all() => select.from,
            other => self.derive(other).from,
        }
    }

    /// What may stand on the right of a join.
    fn factor(&mut self, query: Query) -> String {
        match query {
            Query::Select(select) if select.is_all() && !select.joins => select.from,
            other => self.derive(other).from,
        }
    }

    /// A query as a derived table.
    fn derive(&mut self, query: Query) -> Select {
        let name = self.name();
        Select::from(format!("({}) AS {name}", query.into_sql()))
    }

    /// A name that no other derived table has.
    fn name(&mut self) -> String {
        self.derived += 1;
        quoted(&format!("t{}", self.derived))
    }

    fn changed(&mut self, input: &Arc<Plan>, change: &ColumnChange) -> Result<Query, SqlError> {
        let items = columns::items(self.columns.of(input), change)?;
        let input = self.query(input)?;
        self.select(input, &items, Scope::default())
    }
}

fn relation(parts: &[String]) -> String {
    parts.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}

/// Rows as a derived table with Flink's names, `f0`, `f1`, …; the caller may name its columns.
fn values(rows: &[Vec<Expression>]) -> Result<String, SqlError> {
    let width = rows.first().map_or(0, Vec::len);
    if width == 0 || rows.iter().any(|row| row.len() != width) {
        return Err(refused("the rows of from_values must have equally many values, and at least one"));
    }
    let row = |row: &Vec<Expression>| {
        let values: Vec<String> = row.iter().map(|value| value.sql(Scope::default())).collect::<Result<_, _>>()?;
        Ok(format!("({})", values.join(", ")))
    };
    let rows: Vec<String> = rows.iter().map(row).collect::<Result<_, SqlError>>()?;
    Ok(format!("(VALUES {}) AS \"v\"", rows.join(", ")))
}
