//! Names of objects. There is one schema: `public` of the database `millstream`, which Flink's scripts call
//! `default_catalog.default_database`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::catalog::LookupError;
use crate::error::{Result, SqlError, SqlState};

/// The last part of a name whose other parts lead to our schema.
///
/// # Errors
/// Where they lead elsewhere.
pub(super) fn simple(name: &sp::ObjectName) -> Result<String> {
    let parts: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    let ours = |schema: &str| ["public", "default_database"].iter().any(|own| schema.eq_ignore_ascii_case(own));
    let whole = |catalog: &str, schema: &str| {
        let pairs = [("millstream", "public"), ("default_catalog", "default_database")];
        pairs.iter().any(|(own, its)| catalog.eq_ignore_ascii_case(own) && schema.eq_ignore_ascii_case(its))
    };
    match parts.as_slice() {
        [table] => Ok((*table).to_owned()),
        [schema, table] if ours(schema) => Ok((*table).to_owned()),
        [catalog, schema, table] if whole(catalog, schema) => Ok((*table).to_owned()),
        [schema, _] => Err(no_schema(schema)),
        [catalog, schema, _] => Err(no_schema(&format!("{catalog}.{schema}"))),
        _ => {
            let message = format!("improper qualified name (too many dotted names): {name}");
            Err(SqlError::new(SqlState::SYNTAX_ERROR, message))
        }
    }
}

fn no_schema(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{name}\" does not exist"))
        .with_hint("everything is in schema \"public\"")
}

/// Where a name stands.
pub(super) fn span(name: &sp::ObjectName) -> Span {
    name.0.first().and_then(|part| part.as_ident()).map_or_else(Span::empty, |ident| ident.span)
}

/// The error for a name that leads to no relation, or to several.
pub(super) fn missing(name: &str, error: LookupError) -> SqlError {
    match error {
        LookupError::Missing(near) => {
            let error = SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{name}\" does not exist"));
            with_near(error, near.as_deref())
        }
        LookupError::Ambiguous(found) => {
            SqlError::new(SqlState::AMBIGUOUS_ALIAS, format!("relation name \"{name}\" is ambiguous"))
                .with_detail(format!("it fits {}", quoted(&found)))
                .with_hint("write the name with the case that it was declared with")
        }
    }
}

/// The error with a hint that names the nearest right name.
pub(super) fn with_near(error: SqlError, near: Option<&str>) -> SqlError {
    match near {
        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
        None => error,
    }
}

/// Names in quotes with commas between them.
pub(super) fn quoted<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(|name| format!("\"{}\"", name.as_ref())).collect::<Vec<_>>().join(", ")
}
