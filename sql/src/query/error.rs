//! DataFusion's errors of planning as PostgreSQL's, with their positions.

use datafusion::common::{DataFusionError, Diagnostic};
use datafusion::sql::sqlparser::tokenizer::Location;

use super::position::packed;
use crate::error::{SqlError, SqlState, lower_first, sql_type};

/// Maps an error of DataFusion's planner.
pub(crate) fn from_datafusion(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => located(from_datafusion(*inner), &diagnostic),
        DataFusionError::Context(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => SqlError::new(SqlState::INTERNAL_ERROR, "an error without a cause"),
        },
        DataFusionError::Plan(message) => plan_error(&message),
        // Operands of BETWEEN that cannot be compared.
        DataFusionError::Internal(message) if message.contains("Failed to coerce types") => plan_error(&message),
        other => crate::error::from_datafusion(other),
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

/// The planner tells its errors apart by their text only.
fn plan_error(message: &str) -> SqlError {
    let message = message.strip_prefix("Error during planning: ").unwrap_or(message).trim_end_matches(['.', '!']);
    let has = |part: &str| message.contains(part);
    if has("GROUP BY clause") || has("GROUP BY or an aggregate") || has("must be in GROUP BY") {
        let named = message.split(['"', '`']).nth(1).or_else(|| message.split("column ").nth(1));
        let column = named.or_else(|| message.split("HAVING clause references: ").nth(1)).unwrap_or_default();
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
    if let Some(call) = message.split_once("argument types '").and_then(|(_, rest)| rest.split_once('\'')) {
        return no_function(call.0);
    }
    if let Some(name) = message.split_once("failed to match any signature").and_then(|(before, _)| {
        let (before, name) = before.trim_end_matches(['\'', ' ']).rsplit_once('\'')?;
        before.ends_with("unction ").then_some(name)
    }) {
        let text = format!("no form of the function {name} takes these arguments");
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, text).with_hint(CASTS);
    }
    // What follows shows a tree.
    if has("substring without for/from") {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, "substring needs a place to begin").with_hint(SUBSTRING);
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
        return SqlError::new(SqlState::DATATYPE_MISMATCH, lower_first(first_line(message))).with_hint(CASTS);
    }
    if has("does not exist") {
        return SqlError::new(SqlState::UNDEFINED_TABLE, lower_first(message));
    }
    SqlError::new(SqlState::SYNTAX_ERROR, lower_first(message))
}

const SUBSTRING: &str = "write SUBSTRING(text FROM start FOR length) or SUBSTRING(text, start, length)";

const CASTS: &str = "you might need to add explicit casts";

/// The error for a call that fits no function, such as `upper(Int64, Int64)`.
fn no_function(call: &str) -> SqlError {
    let (name, types) = call.trim_end_matches(')').split_once('(').unwrap_or((call, ""));
    let mut depth = 0;
    let parts = types.split(|character| {
        match character {
            '(' | '{' | '<' => depth += 1,
            ')' | '}' | '>' => depth -= 1,
            _ => {}
        }
        character == ',' && depth == 0
    });
    let types: Vec<&str> = parts.map(|part| sql_type(part.trim())).collect();
    let message = format!("function {name}({}) does not exist", types.join(", "));
    SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(CASTS)
}

fn first_line(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}
