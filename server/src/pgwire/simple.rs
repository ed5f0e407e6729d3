//! Simple queries: a text with any number of statements, answered in text.

use std::io;
use std::pin::{Pin, pin};

use millstream_sql::ast::ParsedStatement;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};
use tokio::sync::futures::Notified;

use super::cancel::CancelEntry;
use super::connection::{Connection, Stop, interruptible};
use super::errors::{notice_message, panicked};
use super::rows::{Formats, description};
use super::wire::Wire;
use crate::session::{Body, Notice, Session};

use super::extended::{Running, Sent, send_rows};

/// Bytes of a statement above which its parsing makes room for other work.
const LONG_BYTES: usize = 256 << 10;

impl Connection {
    pub(super) async fn simple_query(&mut self, text: &str) -> io::Result<()> {
        match parse(text) {
            Err(error) => self.fail(&error, 0)?,
            Ok(statements) if statements.is_empty() => {
                self.wire.feed(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))?;
            }
            Ok(statements) => {
                for statement in &statements {
                    match self.run_simple(statement).await {
                        Ok(()) => (),
                        Err(Stop::Gone(error)) => return Err(error),
                        Err(Stop::Error(error)) => {
                            self.fail(&error, statement.offset)?;
                            break;
                        }
                    }
                }
            }
        }
        self.ready().await
    }

    async fn run_simple(&mut self, statement: &ParsedStatement) -> Result<(), Stop> {
        self.check_transaction(statement)?;
        let Self { wire, session, cancel, .. } = self;
        let tag = run(wire, session, cancel, statement).await?;
        let tag = self.after(statement, tag)?;
        self.wire.feed(&PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)))?;
        Ok(())
    }
}

async fn run(
    wire: &mut Wire,
    session: &mut Session,
    cancel: &CancelEntry,
    statement: &ParsedStatement,
) -> Result<String, Stop> {
    let mut requested: Pin<&mut Notified<'_>> = pin!(cancel.requested());
    let outcome =
        interruptible(wire, requested.as_mut(), &session.decision(), session.execute(statement, &[])).await??;
    for notice in &outcome.notices {
        wire.feed(&notice_message(notice))?;
    }
    let (rows, follows) = match outcome.body {
        Body::Done(tag) => return Ok(tag),
        Body::CopyOut(copy) => return super::copy::send(wire, copy, requested).await,
        Body::CopyIn(copy) => return super::copy::receive(wire, session, &copy, requested).await,
        Body::Rows(rows) => (rows, false),
        Body::Subscription(rows) => (rows, true),
    };
    let formats = Formats::default();
    wire.feed(&description(&rows.schema, &formats))?;
    let notes = rows.notes.clone();
    let mut running = Running::new(rows, follows, formats, session.settings().style());
    match send_rows(wire, &mut running, 0, requested).await? {
        // Without a limit rows are sent to the end.
        Sent::All | Sent::Some => (),
    }
    if let Some(notice) = Notice::after(&notes) {
        wire.feed(&notice_message(&notice))?;
    }
    Ok(running.tag())
}

/// Parses a text; a panic in the parser is an error.
pub(super) fn parse(text: &str) -> millstream_sql::Result<Vec<ParsedStatement>> {
    let parse = || {
        std::panic::catch_unwind(|| millstream_sql::parse(text)).unwrap_or_else(|cause| Err(panicked(cause.as_ref())))
    };
    let others = tokio::runtime::Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
    // A long text takes a while: other connections go on meanwhile.
    if others && text.len() > LONG_BYTES { tokio::task::block_in_place(parse) } else { parse() }
}
