//! A `SELECT` under construction.

/// A query so far.
pub(super) enum Query {
    /// One that clauses can be added to.
    Select(Select),
    /// One that is as it is.
    Whole(String),
}

/// The clauses of a `SELECT`.
#[derive(Default)]
pub(super) struct Select {
    pub(super) distinct: bool,
    /// `None`: all columns.
    pub(super) items: Option<Vec<String>>,
    pub(super) from: String,
    /// Whether `from` is a join.
    pub(super) joins: bool,
    /// Conditions that are all true.
    pub(super) filter: Vec<String>,
    /// `Some` of nothing: one group of all rows.
    pub(super) group: Option<Vec<String>>,
    pub(super) order: Vec<String>,
    pub(super) offset: Option<u64>,
    pub(super) fetch: Option<u64>,
}

impl Select {
    /// All columns of what stands behind `FROM`.
    pub(super) fn from(from: String) -> Self {
        Self { from, ..Self::default() }
    }

    /// All columns of a join.
    pub(super) fn from_join(from: String) -> Self {
        Self { from, joins: true, ..Self::default() }
    }

    /// Nothing but `FROM` and `WHERE` is there.
    pub(super) fn is_plain(&self) -> bool {
        !self.distinct && self.items.is_none() && self.group.is_none() && !self.is_ordered()
    }

    /// Nothing but `FROM` is there.
    pub(super) fn is_all(&self) -> bool {
        self.is_plain() && self.filter.is_empty()
    }

    /// The order or the number of rows is settled.
    pub(super) fn is_ordered(&self) -> bool {
        !self.order.is_empty() || self.offset.is_some() || self.fetch.is_some()
    }

    fn into_sql(self) -> String {
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let items = self.items.map_or_else(|| "*".to_owned(), |items| items.join(", "));
        let mut text = format!("SELECT {distinct}{items} FROM {}", self.from);
        match self.filter.as_slice() {
            [] => {}
            [one] => text.push_str(&format!(" WHERE {one}")),
            several => {
                let all: Vec<String> = several.iter().map(|condition| format!("({condition})")).collect();
                text.push_str(&format!(" WHERE {}", all.join(" AND ")));
            }
        }
        if let Some(group) = self.group.filter(|group| !group.is_empty()) {
            text.push_str(&format!(" GROUP BY {}", group.join(", ")));
        }
        if !self.order.is_empty() {
            text.push_str(&format!(" ORDER BY {}", self.order.join(", ")));
        }
        if let Some(fetch) = self.fetch {
            text.push_str(&format!(" LIMIT {fetch}"));
        }
        if let Some(offset) = self.offset {
            text.push_str(&format!(" OFFSET {offset}"));
        }
        text
    }
}

impl Query {
    /// The query as SQL.
    pub(super) fn into_sql(self) -> String {
        match self {
            Self::Select(select) => select.into_sql(),
            Self::Whole(text) => text,
        }
    }

    /// The query as an operand of a set operation.
    pub(super) fn into_operand(self) -> String {
        match self {
            Self::Select(select) if !select.is_ordered() => select.into_sql(),
            other => format!("({})", other.into_sql()),
        }
    }
}
