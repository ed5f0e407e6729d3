//! The errors of DataFusion and Arrow as PostgreSQL's. Many of them are told apart by their texts alone.

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use millstream_engine::EngineError;

use super::{SqlError, SqlState, value};
use crate::catalog::nearest;
use crate::functions::SEVERAL_ROWS;

/// The SQL error for what asks for memory that is not there.
pub fn out_of_memory(message: String) -> SqlError {
    SqlError::new(SqlState::OUT_OF_MEMORY, message)
        .with_hint("Start the server with a larger memory-limit or query-memory, or read less at once.")
}

/// The SQL error that an error of DataFusion stands for.
pub fn from_datafusion(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::External(inner) => from_external(inner),
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => from_datafusion(first),
            None => internal("an empty collection of errors"),
        },
        DataFusionError::Shared(inner) => from_shared(&inner),
        DataFusionError::SchemaError(inner, _) => from_schema(*inner),
        DataFusionError::ResourcesExhausted(message) => out_of_memory(first_line(&message)),
        DataFusionError::NotImplemented(message) => not_implemented(&message),
        DataFusionError::Plan(message) | DataFusionError::Configuration(message) => {
            from_message(&message, SqlState::SYNTAX_ERROR)
        }
        DataFusionError::SQL(inner, _) => SqlError::new(SqlState::SYNTAX_ERROR, lower_first(&inner.to_string())),
        DataFusionError::Execution(message) => from_message(&message, SqlState::DATA_EXCEPTION),
        DataFusionError::IoError(inner) => SqlError::new(SqlState::IO_ERROR, inner.to_string()),
        DataFusionError::ParquetError(inner) => {
            let what = inner.to_string();
            let what = what.strip_prefix("Parquet error: ").unwrap_or(&what);
            SqlError::new(SqlState::IO_ERROR, format!("cannot read a Parquet file: {}", lower_first(&first_line(what))))
        }
        DataFusionError::ObjectStore(inner) => {
            let why = std::error::Error::source(&*inner).map_or_else(|| inner.to_string(), ToString::to_string);
            SqlError::new(SqlState::IO_ERROR, first_line(&why))
        }
        other @ (DataFusionError::Internal(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::Substrait(_)
        | DataFusionError::Ffi(_)) => internal(&other.strip_backtrace()),
        #[allow(unreachable_patterns)] // Variants behind features that another crate of the build may turn on.
        other => internal(&other.strip_backtrace()),
    }
}

/// What DataFusion cannot do, without the tree that it shows.
fn not_implemented(message: &str) -> SqlError {
    if let Some(told) = value::told(message) {
        return told;
    }
    let word = |tree: &str| {
        let end = tree.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(tree.len());
        tree.get(..end).unwrap_or_default().to_owned()
    };
    if let Some((_, node)) = message.split_once("Unsupported ast node in sqltorel: ") {
        return SqlError::unsupported(format!("this kind of expression is not supported: {}", word(node)));
    }
    let Some((_, tree)) = message.split_once("does not support logical expression ") else {
        return SqlError::unsupported(lower_first(&first_line(message)));
    };
    match word(tree).as_str() {
        "OuterReferenceColumn" => SqlError::unsupported("this use of a column of the query around is not supported")
            .with_hint("join the tables, with the condition in ON or WHERE"),
        "ScalarSubquery" | "Exists" | "InSubquery" | "SetComparison" => {
            SqlError::unsupported("a subquery is not supported in this place")
                .with_hint("join its rows, or refer to the query around it in its WHERE only")
        }
        other => SqlError::unsupported(format!("{other} is not supported in this place")),
    }
}

/// The SQL error that an error of Arrow stands for.
pub fn from_arrow(error: ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(message) => {
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, lower_first(&message))
        }
        ArrowError::CastError(message) | ArrowError::ParseError(message) => value::told(&message)
            .unwrap_or_else(|| SqlError::new(cast_state(&message), lower_first(&first_line(&message)))),
        ArrowError::ExternalError(inner) => from_external(inner),
        other => of_value(&other.to_string()),
    }
}

/// The SQL error that the text of an error of an expression stands for: what a job tells of a row it could not compute.
pub fn from_evaluation(message: &str) -> SqlError {
    let message = message.strip_prefix("Arrow error: ").unwrap_or(message);
    if let Some(cast) = message.strip_prefix("Cast error: ").or_else(|| message.strip_prefix("Parser error: ")) {
        return from_arrow(ArrowError::CastError(cast.to_owned()));
    }
    if let Some(overflow) = message.strip_prefix("Arithmetic overflow: ") {
        return from_arrow(ArrowError::ArithmeticOverflow(overflow.to_owned()));
    }
    let message = message.strip_prefix("Execution error: ").unwrap_or(message);
    if message.contains("non-nullable but contains null") {
        return SqlError::new(
            SqlState::NOT_NULL_VIOLATION,
            lower_first(message.trim_start_matches("Invalid argument error: ")),
        );
    }
    from_message(message, SqlState::DATA_EXCEPTION)
}

fn from_external(error: Box<dyn std::error::Error + Send + Sync>) -> SqlError {
    let error = match error.downcast::<SqlError>() {
        Ok(error) => return *error,
        Err(error) => error,
    };
    let error = match error.downcast::<EngineError>() {
        Ok(error) => return (*error).into(),
        Err(error) => error,
    };
    let error = match error.downcast::<DataFusionError>() {
        Ok(error) => return from_datafusion(*error),
        Err(error) => error,
    };
    match error.downcast::<ArrowError>() {
        Ok(error) => from_arrow(*error),
        Err(error) => of_value(&error.to_string()),
    }
}

/// An error that several streams share cannot be taken apart; what it holds is copied.
fn from_shared(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::Shared(inner) => from_shared(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_shared(inner),
        DataFusionError::External(inner) => {
            match (inner.downcast_ref::<SqlError>(), inner.downcast_ref::<EngineError>()) {
                (Some(error), _) => error.clone(),
                (None, Some(EngineError::BadRow { message, hint })) => {
                    EngineError::BadRow { message: message.clone(), hint: hint.clone() }.into()
                }
                (None, Some(EngineError::Io { message })) => EngineError::Io { message: message.clone() }.into(),
                (None, _) => of_value(&inner.to_string()),
            }
        }
        DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
            ArrowError::DivideByZero => from_arrow(ArrowError::DivideByZero),
            ArrowError::ArithmeticOverflow(message) => from_arrow(ArrowError::ArithmeticOverflow(message.clone())),
            ArrowError::CastError(message) => from_arrow(ArrowError::CastError(message.clone())),
            ArrowError::ParseError(message) => from_arrow(ArrowError::ParseError(message.clone())),
            other => of_value(&other.to_string()),
        },
        DataFusionError::ResourcesExhausted(message) => {
            from_datafusion(DataFusionError::ResourcesExhausted(message.clone()))
        }
        other => from_message(&other.strip_backtrace(), SqlState::DATA_EXCEPTION),
    }
}

/// An error of a value that only its text tells from others.
fn of_value(message: &str) -> SqlError {
    let message = value::unwrapped(message);
    if let Some(told) = value::told(message) {
        return told;
    }
    SqlError::new(state_of_text(message).unwrap_or(SqlState::DATA_EXCEPTION), lower_first(message))
}

fn from_schema(error: SchemaError) -> SqlError {
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
            match nearest(&field.name, valid_fields.iter().map(|field| field.name.as_str())) {
                Some(near) => error.with_hint(format!("perhaps you meant the column \"{near}\"")),
                None => error,
            }
        }
    }
}

/// The SQL error of a job that failed for a reason that is known by its text alone.
pub fn from_failure(message: &str) -> SqlError {
    from_message(message, SqlState::DATA_EXCEPTION)
}

/// The state that only the text of an error of a value tells; `None` where it tells none.
fn state_of_text(message: &str) -> Option<SqlState> {
    let lower = message.to_ascii_lowercase();
    let has = |part: &str| lower.contains(part);
    if has("requested length too large") {
        Some(SqlState::PROGRAM_LIMIT_EXCEEDED)
    } else if has("regular expression") || has("regex parse error") {
        Some(SqlState::INVALID_REGULAR_EXPRESSION)
    } else if has("invalid json path") {
        Some(SqlState::SYNTAX_ERROR)
    } else if has("timestamp out of range") || has("date out of range") || has("date arithmetic overflow") {
        Some(SqlState::DATETIME_FIELD_OVERFLOW)
    } else if has("divide by zero") || has("division by zero") {
        Some(SqlState::DIVISION_BY_ZERO)
    } else if has("overflow") || has("out of range") || has("too large to store") || has("can't cast value") {
        Some(SqlState::NUMERIC_VALUE_OUT_OF_RANGE)
    } else {
        None
    }
}

/// Errors that DataFusion tells by their text alone.
fn from_message(message: &str, otherwise: SqlState) -> SqlError {
    if message.contains(SEVERAL_ROWS) {
        return SqlError::new(SqlState::CARDINALITY_VIOLATION, SEVERAL_ROWS);
    }
    let message = value::unwrapped(message);
    if let Some(told) = value::told(message) {
        return told;
    }
    if let Some(name) = message.trim_start_matches("Error during planning: ").strip_prefix("Invalid function '") {
        let name = name.split('\'').next().unwrap_or_default();
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {name} does not exist"));
    }
    match state_of_text(message) {
        Some(SqlState::DIVISION_BY_ZERO) => from_arrow(ArrowError::DivideByZero),
        state => SqlError::new(state.unwrap_or(otherwise), lower_first(&first_line(message))),
    }
}

fn cast_state(message: &str) -> SqlState {
    if message.contains("imestamp") || message.contains("Date") || message.contains("Time") {
        SqlState::INVALID_DATETIME_FORMAT
    } else if message.contains("out of range") || message.contains("too large") || message.contains("overflow") {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else {
        SqlState::INVALID_TEXT_REPRESENTATION
    }
}

/// PostgreSQL's name of a type that a message names as Arrow does.
pub(crate) fn sql_type(arrow: &str) -> &str {
    match arrow {
        "Null" => "unknown",
        "Utf8" | "Utf8View" | "LargeUtf8" => "text",
        "Binary" | "BinaryView" | "LargeBinary" => "bytea",
        "UInt8" | "UInt16" | "UInt32" => "bigint",
        "UInt64" => "numeric",
        "Int8" => "tinyint",
        "Int16" => "smallint",
        "Int32" => "integer",
        "Int64" => "bigint",
        "Float32" => "real",
        "Float64" => "double precision",
        "Boolean" => "boolean",
        "Date32" => "date",
        other if other.starts_with("Decimal") => "numeric",
        other if other.starts_with("Timestamp") => "timestamp",
        other if other.starts_with("Time") => "time",
        other if other.starts_with("Interval") || other.starts_with("Duration") => "interval",
        other if other.starts_with("List") || other.starts_with("LargeList") => "array",
        other if other.starts_with("Struct") => "record",
        other if other.starts_with("Map") => "map",
        other => other,
    }
}

fn internal(message: &str) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, lower_first(&first_line(message)))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end_matches('.').to_owned()
}

/// PostgreSQL's messages begin with a small letter; a word in capitals stays.
pub(crate) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && (second.is_lowercase() || second == ' ') => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::error::ArrowError;
    use datafusion::error::DataFusionError;
    use millstream_engine::EngineError;

    use super::from_datafusion;

    fn told(error: DataFusionError) -> String {
        let error = from_datafusion(error);
        format!("{}: {}", error.parts().state.0, error)
    }

    #[test]
    fn codes_of_postgres() {
        let cast = ArrowError::CastError("Cannot cast string 'x' to value of Int32 type".into());
        assert_eq!(
            told(DataFusionError::ArrowError(Box::new(cast), None)),
            "22P02: invalid input syntax for type integer: \"x\""
        );
        let zero = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        assert_eq!(told(zero.context("while computing")), "22012: division by zero");
        let io = EngineError::io("could not open file \"a\"", "no such file");
        assert_eq!(told(DataFusionError::External(Box::new(io))), "58030: could not open file \"a\": no such file");
    }
}
