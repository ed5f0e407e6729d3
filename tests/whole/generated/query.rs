//! [`Queries`]: random queries, each a verb over one or two smaller ones. Every part is a query of its own.
//!
//! A query has one answer: where an order decides, it is of all columns, so that only equal rows are tied.

mod ordered;
mod subqueries;

use super::expr::{aggregate, comparison, predicate, scalar};
use super::random::Random;
use super::world::{Column, KINDS, Kind, Relation};

/// A query and its columns.
#[derive(Debug, Clone)]
pub(super) struct Query {
    pub(super) sql: String,
    pub(super) columns: Vec<Column>,
}

/// What stands in a FROM clause, and its columns with the name that they have there.
struct From {
    text: String,
    columns: Vec<Column>,
}

/// Makes queries over relations.
pub(super) struct Queries<'a> {
    random: &'a mut Random,
    relations: &'a [Relation],
    /// All queries that were made on the way.
    parts: Vec<String>,
    names: usize,
}

impl<'a> Queries<'a> {
    pub(super) fn new(random: &'a mut Random, relations: &'a [Relation]) -> Self {
        Self { random, relations, parts: Vec::new(), names: 0 }
    }

    /// A query of so many levels at most, and the smaller queries that it is made of.
    pub(super) fn make(mut self, depth: usize) -> (Query, Vec<String>) {
        let query = self.query(depth);
        self.parts.pop();
        (query, self.parts)
    }

    fn query(&mut self, depth: usize) -> Query {
        let query = match (depth, self.random.below(20)) {
            (0, _) => self.select(0),
            (_, 0..3) => self.select(depth - 1),
            (_, 3..6) => self.join(depth - 1),
            (_, 6..9) => self.group(depth - 1),
            (_, 9) => self.grouping_sets(depth - 1),
            (_, 10..13) => self.with_subquery(depth - 1),
            (_, 13) => self.top_n(depth - 1),
            (_, 14) => self.limit(depth - 1),
            (_, 15) => self.over(depth - 1),
            (_, 16) => self.distinct(depth - 1),
            (_, 17..19) => self.set_operation(depth - 1),
            _ => self.common_table(depth - 1),
        };
        self.parts.push(query.sql.clone());
        query
    }

    fn name(&mut self, letter: char) -> String {
        self.names += 1;
        format!("{letter}{}", self.names)
    }

    /// A relation or a subquery under a name of its own.
    fn from(&mut self, depth: usize) -> From {
        if depth == 0 || self.random.chance(30) {
            let relation = &self.relations[self.random.below(self.relations.len())];
            return self.named(&relation.name, &relation.columns);
        }
        let query = self.query(depth);
        self.named(&format!("({})", query.sql), &query.columns)
    }

    fn named(&mut self, what: &str, columns: &[Column]) -> From {
        let name = self.name('r');
        let columns =
            columns.iter().map(|column| Column { name: format!("{name}.{}", column.name), kind: column.kind });
        From { columns: columns.collect(), text: format!("{what} AS {name}") }
    }

    /// A select list under new names. Repeated columns are left out.
    fn list(&mut self, exprs: Vec<(String, Kind)>) -> (String, Vec<Column>) {
        let columns: Vec<Column> = exprs.iter().map(|&(_, kind)| Column { name: self.name('c'), kind }).collect();
        let items = exprs.iter().zip(&columns).map(|((expr, _), column)| format!("{expr} AS {}", column.name));
        (items.collect::<Vec<_>>().join(", "), columns)
    }

    fn some_exprs(&mut self, scope: &[Column], most: usize) -> Vec<(String, Kind)> {
        (0..self.random.between(1, most))
            .map(|_| {
                let column = &scope[self.random.below(scope.len())];
                match self.random.chance(70) {
                    true => (column.name.clone(), column.kind),
                    false => (scalar(column.kind, scope, 2, self.random), column.kind),
                }
            })
            .collect()
    }

    fn where_clause(&mut self, scope: &[Column], percent: usize) -> String {
        match self.random.chance(percent) {
            true => format!(" WHERE {}", predicate(scope, 2, self.random)),
            false => String::new(),
        }
    }

    fn select(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let exprs = self.some_exprs(&from.columns, 4);
        let (list, columns) = self.list(exprs);
        let condition = self.where_clause(&from.columns, 60);
        Query { sql: format!("SELECT {list} FROM {}{condition}", from.text), columns }
    }

    /// Columns of both sides of one kind, where there are.
    fn pair(&mut self, left: &[Column], right: &[Column]) -> Option<(String, String)> {
        let mut pairs = Vec::new();
        for one in left {
            pairs.extend(right.iter().filter(|other| other.kind == one.kind).map(|other| (one, other)));
        }
        if pairs.is_empty() {
            return None;
        }
        let (one, other) = pairs[self.random.below(pairs.len())];
        Some((one.name.clone(), other.name.clone()))
    }

    /// A condition over both sides, with an equality where there can be one.
    fn condition(&mut self, left: &[Column], right: &[Column]) -> String {
        let Some((one, other)) = self.pair(left, right) else { return predicate(right, 1, self.random) };
        let mut condition = match self.random.below(10) {
            0 => format!("{one} {} {other}", comparison(self.random)),
            1 => format!("{one} IS NOT DISTINCT FROM {other}"),
            _ => format!("{one} = {other}"),
        };
        if self.random.chance(25)
            && let Some((one, other)) = self.pair(left, right)
        {
            condition += &format!(" AND {one} {} {other}", comparison(self.random));
        }
        if self.random.chance(20) {
            let side = if self.random.chance(50) { left } else { right };
            condition += &format!(" AND {}", predicate(side, 1, self.random));
        }
        condition
    }

    fn join(&mut self, depth: usize) -> Query {
        let (left, right) = (self.from(depth), self.from(depth / 2));
        let both = [left.columns.as_slice(), &right.columns].concat();
        let word = self.random.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", ","]);
        let condition = self.condition(&left.columns, &right.columns);
        let on = if word == "," { "WHERE" } else { "ON" };
        let exprs = self.some_exprs(&both, 5);
        let (list, columns) = self.list(exprs);
        let rest = if word == "," { String::new() } else { self.where_clause(&both, 20) };
        Query { sql: format!("SELECT {list} FROM {} {word} {} {on} {condition}{rest}", left.text, right.text), columns }
    }

    /// Aggregates, some of them behind keys.
    fn aggregates(&mut self, scope: &[Column], keys: Vec<(String, Kind)>) -> (String, Vec<Column>) {
        let mut exprs = keys;
        for _ in 0..self.random.between(1, 3) {
            exprs.push(aggregate(scope, self.random));
        }
        self.list(exprs)
    }

    fn group(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let keys = if self.random.chance(15) { Vec::new() } else { self.some_exprs(&from.columns, 2) };
        let by: Vec<&str> = keys.iter().map(|(expr, _)| expr.as_str()).collect();
        let by = if by.is_empty() { String::new() } else { format!(" GROUP BY {}", by.join(", ")) };
        // A literal as a key would be the place of an output.
        if keys.iter().any(|(key, _)| !key.contains(".c") && !key.contains(".t")) {
            return self.select(depth);
        }
        let having = match self.random.chance(25) {
            true => {
                let (call, kind) = aggregate(&from.columns, self.random);
                format!(" HAVING {call} {} {}", comparison(self.random), kind.literal(self.random))
            }
            false => String::new(),
        };
        let condition = self.where_clause(&from.columns, 30);
        let (list, columns) = self.aggregates(&from.columns, keys);
        Query { sql: format!("SELECT {list} FROM {}{condition}{by}{having}", from.text), columns }
    }

    fn grouping_sets(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        let mut keys: Vec<(String, Kind)> = Vec::new();
        for column in from.columns.iter().take(3) {
            if keys.is_empty() || self.random.chance(60) {
                keys.push((column.name.clone(), column.kind));
            }
        }
        let by: Vec<&str> = keys.iter().map(|(expr, _)| expr.as_str()).collect();
        let all = by.join(", ");
        let by = match self.random.below(3) {
            0 => format!("ROLLUP ({all})"),
            1 => format!("CUBE ({all})"),
            _ => format!("GROUPING SETS (({all}), ({}), ())", by[0]),
        };
        let (list, columns) = self.aggregates(&from.columns, keys);
        Query { sql: format!("SELECT {list} FROM {} GROUP BY {by}", from.text), columns }
    }

    fn distinct(&mut self, depth: usize) -> Query {
        let from = self.from(depth);
        if self.random.chance(40) {
            let Column { name, kind } = from.columns[self.random.below(from.columns.len())].clone();
            let order = self.total_order(&from.columns);
            let mut exprs = self.some_exprs(&from.columns, 3);
            exprs.insert(0, (name.clone(), kind));
            let (list, columns) = self.list(exprs);
            let sql = format!("SELECT DISTINCT ON ({name}) {list} FROM {} ORDER BY {name}, {order}", from.text);
            return Query { sql, columns };
        }
        let exprs = self.some_exprs(&from.columns, 3);
        let (list, columns) = self.list(exprs);
        Query { sql: format!("SELECT DISTINCT {list} FROM {}", from.text), columns }
    }

    /// A query that gives columns of these kinds.
    fn of_kinds(&mut self, kinds: &[Kind], depth: usize) -> Query {
        let from = self.from(depth);
        let exprs = kinds.iter().map(|&kind| (scalar(kind, &from.columns, 1, self.random), kind)).collect();
        let (list, columns) = self.list(exprs);
        let condition = self.where_clause(&from.columns, 30);
        Query { sql: format!("SELECT {list} FROM {}{condition}", from.text), columns }
    }

    fn set_operation(&mut self, depth: usize) -> Query {
        let kinds: Vec<Kind> = (0..self.random.between(1, 3)).map(|_| KINDS[self.random.below(KINDS.len())]).collect();
        let (left, right) = (self.of_kinds(&kinds, depth), self.of_kinds(&kinds, depth / 2));
        let word = self.random.pick(&["UNION", "INTERSECT", "EXCEPT"]);
        let all = if self.random.chance(50) { " ALL" } else { "" };
        Query { sql: format!("({}) {word}{all} ({})", left.sql, right.sql), columns: left.columns }
    }

    fn common_table(&mut self, depth: usize) -> Query {
        let inner = self.query(depth);
        let name = self.name('w');
        let (left, right) = (self.named(&name, &inner.columns), self.named(&name, &inner.columns));
        let condition = self.condition(&left.columns, &right.columns);
        let both = [left.columns, right.columns].concat();
        let exprs = self.some_exprs(&both, 4);
        let (list, columns) = self.list(exprs);
        let word = self.random.pick(&["JOIN", "LEFT JOIN"]);
        let body = format!("SELECT {list} FROM {} {word} {} ON {condition}", left.text, right.text);
        Query { sql: format!("WITH {name} AS ({}) {body}", inner.sql), columns }
    }
}
