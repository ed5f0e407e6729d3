//! Verbs that depend on which columns a table has, and what is known of those.

use std::collections::HashMap;
use std::sync::Arc;

use millstream_sql::{SqlError, SqlState};

use crate::expression::{Expression, Node};
use crate::plan::{ColumnChange, Plan};

/// The names of the columns of some tables, by the address of their plan.
#[derive(Debug, Default)]
pub(crate) struct KnownColumns(HashMap<*const Plan, Vec<String>>);

impl KnownColumns {
    /// Notes the columns of a table.
    pub(crate) fn put(&mut self, plan: &Arc<Plan>, columns: Vec<String>) {
        self.0.insert(Arc::as_ptr(plan), columns);
    }

    /// The columns of a table; none where they have not been noted.
    pub(super) fn of(&self, plan: &Arc<Plan>) -> &[String] {
        self.0.get(&Arc::as_ptr(plan)).map_or(&[], Vec::as_slice)
    }

    /// A table whose columns are needed first and are not known; what it stands on is known.
    pub(crate) fn missing<'p>(&self, plan: &'p Plan) -> Option<&'p Arc<Plan>> {
        if let Some(below) = plan.inputs().into_iter().find_map(|input| self.missing(input)) {
            return Some(below);
        }
        match plan {
            Plan::Columns { input, change } if change.needs_columns() => {
                (!self.0.contains_key(&Arc::as_ptr(input))).then_some(input)
            }
            _ => None,
        }
    }
}

/// The select list of a verb on columns.
pub(super) fn items(columns: &[String], change: &ColumnChange) -> Result<Vec<Expression>, SqlError> {
    let column = |name: &String| Expression::new(Node::Column(name.clone()));
    Ok(match change {
        ColumnChange::Add(items) => {
            std::iter::once(Expression::new(Node::Column("*".to_owned()))).chain(items.iter().cloned()).collect()
        }
        ColumnChange::AddOrReplace(items) => {
            let mut list: Vec<Expression> = columns.iter().map(column).collect();
            for item in items {
                let name = item.alias_name().or(item.column_name());
                let place = name.and_then(|name| columns.iter().position(|column| column == name));
                match place.and_then(|place| list.get_mut(place)) {
                    Some(old) => *old = item.clone(),
                    None => list.push(item.clone()),
                }
            }
            list
        }
        ColumnChange::Rename(items) => {
            let mut list: Vec<Expression> = columns.iter().map(column).collect();
            for item in items {
                let place = place(item.column_name(), columns)?;
                if let Some(old) = list.get_mut(place) {
                    *old = item.clone();
                }
            }
            list
        }
        ColumnChange::Drop(items) => {
            let dropped: Vec<usize> =
                items.iter().map(|item| place(item.column_name(), columns)).collect::<Result<_, _>>()?;
            let kept = columns.iter().enumerate().filter(|(index, _)| !dropped.contains(index));
            let kept: Vec<Expression> = kept.map(|(_, name)| column(name)).collect();
            if kept.is_empty() {
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a table must keep one column at least"));
            }
            kept
        }
    })
}

/// Where the column of that name is.
fn place(name: Option<&str>, columns: &[String]) -> Result<usize, SqlError> {
    let Some(name) = name else {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "a column must be named here, as in col(\"a\")"));
    };
    columns.iter().position(|column| column == name).ok_or_else(|| {
        SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" does not exist"))
            .with_hint(format!("the columns are {}", columns.join(", ")))
    })
}
