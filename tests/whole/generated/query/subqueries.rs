//! Queries with subqueries in their conditions and select lists: EXISTS, IN, quantified and scalar, correlated or not.

use super::super::expr::{aggregate, comparison, predicate};
use super::super::world::Kind;
use super::{From, Queries, Query};

impl Queries<'_> {
    pub(super) fn with_subquery(&mut self, depth: usize) -> Query {
        let (outer, inner) = (self.from(depth), self.from(depth / 2));
        if self.random.chance(20) {
            return self.scalar_in_list(&outer, &inner);
        }
        let condition = match self.random.below(5) {
            0 => self.exists(&outer, &inner),
            1 | 2 => self.membership(&outer, &inner),
            3 => self.compared(&outer, &inner, false),
            _ => self.compared(&outer, &inner, true),
        };
        let condition = match self.random.below(6) {
            0 => format!("{condition} AND {}", predicate(&outer.columns, 1, self.random)),
            1 => format!("({condition} OR {})", predicate(&outer.columns, 1, self.random)),
            _ => condition,
        };
        let exprs = self.some_exprs(&outer.columns, 3);
        let (list, columns) = self.list(exprs);
        Query { sql: format!("SELECT {list} FROM {} WHERE {condition}", outer.text), columns }
    }

    fn exists(&mut self, outer: &From, inner: &From) -> String {
        let not = self.random.pick(&["", "NOT "]);
        let condition = self.condition(&outer.columns, &inner.columns);
        format!("{not}EXISTS (SELECT 1 FROM {} WHERE {condition})", inner.text)
    }

    fn membership(&mut self, outer: &From, inner: &From) -> String {
        let Some((one, other)) = self.pair(&outer.columns, &inner.columns) else { return self.exists(outer, inner) };
        let not = self.random.pick(&["", "NOT "]);
        let condition = match self.random.below(3) {
            0 => format!(" WHERE {}", predicate(&inner.columns, 1, self.random)),
            1 => format!(" WHERE {other} IS NOT NULL"),
            _ => String::new(),
        };
        format!("{one} {not}IN (SELECT {other} FROM {}{condition})", inner.text)
    }

    /// One aggregated value, of all rows or of those with an equal key.
    fn value(&mut self, outer: &From, inner: &From, correlated: bool) -> (String, Kind) {
        let (call, kind) = loop {
            let (call, kind) = aggregate(&inner.columns, self.random);
            if !call.contains("STRING_AGG") {
                break (call, kind);
            }
        };
        let condition = match self.pair(&outer.columns, &inner.columns).filter(|_| correlated) {
            Some((one, other)) => format!(" WHERE {one} = {other}"),
            None => String::new(),
        };
        (format!("(SELECT {call} FROM {}{condition})", inner.text), kind)
    }

    fn compared(&mut self, outer: &From, inner: &From, correlated: bool) -> String {
        let (value, kind) = self.value(outer, inner, correlated);
        let same = outer.columns.iter().find(|column| column.kind == kind);
        let one = same.map_or_else(|| kind.literal(self.random), |column| column.name.clone());
        format!("{one} {} {value}", comparison(self.random))
    }

    fn scalar_in_list(&mut self, outer: &From, inner: &From) -> Query {
        let mut exprs = self.some_exprs(&outer.columns, 3);
        let correlated = self.random.chance(50);
        exprs.push(self.value(outer, inner, correlated));
        let (list, columns) = self.list(exprs);
        Query { sql: format!("SELECT {list} FROM {}", outer.text), columns }
    }
}
