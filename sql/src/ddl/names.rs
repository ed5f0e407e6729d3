//! Names of objects, and what is told where they lead nowhere.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::catalog::{CatalogSnapshot, LookupError};
use crate::error::{Result, SqlError, SqlState};
use crate::namespace;

/// The name that an object is made under: in the database that is named, else in the present one.
///
/// # Errors
/// Where there is no such database, or a part of the name has a dot in it.
pub(super) fn made(name: &sp::ObjectName, catalog: &CatalogSnapshot) -> Result<String> {
    let parts = namespace::parts(name);
    if let Some(odd) = parts.iter().find(|part| part.contains('.')) {
        return Err(SqlError::new(SqlState("42602"), format!("invalid name: \"{odd}\""))
            .with_hint("a name cannot have a dot in it; write database.name without quotes around both"));
    }
    match catalog.candidates(&parts)?.into_iter().next() {
        Some(made) => Ok(made),
        None => Err(SqlError::new(SqlState::INVALID_SCHEMA_NAME, "no schema has been selected to create in")
            .with_hint("USE a database that exists, or SET search_path TO public")),
    }
}

/// The last part of a name, for objects that are in no database.
pub(super) fn last(name: &sp::ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone()).unwrap_or_default()
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
