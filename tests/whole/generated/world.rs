//! [`World`]: random tables, and the statements that fill and change them.

use std::fmt::Write as _;

use super::random::Random;

/// What a column holds. Within a kind any two values can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Decimal,
    Text,
    Time,
    Date,
    Bool,
    Double,
}

pub(super) const KINDS: [Kind; 7] =
    [Kind::Int, Kind::Decimal, Kind::Text, Kind::Time, Kind::Date, Kind::Bool, Kind::Double];

#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// A table or view by name.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// A table and the keys of its rows; one without keys takes insertions only.
#[derive(Debug, Clone)]
struct Table {
    relation: Relation,
    keyed: bool,
    ids: Vec<usize>,
    next_id: usize,
}

/// Tables and what happens to them.
#[derive(Debug, Clone)]
pub(super) struct World {
    tables: Vec<Table>,
}

impl Kind {
    fn sql_type(self) -> &'static str {
        match self {
            Self::Int => "INT",
            Self::Decimal => "DECIMAL(10, 2)",
            Self::Text => "STRING",
            Self::Time => "TIMESTAMP(3)",
            Self::Date => "DATE",
            Self::Bool => "BOOLEAN",
            Self::Double => "DOUBLE",
        }
    }

    /// A value, of few, so that keys meet.
    pub(super) fn literal(self, random: &mut Random) -> String {
        match self {
            Self::Int => random.below(6).to_string(),
            Self::Decimal => format!("{}.{}", random.below(4), random.pick(&["00", "25", "50"])),
            Self::Text => format!("'{}'", random.pick(&["a", "b", "ab", "", "ß", "NULL"])),
            Self::Time => format!("TIMESTAMP '2026-01-0{} 0{}:30:00'", random.between(1, 3), random.below(3)),
            Self::Date => format!("DATE '2026-0{}-28'", random.between(1, 4)),
            Self::Bool => random.pick(&["TRUE", "FALSE"]).to_owned(),
            Self::Double => format!("CAST({} AS DOUBLE)", random.pick(&["0", "1.5", "-2", "3.25"])),
        }
    }
}

impl World {
    pub(super) fn new(random: &mut Random) -> Self {
        let tables = (0..random.between(2, 3)).map(|number| {
            let keyed = number < 2 || random.chance(50);
            let mut columns = vec![Column { name: format!("t{number}id"), kind: Kind::Int }];
            // Every table has a number, so that any two can be joined.
            columns.push(Column { name: format!("t{number}c0"), kind: Kind::Int });
            for at in 1..random.between(3, 5) {
                columns.push(Column { name: format!("t{number}c{at}"), kind: KINDS[random.below(KINDS.len())] });
            }
            let relation = Relation { name: format!("t{number}"), columns };
            Table { relation, keyed, ids: Vec::new(), next_id: 0 }
        });
        Self { tables: tables.collect() }
    }

    pub(super) fn relations(&self) -> Vec<Relation> {
        self.tables.iter().map(|table| table.relation.clone()).collect()
    }

    /// The statements that declare the tables.
    pub(super) fn declarations(&self) -> Vec<String> {
        let declared = self.tables.iter().map(|table| {
            let columns = table.relation.columns.iter().enumerate().map(|(at, column)| {
                let key = if at == 0 && table.keyed { " PRIMARY KEY NOT ENFORCED" } else { "" };
                format!("{} {}{key}", column.name, column.kind.sql_type())
            });
            format!("CREATE TABLE {} ({})", table.relation.name, columns.collect::<Vec<_>>().join(", "))
        });
        declared.collect()
    }

    /// Insertions into all tables, in batches that take turns.
    pub(super) fn fill(&mut self, random: &mut Random) -> Vec<String> {
        let mut statements = Vec::new();
        for at in 0..self.tables.len() {
            for _ in 0..random.between(1, 3) {
                statements.push(self.insert(at, random));
            }
        }
        random.shuffle(&mut statements);
        statements
    }

    /// Changes of all kinds.
    pub(super) fn change(&mut self, random: &mut Random) -> Vec<String> {
        (0..random.between(4, 8))
            .map(|_| {
                let at = random.below(self.tables.len());
                if !self.tables[at].keyed || self.tables[at].ids.is_empty() {
                    return self.insert(at, random);
                }
                match random.below(10) {
                    0..3 => self.insert(at, random),
                    3..7 => self.update(at, random),
                    _ => self.delete(at, random),
                }
            })
            .collect()
    }

    fn value(kind: Kind, random: &mut Random) -> String {
        if random.chance(15) { "NULL".to_owned() } else { kind.literal(random) }
    }

    fn insert(&mut self, at: usize, random: &mut Random) -> String {
        let table = &mut self.tables[at];
        let mut rows = Vec::new();
        for _ in 0..random.between(1, 7) {
            let mut row = String::new();
            let id = if table.keyed { table.next_id } else { random.below(4) };
            write!(row, "({id}").unwrap();
            for column in &table.relation.columns[1..] {
                write!(row, ", {}", Self::value(column.kind, random)).unwrap();
            }
            table.ids.push(id);
            table.next_id += 1;
            rows.push(row + ")");
        }
        random.shuffle(&mut rows);
        format!("INSERT INTO {} VALUES {}", table.relation.name, rows.join(", "))
    }

    /// Which rows a change is of: one, or all that have a value.
    fn picked(table: &Table, random: &mut Random) -> String {
        if random.chance(70) {
            return format!("{} = {}", table.relation.columns[0].name, table.ids[random.below(table.ids.len())]);
        }
        let column = &table.relation.columns[random.between(1, table.relation.columns.len() - 1)];
        if random.chance(20) {
            return format!("{} IS NULL", column.name);
        }
        format!("{} = {}", column.name, column.kind.literal(random))
    }

    fn update(&mut self, at: usize, random: &mut Random) -> String {
        let table = &self.tables[at];
        let column = &table.relation.columns[random.between(1, table.relation.columns.len() - 1)];
        let (name, value) = (&column.name, Self::value(column.kind, random));
        format!("UPDATE {} SET {name} = {value} WHERE {}", table.relation.name, Self::picked(table, random))
    }

    fn delete(&mut self, at: usize, random: &mut Random) -> String {
        let table = &self.tables[at];
        if random.chance(5) {
            return format!("DELETE FROM {}", table.relation.name);
        }
        format!("DELETE FROM {} WHERE {}", table.relation.name, Self::picked(table, random))
    }
}
