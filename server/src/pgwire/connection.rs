//! The loop of a connection: a message in, its answer out, until the client is gone.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};

use futures::FutureExt;
use millstream_sql::ast::{ParsedStatement, Statement};
use millstream_sql::{SqlError, SqlState};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::PgWireFrontendMessage as Frontend;
use pgwire::messages::response::{ReadyForQuery, TransactionStatus};
use tokio::sync::futures::Notified;

use super::block::Block;
use super::cancel::CancelEntry;
use super::errors::{cancelled, error_message, notice_message, panicked, protocol_violation};
use super::extended::{Portal, Prepared};
use super::startup::{REPORTED, Started, report};
use super::wire::{NotText, Wire};
use crate::session::{Decision, Session};

/// A client that is connected.
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) session: Session,
    pub(super) cancel: CancelEntry,
    pub(super) statements: HashMap<String, Prepared>,
    pub(super) portals: HashMap<String, Portal>,
    block: Block,
    /// After an error in the extended protocol everything up to the next Sync is skipped.
    skipping: bool,
    reported: Vec<Option<String>>,
}

/// Why a statement stopped before its end.
pub(super) enum Stop {
    /// It is wrong, was cancelled or panicked: tell the client.
    Error(SqlError),
    /// The client is gone.
    Gone(io::Error),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Connection {
    pub(super) fn new(started: Started) -> Self {
        let mut connection = Self {
            wire: started.wire,
            session: started.session,
            cancel: started.cancel,
            statements: HashMap::new(),
            portals: HashMap::new(),
            block: Block::new(),
            skipping: false,
            reported: Vec::new(),
        };
        connection.reported = connection.reported_values();
        connection
    }

    /// Serves the client until it leaves.
    ///
    /// # Errors
    /// Where the connection breaks, or what comes over it is not the protocol.
    pub(super) async fn run(mut self) -> io::Result<()> {
        loop {
            let message = match self.wire.read().await {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.no_text(&error).await?;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let told = protocol_violation(error.to_string());
                    self.wire.feed(&error_message(&told, 0, true))?;
                    self.wire.flush().await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            if matches!(message, Frontend::Terminate(_)) {
                return Ok(());
            }
            self.handle(message).await?;
        }
    }

    /// Answers to a statement that is no text.
    async fn no_text(&mut self, error: &io::Error) -> io::Result<()> {
        let wrong = error.get_ref().and_then(|inner| inner.downcast_ref::<NotText>());
        let simple = wrong.is_none_or(|wrong| wrong.simple);
        if self.skipping && !simple {
            return Ok(());
        }
        let refused = SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, error.to_string());
        self.fail(&refused.at(wrong.map_or(1, |wrong| wrong.position)), 0)?;
        self.skipping = !simple;
        if simple { self.ready().await } else { self.wire.flush().await }
    }

    async fn handle(&mut self, message: Frontend) -> io::Result<()> {
        let done = match message {
            Frontend::Query(query) => {
                self.skipping = false;
                return self.simple_query(&query.query).await;
            }
            Frontend::Sync(_) => {
                self.skipping = false;
                if self.block.status == TransactionStatus::Idle {
                    self.portals.clear();
                }
                return self.ready().await;
            }
            _ if self.skipping => return Ok(()),
            Frontend::Parse(parse) => self.parse(parse),
            Frontend::Bind(bind) => self.bind(bind).await,
            Frontend::Describe(describe) => self.describe(&describe).await,
            Frontend::Execute(execute) => self.execute(&execute).await,
            Frontend::Close(close) => self.close(&close),
            Frontend::Flush(_) => self.wire.flush().await.map_err(Stop::Gone),
            // What is left of a COPY that was refused.
            Frontend::CopyData(_) | Frontend::CopyDone(_) | Frontend::CopyFail(_) => Ok(()),
            other => Err(protocol_violation(format!("unexpected message {other:?}")).into()),
        };
        match done {
            Ok(()) => Ok(()),
            Err(Stop::Gone(error)) => Err(error),
            Err(Stop::Error(error)) => {
                self.skipping = true;
                self.fail(&error, 0)?;
                self.wire.flush().await
            }
        }
    }

    /// Tells the client of an error. `offset`: where its statement begins, in characters.
    pub(super) fn fail(&mut self, error: &SqlError, offset: usize) -> io::Result<()> {
        self.block.fail();
        self.wire.feed(&error_message(error, offset, false))
    }

    /// Tells the client that the next query may come.
    pub(super) async fn ready(&mut self) -> io::Result<()> {
        self.wire.feed(&PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(self.block.status)))?;
        self.wire.flush().await
    }

    /// Whether the statement may run now: after an error in a transaction block only its end may.
    pub(super) fn check_transaction(&self, statement: &ParsedStatement) -> Result<(), SqlError> {
        self.block.check(statement)
    }

    /// Notes what a statement that ended well does to the transaction block and to reported settings; returns its tag
    /// as the client is to see it.
    pub(super) fn after(&mut self, statement: &ParsedStatement, tag: String) -> io::Result<String> {
        match &statement.ast {
            Statement::Transaction(word) => {
                let (tag, warning) = self.block.word(word, tag);
                if let Some(warning) = warning {
                    self.wire.feed(&notice_message(&warning))?;
                }
                return Ok(tag);
            }
            Statement::Set { .. } | Statement::Reset(_) | Statement::Acknowledge(_) => {
                let values = self.reported_values();
                for (index, name) in REPORTED.iter().enumerate() {
                    if values.get(index) != self.reported.get(index) {
                        report(&mut self.wire, &self.session, name)?;
                    }
                }
                self.reported = values;
            }
            other => self.block.note(other),
        }
        Ok(tag)
    }

    fn reported_values(&self) -> Vec<Option<String>> {
        REPORTED.iter().map(|name| self.session.settings().show(name).ok().map(|(_, value)| value)).collect()
    }
}

/// Runs `work` to its end, unless the client goes away, or cancels it before the session has made its decision. A panic in it is
/// an error of the statement.
pub(super) async fn interruptible<T>(
    wire: &mut Wire,
    cancel: Pin<&mut Notified<'_>>,
    decision: &Decision,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut work = pin!(AssertUnwindSafe(work).catch_unwind());
    let result = tokio::select! {
        biased;
        result = &mut work => result,
        () = cancel => {
            if !decision.is_made() {
                return Err(Stop::Error(cancelled()));
            }
            work.await
        }
        () = wire.gone() => return Err(Stop::Gone(io::ErrorKind::ConnectionAborted.into())),
    };
    result.map_err(|cause| Stop::Error(panicked(cause.as_ref())))
}
