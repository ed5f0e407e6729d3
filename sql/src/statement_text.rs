//! The pieces of a canonical statement, for `SHOW CREATE` and the catalog: text that [`crate::parse`] reads back.

use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS,
};

/// Words that `sqlparser` does not reserve and that mean something else where a name stands in our statements.
const RESERVED: [&str; 22] = [
    "ARRAY",
    "CASE",
    "CAST",
    "CHECK",
    "CONSTRAINT",
    "DEFAULT",
    "EXISTS",
    "FALSE",
    "FOREIGN",
    "IF",
    "INTERVAL",
    "MAP",
    "NOT",
    "NULL",
    "PRIMARY",
    "REFERENCES",
    "ROW",
    "TABLE",
    "TRUE",
    "TRY_CAST",
    "UNIQUE",
    "WATERMARK",
];

/// A name, quoted with backticks where it must be.
pub(crate) fn ident(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && chars.all(|next| next.is_ascii_alphanumeric() || next == '_')
        && !reserved(&name.to_ascii_uppercase());
    if plain { name.to_owned() } else { format!("`{}`", name.replace('`', "``")) }
}

fn reserved(upper: &str) -> bool {
    let keyword = ALL_KEYWORDS.binary_search(&upper).ok().and_then(|index| ALL_KEYWORDS_INDEX.get(index));
    RESERVED.contains(&upper)
        || keyword
            .is_some_and(|word| RESERVED_FOR_COLUMN_ALIAS.contains(word) || RESERVED_FOR_TABLE_ALIAS.contains(word))
}

/// A string in quotes.
pub(crate) fn string(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}
