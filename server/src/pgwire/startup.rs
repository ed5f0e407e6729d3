//! The start of a connection: encryption is declined, the settings of the client are taken over, the server tells its
//! own. There is no password.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use millstream_sql::SqlError;
use pgwire::messages::response::{GssEncResponse, ReadyForQuery, SslResponse, TransactionStatus};
use pgwire::messages::startup::{
    Authentication, BackendKeyData, NegotiateProtocolVersion, ParameterStatus, SecretKey, Startup,
};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion, SslNegotiationMetaMessage};
use tokio::net::TcpStream;

use super::cancel::{CancelEntry, Cancels};
use super::errors::error_message;
use super::wire::Wire;
use crate::session::{Database, Session};

/// How long a client may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// The settings that clients are told of at the start, and again when they change.
pub(super) const REPORTED: [&str; 12] = [
    "server_version",
    "server_encoding",
    "client_encoding",
    "application_name",
    "DateStyle",
    "IntervalStyle",
    "TimeZone",
    "integer_datetimes",
    "standard_conforming_strings",
    "is_superuser",
    "session_authorization",
    "default_transaction_read_only",
];

/// A connection that is ready for queries.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) cancel: CancelEntry,
}

/// Brings a connection up. `None` where it was a cancel request or the client went away.
pub(super) async fn start(
    stream: TcpStream,
    database: Database,
    cancels: &Arc<Cancels>,
) -> io::Result<Option<Started>> {
    let mut wire = Wire::new(stream);
    let Ok(startup) = tokio::time::timeout(PATIENCE, first_message(&mut wire, cancels)).await else {
        return Ok(None);
    };
    let Some(startup) = startup? else {
        return Ok(None);
    };
    let version = negotiate(&mut wire, &startup)?;
    let mut session = database.session();
    if let Err(error) = take_over(&mut session, &startup) {
        wire.feed(&error_message(&error, 0, true))?;
        wire.flush().await?;
        return Ok(None);
    }
    wire.feed(&PgWireBackendMessage::Authentication(Authentication::Ok))?;
    for name in REPORTED {
        report(&mut wire, &session, name)?;
    }
    let cancel = cancels.register();
    let key = BackendKeyData::new(cancel.process, SecretKey::I32(cancel.key));
    wire.feed(&PgWireBackendMessage::BackendKeyData(key))?;
    wire.feed(&PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(TransactionStatus::Idle)))?;
    wire.flush().await?;
    wire.started(version);
    Ok(Some(Started { wire, session, cancel }))
}

/// Tells the client the value of a setting.
pub(super) fn report(wire: &mut Wire, session: &Session, name: &str) -> io::Result<()> {
    match session.settings().show(name) {
        Ok((name, value)) => wire.feed(&PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))),
        Err(_) => Ok(()),
    }
}

async fn first_message(wire: &mut Wire, cancels: &Cancels) -> io::Result<Option<Startup>> {
    while let Some(message) = wire.read().await? {
        match message {
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresSsl(_)) => {
                wire.feed(&PgWireBackendMessage::SslResponse(SslResponse::Refuse))?;
                wire.flush().await?;
            }
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresGss(_)) => {
                wire.feed(&PgWireBackendMessage::GssEncResponse(GssEncResponse::Refuse))?;
                wire.flush().await?;
            }
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::None) => wire.expect_startup(),
            PgWireFrontendMessage::CancelRequest(request) => {
                if let Some(key) = request.secret_key.as_i32() {
                    cancels.cancel(request.pid, key);
                }
                return Ok(None);
            }
            PgWireFrontendMessage::Startup(startup) => return Ok(Some(startup)),
            other => {
                let message = format!("expected a startup message, got {other:?}");
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
        }
    }
    Ok(None)
}

fn negotiate(wire: &mut Wire, startup: &Startup) -> io::Result<ProtocolVersion> {
    let version = ProtocolVersion::from_version_number(startup.protocol_number_major, startup.protocol_number_minor);
    // The key that we send has four bytes, as in 3.0.
    if version == Some(ProtocolVersion::PROTOCOL3_0) {
        return Ok(ProtocolVersion::PROTOCOL3_0);
    }
    let offer = NegotiateProtocolVersion::new(ProtocolVersion::PROTOCOL3_0.into(), vec![]);
    wire.feed(&PgWireBackendMessage::NegotiateProtocolVersion(offer))?;
    Ok(ProtocolVersion::PROTOCOL3_0)
}

/// The settings that come with the start; `user` and `database` are none, `options` holds `-c name=value`.
fn take_over(session: &mut Session, startup: &Startup) -> Result<(), SqlError> {
    for (name, value) in &startup.parameters {
        match name.as_str() {
            "user" => {
                session.settings_mut().set("session_authorization", value)?;
            }
            "database" | "replication" => (),
            "options" => {
                for (name, value) in options(value) {
                    session.settings_mut().set(&name, &value)?;
                }
            }
            // Extensions of the protocol that a server need not know.
            name if name.starts_with("_pq_.") => (),
            name => {
                session.settings_mut().set(name, value)?;
            }
        }
    }
    Ok(())
}

/// `-c name=value -cname=value --name=value`
fn options(text: &str) -> Vec<(String, String)> {
    let words = text.split_whitespace();
    let settings = words.filter_map(|word| {
        let word = word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).unwrap_or(word);
        word.split_once('=')
    });
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::options;

    #[test]
    fn options_of_the_start() {
        let read = options("-c statement_timeout=5s --TimeZone=UTC");
        assert_eq!(
            read,
            [("statement_timeout".to_owned(), "5s".to_owned()), ("TimeZone".to_owned(), "UTC".to_owned())]
        );
    }
}
