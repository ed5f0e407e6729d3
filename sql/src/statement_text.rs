//! Canonical `CREATE` statements, for `SHOW CREATE` and the catalog: text that [`crate::parse`] reads back.

use arrow::datatypes::Schema;
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS,
};

use crate::catalog::{Column, ColumnOrigin, Relation, RelationKind};

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

/// `CREATE TABLE` of a table under this name, its definition not looked at.
pub(crate) fn create_table(relation: &Relation, name: &str) -> String {
    let mut parts: Vec<String> = relation.columns.iter().map(column).collect();
    let (schema, primary_key, watermark) = match &relation.kind {
        RelationKind::ConnectorTable(table) => (&table.spec.schema, &table.spec.primary_key, &table.watermark),
        RelationKind::InternalTable(table) => (&table.schema, &table.primary_key, &table.watermark),
        RelationKind::View { .. } | RelationKind::MaterializedView { .. } => return relation.definition.clone(),
    };
    if let Some((index, expr)) = watermark {
        let column = relation.columns.get(*index).map_or("", |column| column.name.as_str());
        parts.push(format!("WATERMARK FOR {} AS {expr}", ident(column)));
    }
    if !primary_key.is_empty() {
        parts.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(schema, primary_key)));
    }
    let temporary = if relation.temporary { "TEMPORARY " } else { "" };
    let mut text = format!("CREATE {temporary}TABLE {name} (\n  {}\n)", parts.join(",\n  "));
    if let Some(comment) = &relation.comment {
        text += &format!(" COMMENT {}", string(comment));
    }
    if let RelationKind::ConnectorTable(table) = &relation.kind {
        if !table.spec.partitioned_by.is_empty() {
            text += &format!(" PARTITIONED BY ({})", names(schema, &table.spec.partitioned_by));
        }
        let connector = format!("'connector' = {}", string(&table.connector));
        let options = table.spec.options.0.iter().map(|(key, value)| format!("{} = {}", string(key), string(value)));
        let options: Vec<String> = std::iter::once(connector).chain(options).collect();
        text += &format!(" WITH (\n  {}\n)", options.join(",\n  "));
    }
    text
}

/// `CREATE [MATERIALIZED] VIEW` of a view under this name with this query; with its column names where they are not the query's.
pub(crate) fn create_view(relation: &Relation, name: &str, query: &str, renamed: bool) -> String {
    let kind = match (&relation.kind, relation.temporary) {
        (RelationKind::MaterializedView { .. }, _) => "MATERIALIZED VIEW",
        (_, true) => "TEMPORARY VIEW",
        (_, false) => "VIEW",
    };
    let commented = |text: &Option<String>| text.as_ref().map(|text| format!("COMMENT {}", string(text)));
    let column = |column: &Column| match commented(&column.comment) {
        Some(comment) => format!("{} {comment}", ident(&column.name)),
        None => ident(&column.name),
    };
    let columns: Vec<String> = relation.columns.iter().map(column).collect();
    let listed = renamed || relation.columns.iter().any(|column| column.comment.is_some());
    let columns = if listed { format!(" ({})", columns.join(", ")) } else { String::new() };
    let comment = commented(&relation.comment).map_or_else(String::new, |comment| format!("\n{comment}"));
    format!("CREATE {kind} {name}{columns}{comment} AS\n{query}")
}

/// A column of a table.
fn column(column: &Column) -> String {
    let name = ident(&column.name);
    let mut text = match &column.origin {
        ColumnOrigin::Physical if column.nullable => format!("{name} {}", column.data_type.text),
        ColumnOrigin::Physical => format!("{name} {} NOT NULL", column.data_type.text),
        ColumnOrigin::Computed(expr) => format!("{name} AS {expr}"),
        ColumnOrigin::Metadata(key, is_virtual) => {
            let from = if *key == column.name { String::new() } else { format!(" FROM {}", string(key)) };
            let is_virtual = if *is_virtual { " VIRTUAL" } else { "" };
            format!("{name} {} METADATA{from}{is_virtual}", column.data_type.text)
        }
    };
    if let Some(comment) = &column.comment {
        text += &format!(" COMMENT {}", string(comment));
    }
    text
}

fn names(schema: &Schema, indexes: &[usize]) -> String {
    let names = indexes.iter().filter_map(|index| schema.fields().get(*index)).map(|field| ident(field.name()));
    names.collect::<Vec<_>>().join(", ")
}
