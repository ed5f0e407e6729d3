//! DataFusion's errors of planning as PostgreSQL's: SQLSTATE, message, position. Those of a query that runs are the database's.

use datafusion::common::{DataFusionError, Diagnostic, SchemaError};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::position::packed;
use crate::error::{SqlError, SqlState, state_of_text};
use crate::functions::SEVERAL_ROWS;

/// Maps an error of DataFusion.
pub(crate) fn from_datafusion(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(error) => match error.downcast::<SqlError>() {
            Ok(error) => *error,
            Err(error) => match error.downcast::<millstream_engine::EngineError>() {
                Ok(error) => SqlError::from(*error),
                Err(error) => SqlError::new(SqlState::INTERNAL_ERROR, error.to_string()),
            },
        },
        DataFusionError::Diagnostic(diagnostic, inner) => located(from_datafusion(*inner), &diagnostic),
        DataFusionError::Context(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => SqlError::new(SqlState::INTERNAL_ERROR, "an error without a cause"),
        },
        DataFusionError::SchemaError(error, _) => schema_error(*error),
        DataFusionError::ArrowError(error, _) => match *error {
            arrow::error::ArrowError::ExternalError(inner) => from_datafusion(DataFusionError::External(inner)),
            other => data_error(&other.to_string()),
        },
        DataFusionError::Execution(message) => data_error(&message),
        DataFusionError::NotImplemented(message) => SqlError::unsupported(lower_first(&message)),
        DataFusionError::Plan(message) => plan_error(&message),
        // Operands of BETWEEN that cannot be compared.
        DataFusionError::Internal(message) if message.contains("Failed to coerce types") => plan_error(&message),
        DataFusionError::SQL(error, _) => SqlError::new(SqlState::SYNTAX_ERROR, error.to_string()),
        DataFusionError::ResourcesExhausted(message) => SqlError::new(SqlState("53200"), lower_first(&message)),
        DataFusionError::IoError(error) => SqlError::new(SqlState::IO_ERROR, error.to_string()),
        DataFusionError::Shared(error) => shared(&error),
        other => SqlError::new(SqlState::INTERNAL_ERROR, lower_first(&other.strip_backtrace())),
    }
}

/// An error that several tasks share cannot be taken apart.
fn shared(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(error) => match error.downcast_ref::<SqlError>() {
            Some(error) => error.clone(),
            None => SqlError::new(SqlState::INTERNAL_ERROR, error.to_string()),
        },
        DataFusionError::Shared(inner) => shared(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => shared(inner),
        DataFusionError::ArrowError(error, _) => data_error(&error.to_string()),
        DataFusionError::Execution(message) => data_error(message),
        other => SqlError::new(SqlState::INTERNAL_ERROR, lower_first(&other.strip_backtrace())),
    }
}

fn located(error: SqlError, diagnostic: &Diagnostic) -> SqlError {
    let place = diagnostic.span.or_else(|| diagnostic.notes.iter().find_map(|note| note.span));
    match (error.parts().position, place) {
        (None, Some(span)) => match packed(Location::new(span.start.line, span.start.column)) {
            Some(position) => error.at(position),
            None => error,
        },
        _ => error,
    }
}

fn schema_error(error: SchemaError) -> SqlError {
    match error {
        SchemaError::AmbiguousReference { field } => {
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" is there more than once"))
                .with_hint("give the columns different names with AS")
        }
        SchemaError::FieldNotFound { field, valid_fields } => {
            let message = format!("column \"{}\" does not exist", field.name);
            let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
            match crate::catalog::nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str())) {
                Some(near) => error.with_hint(format!("perhaps you meant the column \"{near}\"")),
                None => error,
            }
        }
    }
}

/// The planner tells its errors apart by their text only.
fn plan_error(message: &str) -> SqlError {
    let has = |part: &str| message.contains(part);
    if has("GROUP BY clause") || has("GROUP BY or an aggregate") || has("must be in GROUP BY") {
        let column = message.split(['"', '`']).nth(1).or_else(|| message.split("column ").nth(1)).unwrap_or_default();
        let column = column.split([' ', ',']).next().unwrap_or_default();
        let text = if column.is_empty() {
            lower_first(message)
        } else {
            format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function")
        };
        return SqlError::new(SqlState::GROUPING_ERROR, text);
    }
    if has("Aggregate functions are not allowed") {
        return SqlError::new(SqlState::GROUPING_ERROR, "aggregate functions are not allowed in WHERE");
    }
    if has("Invalid function") || has("No function matches") || has("no function matches") || has("coerce_types") {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, lower_first(first_line(message)));
    }
    if has("coerce")
        || has("common argument type")
        || has("non-boolean")
        || has("must be boolean")
        || has("type mismatch")
    {
        return SqlError::new(SqlState::DATATYPE_MISMATCH, lower_first(first_line(message)))
            .with_hint("you might need to add explicit casts");
    }
    if has("does not exist") {
        return SqlError::new(SqlState::UNDEFINED_TABLE, lower_first(message));
    }
    SqlError::new(SqlState::SYNTAX_ERROR, lower_first(message))
}

/// Errors of values, told apart by their text.
fn data_error(message: &str) -> SqlError {
    let has = |part: &str| message.contains(part);
    if has("ivide by zero") {
        return SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero");
    }
    if has(SEVERAL_ROWS) {
        return SqlError::new(SqlState::CARDINALITY_VIOLATION, SEVERAL_ROWS);
    }
    if let Some(state) = state_of_text(message) {
        return SqlError::new(state, lower_first(message));
    }
    if has("arsing timestamp") || has("Timestamp") || has("Date32") || has("date pattern") {
        return SqlError::new(SqlState::INVALID_DATETIME_FORMAT, lower_first(message));
    }
    if has("Cannot cast") || has("cast") || has("Parser error") {
        return SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, lower_first(message));
    }
    SqlError::new(SqlState::DATA_EXCEPTION, lower_first(message))
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn lower_first(message: &str) -> String {
    let message = message.strip_prefix("Error during planning: ").unwrap_or(message).trim_end_matches(['.', '!']);
    let mut letters = message.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => message.to_owned(),
    }
}
