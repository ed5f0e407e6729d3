//! Queries in which an order decides: Top-N, deduplication, LIMIT, OVER.

use super::super::expr::{aggregate, scalar};
use super::super::world::{Column, Kind};
use super::{Queries, Query};

impl Queries<'_> {
    /// All columns, in random order and directions: only equal rows are tied.
    pub(super) fn total_order(&mut self, scope: &[Column]) -> String {
        let mut keys: Vec<String> = scope
            .iter()
            .map(|column| {
                let nulls = self.random.pick(&["", "", " NULLS FIRST", " NULLS LAST"]);
                format!("{}{}{nulls}", column.name, self.random.pick(&["", " DESC"]))
            })
            .collect();
        self.random.shuffle(&mut keys);
        keys.join(", ")
    }

    fn partition(&mut self, scope: &[Column]) -> String {
        match self.random.chance(70) {
            true => format!("PARTITION BY {} ", scope[self.random.below(scope.len())].name),
            false => String::new(),
        }
    }

    pub(super) fn top_n(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let (partition, order) = (self.partition(&from.columns), self.total_order(&from.columns));
        let (function, order) = match self.random.below(5) {
            0 => ("RANK", from.columns[self.random.below(from.columns.len())].name.clone()),
            1 => ("DENSE_RANK", from.columns[self.random.below(from.columns.len())].name.clone()),
            _ => ("ROW_NUMBER", order),
        };
        let exprs = from.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
        let (list, columns) = self.list(exprs);
        let (place, name) = (self.name('c'), self.name('r'));
        let bound = match self.random.below(4) {
            0 => format!("{place} = 1"),
            1 => format!("{place} BETWEEN 2 AND 3"),
            _ => format!("{place} <= {}", self.random.between(1, 3)),
        };
        let inner =
            format!("SELECT {list}, {function}() OVER ({partition}ORDER BY {order}) AS {place} FROM {}", from.text);
        let mut columns = columns;
        if self.random.chance(50) {
            columns.push(Column { name: place, kind: Kind::Int });
        }
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        let sql = format!("SELECT {} FROM ({inner}) AS {name} WHERE {bound}", names.join(", "));
        Query { sql, columns }
    }

    pub(super) fn limit(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let exprs = from.columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
        let (list, columns) = self.list(exprs);
        let order = self.total_order(&columns);
        let offset = if self.random.chance(30) { " OFFSET 2" } else { "" };
        let count = self.random.between(1, 5);
        Query { sql: format!("SELECT {list} FROM {} ORDER BY {order} LIMIT {count}{offset}", from.text), columns }
    }

    pub(super) fn over(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let scope = &from.columns;
        let mut exprs = self.some_exprs(scope, 3);
        for _ in 0..self.random.between(1, 2) {
            let (partition, order) = (self.partition(scope), self.total_order(scope));
            let kind = scope[self.random.below(scope.len())].kind;
            let arg = scalar(kind, scope, 1, self.random);
            exprs.push(match self.random.below(9) {
                0 => (format!("ROW_NUMBER() OVER ({partition}ORDER BY {order})"), Kind::Int),
                1 => (format!("LAG({arg}) OVER ({partition}ORDER BY {order})"), kind),
                2 => (format!("LEAD({arg}, 2) OVER ({partition}ORDER BY {order})"), kind),
                3 => (format!("FIRST_VALUE({arg}) OVER ({partition}ORDER BY {order})"), kind),
                4 => {
                    let by = &scope[self.random.below(scope.len())].name;
                    (format!("DENSE_RANK() OVER ({partition}ORDER BY {by})"), Kind::Int)
                }
                5 => (format!("NTILE(2) OVER ({partition}ORDER BY {order})"), Kind::Int),
                place => {
                    let (call, kind) = self.window_aggregate(scope);
                    let frame = match place {
                        6 => "ROWS BETWEEN 2 PRECEDING AND CURRENT ROW",
                        7 => "ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING",
                        _ => self.random.pick(&["", "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"]),
                    };
                    (format!("{call} OVER ({partition}ORDER BY {order} {frame})"), kind)
                }
            });
        }
        let (list, columns) = self.list(exprs);
        Query { sql: format!("SELECT {list} FROM {}", from.text), columns }
    }

    /// An aggregate that can stand before OVER: neither DISTINCT nor ordered.
    fn window_aggregate(&mut self, scope: &[Column]) -> (String, Kind) {
        loop {
            let (call, kind) = aggregate(scope, self.random);
            if !call.contains("DISTINCT ") && !call.contains("STRING_AGG") && !call.contains("FILTER") {
                return (call, kind);
            }
        }
    }
}
