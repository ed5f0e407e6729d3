//! Errors and notices as messages of the protocol.

use millstream_sql::{SqlError, SqlState};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{ErrorResponse, NoticeResponse};

use crate::session::Notice;

/// An error; `offset` is where the statement begins in the text that the client sent, in characters.
pub(super) fn error_message(error: &SqlError, offset: usize, fatal: bool) -> PgWireBackendMessage {
    let parts = error.parts();
    let severity = if fatal { "FATAL" } else { "ERROR" };
    let mut fields = vec![
        (b'S', severity.to_owned()),
        (b'V', severity.to_owned()),
        (b'C', parts.state.0.to_owned()),
        (b'M', parts.message.clone()),
    ];
    fields.extend(parts.detail.iter().map(|detail| (b'D', detail.clone())));
    fields.extend(parts.hint.iter().map(|hint| (b'H', hint.clone())));
    fields.extend(parts.position.iter().map(|position| (b'P', (position + offset).to_string())));
    PgWireBackendMessage::ErrorResponse(ErrorResponse::new(fields))
}

/// A notice.
pub(super) fn notice_message(notice: &Notice) -> PgWireBackendMessage {
    let severity = notice.severity.to_string();
    let fields = vec![
        (b'S', severity.clone()),
        (b'V', severity),
        (b'C', notice.state.0.to_owned()),
        (b'M', notice.message.clone()),
    ];
    PgWireBackendMessage::NoticeResponse(NoticeResponse::new(fields))
}

/// What a cancelled statement answers.
pub(super) fn cancelled() -> SqlError {
    SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
}

/// A message that the protocol does not allow here.
pub(super) fn protocol_violation(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState("08P01"), message)
}

/// What a statement answers whose code panicked.
pub(super) fn panicked(cause: &(dyn std::any::Any + Send)) -> SqlError {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no message");
    SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {text}"))
        .with_hint("This is a bug in Millstream; the server goes on.")
}
