//! Tables between `group_by` or `window` and `select`.

use crate::expression::{Expression, ToExpression};
use crate::plan::Plan;
use crate::table::{Table, expressions};
use crate::window::{GroupWindow, OverWindow};

/// What [`Table::window`] takes.
pub trait TableWindow {
    /// What it makes of a table.
    type Windowed;

    /// The table with the window.
    fn of(self, table: Table) -> Self::Windowed;
}

impl TableWindow for GroupWindow {
    type Windowed = WindowedTable;

    fn of(self, table: Table) -> WindowedTable {
        WindowedTable { table, window: self }
    }
}

impl TableWindow for OverWindow {
    type Windowed = OverWindowedTable;

    fn of(self, table: Table) -> OverWindowedTable {
        OverWindowedTable { table, windows: vec![self] }
    }
}

impl<const N: usize> TableWindow for [OverWindow; N] {
    type Windowed = OverWindowedTable;

    fn of(self, table: Table) -> OverWindowedTable {
        OverWindowedTable { table, windows: self.into() }
    }
}

/// A table with a window to be grouped by.
#[derive(Debug, Clone)]
pub struct WindowedTable {
    table: Table,
    window: GroupWindow,
}

impl WindowedTable {
    /// One row for each window and value of the other keys; the window's alias is one of the keys.
    #[must_use]
    pub fn group_by<E: ToExpression>(&self, keys: impl IntoIterator<Item = E>) -> GroupedTable {
        GroupedTable::new(self.table.clone(), Some(self.window.clone()), expressions(keys))
    }
}

/// A table with keys.
#[derive(Debug, Clone)]
pub struct GroupedTable {
    table: Table,
    window: Option<GroupWindow>,
    keys: Vec<Expression>,
}

impl GroupedTable {
    pub(crate) fn new(table: Table, window: Option<GroupWindow>, keys: Vec<Expression>) -> Self {
        Self { table, window, keys }
    }

    /// Keys, aggregates, and what is computed from both.
    #[must_use]
    pub fn select<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Table {
        let (window, keys, items) = (self.window.clone(), self.keys.clone(), expressions(items));
        self.table.with(|input| Plan::Aggregate { input, window, keys, items })
    }
}

/// A table with windows around each row.
#[derive(Debug, Clone)]
pub struct OverWindowedTable {
    table: Table,
    windows: Vec<OverWindow>,
}

impl OverWindowedTable {
    /// Columns, and what is computed over the windows: `col("price").avg().over("w")`.
    #[must_use]
    pub fn select<E: ToExpression>(&self, items: impl IntoIterator<Item = E>) -> Table {
        let (windows, items) = (self.windows.clone(), expressions(items));
        self.table.with(|input| Plan::Over { input, windows, items })
    }
}
