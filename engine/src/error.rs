//! The errors of the engine, and the few kinds that a caller tells apart.

use arrow::error::ArrowError;
use thiserror::Error;

/// What went wrong inside the engine, a connector or an expression.
#[derive(Debug, Error)]
pub enum EngineError {
    /// An expression could not be evaluated, or Arrow refused a computation.
    #[error("{0}")]
    Evaluate(String),
    /// A row of the input breaks the declared schema or format.
    #[error("{message}")]
    BadRow {
        /// What is wrong with it, with the place it came from (file and line, or topic and offset).
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// Reading or writing outside the process failed.
    #[error("{message}")]
    Io {
        /// What was tried, on what, and why it failed.
        message: String,
    },
    /// The options or the schema of a connector table cannot work.
    #[error("{message}")]
    Config {
        /// What cannot work.
        message: String,
        /// What the user can do about it.
        hint: Option<String>,
    },
    /// The dataflow asks for something that the engine does not do.
    #[error("{0}")]
    Unsupported(String),
    /// One evaluation took more time or memory than it may.
    #[error("{message}")]
    Exhausted {
        /// What there was too much of, and the limit.
        message: String,
        /// What the user can do about it.
        hint: String,
        /// It would be so again.
        hopeless: bool,
    },
    /// A name (job, view) that does not exist any more.
    #[error("{0}")]
    Gone(String),
    /// The engine broke one of its own promises. A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

/// What a caller can do about an [`EngineError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The data are at fault: mend or skip the row.
    Data,
    /// The outside world is at fault: try again later.
    Io,
    /// The statement is at fault: change it.
    Request,
    /// Millstream is at fault: report it.
    Bug,
}

impl EngineError {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Evaluate(_) | Self::BadRow { .. } => ErrorKind::Data,
            Self::Io { .. } => ErrorKind::Io,
            Self::Config { .. } | Self::Unsupported(_) | Self::Exhausted { .. } | Self::Gone(_) => ErrorKind::Request,
            Self::Internal(_) => ErrorKind::Bug,
        }
    }

    /// Whether whoever tries again gets the same.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Self::Unsupported(_) | Self::Exhausted { hopeless: true, .. })
    }

    /// What the user can do, where there is something to say.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::BadRow { hint, .. } | Self::Config { hint, .. } => hint.as_deref(),
            Self::Exhausted { hint, .. } => Some(hint),
            Self::Evaluate(_) | Self::Io { .. } | Self::Unsupported(_) | Self::Gone(_) | Self::Internal(_) => None,
        }
    }

    /// A configuration error without a hint.
    pub fn config(message: impl Into<String>) -> Self {
        Self::Config { message: message.into(), hint: None }
    }

    /// An I/O error: what was tried, and the cause.
    pub fn io(what: impl std::fmt::Display, cause: impl std::fmt::Display) -> Self {
        Self::Io { message: format!("{what}: {cause}") }
    }
}

impl From<ArrowError> for EngineError {
    fn from(error: ArrowError) -> Self {
        Self::Evaluate(error.to_string())
    }
}

/// The result of engine code.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;
