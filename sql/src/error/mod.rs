//! [`SqlError`]: what a statement is refused with, as PostgreSQL reports it.

mod foreign;
mod value;

use std::fmt;

use millstream_engine::{EngineError, ErrorKind};

pub use self::foreign::{from_arrow, from_datafusion, from_evaluation, from_failure, out_of_memory};
pub(crate) use self::foreign::{lower_first, sql_type};

/// A five-letter SQLSTATE of PostgreSQL's appendix A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub &'static str);

impl SqlState {
    /// `syntax_error`
    pub const SYNTAX_ERROR: Self = Self("42601");
    /// `undefined_table`
    pub const UNDEFINED_TABLE: Self = Self("42P01");
    /// `undefined_column`
    pub const UNDEFINED_COLUMN: Self = Self("42703");
    /// `undefined_function`
    pub const UNDEFINED_FUNCTION: Self = Self("42883");
    /// `undefined_object` (settings, types, jobs, options)
    pub const UNDEFINED_OBJECT: Self = Self("42704");
    /// `duplicate_table`
    pub const DUPLICATE_TABLE: Self = Self("42P07");
    /// `duplicate_column`
    pub const DUPLICATE_COLUMN: Self = Self("42701");
    /// `duplicate_function`
    pub const DUPLICATE_FUNCTION: Self = Self("42723");
    /// `ambiguous_column`
    pub const AMBIGUOUS_COLUMN: Self = Self("42702");
    /// `grouping_error`
    pub const GROUPING_ERROR: Self = Self("42803");
    /// `windowing_error`
    pub const WINDOWING_ERROR: Self = Self("42P20");
    /// `datatype_mismatch`
    pub const DATATYPE_MISMATCH: Self = Self("42804");
    /// `cannot_coerce`
    pub const CANNOT_COERCE: Self = Self("42846");
    /// `wrong_object_type`
    pub const WRONG_OBJECT_TYPE: Self = Self("42809");
    /// `invalid_table_definition`
    pub const INVALID_TABLE_DEFINITION: Self = Self("42P16");
    /// `object_not_in_prerequisite_state`
    pub const OBJECT_NOT_IN_PREREQUISITE_STATE: Self = Self("55000");
    /// `dependent_objects_still_exist`
    pub const DEPENDENT_OBJECTS_STILL_EXIST: Self = Self("2BP01");
    /// `invalid_parameter_value`
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    /// `fdw_invalid_option_name`
    pub const INVALID_OPTION_NAME: Self = Self("HV00D");
    /// `fdw_option_name_not_found` (a required option is missing)
    pub const OPTION_NOT_FOUND: Self = Self("HV00J");
    /// `feature_not_supported`
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// `data_exception`
    pub const DATA_EXCEPTION: Self = Self("22000");
    /// `cardinality_violation`
    pub const CARDINALITY_VIOLATION: Self = Self("21000");
    /// `numeric_value_out_of_range`
    pub const NUMERIC_VALUE_OUT_OF_RANGE: Self = Self("22003");
    /// `division_by_zero`
    pub const DIVISION_BY_ZERO: Self = Self("22012");
    /// `invalid_text_representation`
    pub const INVALID_TEXT_REPRESENTATION: Self = Self("22P02");
    /// `invalid_datetime_format`
    pub const INVALID_DATETIME_FORMAT: Self = Self("22007");
    /// `not_null_violation`
    pub const NOT_NULL_VIOLATION: Self = Self("23502");
    /// `unique_violation`
    pub const UNIQUE_VIOLATION: Self = Self("23505");
    /// `invalid_schema_name`
    pub const INVALID_SCHEMA_NAME: Self = Self("3F000");
    /// `invalid_function_definition`
    pub const INVALID_FUNCTION_DEFINITION: Self = Self("42P13");
    /// `ambiguous_alias` (a name that fits several objects)
    pub const AMBIGUOUS_ALIAS: Self = Self("42P09");
    /// `program_limit_exceeded`
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    /// `invalid_regular_expression`
    pub const INVALID_REGULAR_EXPRESSION: Self = Self("2201B");
    /// `datetime_field_overflow`
    pub const DATETIME_FIELD_OVERFLOW: Self = Self("22008");
    /// `character_not_in_repertoire` (bytes that are no text)
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self("22021");
    /// `statement_too_complex`
    pub const STATEMENT_TOO_COMPLEX: Self = Self("54001");
    /// `too_many_columns`
    pub const TOO_MANY_COLUMNS: Self = Self("54011");
    /// `out_of_memory`
    pub const OUT_OF_MEMORY: Self = Self("53200");
    /// `io_error`
    pub const IO_ERROR: Self = Self("58030");
    /// `undefined_file`
    pub const UNDEFINED_FILE: Self = Self("58P01");
    /// `query_canceled`
    pub const QUERY_CANCELED: Self = Self("57014");
    /// `internal_error`
    pub const INTERNAL_ERROR: Self = Self("XX000");
}

/// Why a statement is refused. Boxed fields keep the `Result`s small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError(Box<SqlErrorParts>);

/// The parts of a [`SqlError`], as PostgreSQL names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlErrorParts {
    /// The code that programs look at.
    pub state: SqlState,
    /// The primary message: lower case, no full stop.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the text of the statement: characters from its start, from 1.
    pub position: Option<usize>,
}

impl SqlError {
    /// An error with a code and a message.
    pub fn new(state: SqlState, message: impl Into<String>) -> Self {
        Self(Box::new(SqlErrorParts { state, message: message.into(), detail: None, hint: None, position: None }))
    }

    /// For what is a valid request that Millstream does not do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(SqlState::FEATURE_NOT_SUPPORTED, message)
    }

    /// With more about it.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// With what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// With the place: characters from the start of the statement's text, from 1.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The same error in a longer text, with so many characters before the one that the position counts in.
    #[must_use]
    pub fn moved(mut self, characters: usize) -> Self {
        self.0.position = self.0.position.map(|position| position + characters);
        self
    }

    /// The parts.
    pub fn parts(&self) -> &SqlErrorParts {
        &self.0
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for SqlError {}

impl From<EngineError> for SqlError {
    fn from(error: EngineError) -> Self {
        let state = match error.kind() {
            ErrorKind::Data => SqlState::DATA_EXCEPTION,
            ErrorKind::Io => SqlState::IO_ERROR,
            ErrorKind::Request => SqlState::INVALID_PARAMETER_VALUE,
            ErrorKind::Bug => SqlState::INTERNAL_ERROR,
        };
        let new = Self::new(state, error.to_string());
        match error.hint() {
            Some(hint) => new.with_hint(hint),
            None => new,
        }
    }
}

/// The result of the SQL front end.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;
