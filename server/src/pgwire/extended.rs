//! Extended queries: statements are prepared, bound to values and executed, in as many steps as the client wants.

use std::pin::{Pin, pin};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::{FutureExt, StreamExt};
use millstream_sql::ast::ParsedStatement;
use millstream_sql::{SqlError, SqlState};
use pgwire::api::Type;
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::{NoData, ParameterDescription};
use pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, PortalSuspended,
    TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse};
use tokio::sync::futures::Notified;

use super::connection::{Connection, Stop, interruptible};
use super::errors::{notice_message, protocol_violation};
use super::parameters::{arrow_type, decode};
use super::pg_type::pg_type;
use super::rows::{Formats, description, write_row};
use super::simple::parse;
use super::wire::Wire;
use crate::encode::TextStyle;
use crate::session::{Body, Decision, Description, Notice, Outcome, Rows, Session};

/// A statement that was parsed.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// `None`: an empty text.
    statement: Option<Arc<ParsedStatement>>,
    /// The types that the client declared; 0 for none.
    oids: Vec<u32>,
}

/// A statement with its values.
pub(super) struct Portal {
    prepared: Prepared,
    values: Vec<ScalarValue>,
    columns: Option<SchemaRef>,
    formats: Formats,
    state: State,
}

/// How far a portal has come.
enum State {
    Bound,
    Running(Box<Running>),
    Done,
}

/// Rows on their way to the client.
pub(super) struct Running {
    rows: Rows,
    /// The batch that is being sent, and the next row of it.
    batch: Option<(RecordBatch, usize)>,
    /// Rows are to be sent at once, and may never end.
    follows: bool,
    formats: Formats,
    style: TextStyle,
    sent: u64,
}

/// How far sending came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// To the end.
    All,
    /// To the number of rows that the client asked for, or to what a subscription has now.
    Some,
}

impl Running {
    pub(super) fn new(rows: Rows, follows: bool, formats: Formats, style: TextStyle) -> Self {
        Self { rows, batch: None, follows, formats, style, sent: 0 }
    }

    /// The command tag when the rows are out.
    pub(super) fn tag(&self) -> String {
        match self.rows.command {
            word @ ("SELECT" | "SUBSCRIBE" | "FETCH") => format!("{word} {}", self.sent),
            word => word.to_owned(),
        }
    }
}

impl Connection {
    pub(super) fn parse(&mut self, message: Parse) -> Result<(), Stop> {
        let name = message.name.unwrap_or_default();
        if !name.is_empty() && self.statements.contains_key(&name) {
            let message = format!("prepared statement \"{name}\" already exists");
            return Err(SqlError::new(SqlState("42P05"), message).into());
        }
        let mut statements = parse(&message.query)?.into_iter();
        let statement = statements.next();
        if statements.next().is_some() {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).into());
        }
        let statement = statement.map(|mut statement| {
            // Beside a time an interval would be taken for another time.
            let declared =
                message.type_oids.iter().map(|oid| Type::from_oid(*oid).filter(|kind| *kind == Type::INTERVAL));
            statement.parameters = declared.map(|kind| kind.as_ref().and_then(arrow_type)).collect();
            statement
        });
        if let Some(statement) = &statement {
            self.check_transaction(statement)?;
        }
        self.statements.insert(name, Prepared { statement: statement.map(Arc::new), oids: message.type_oids });
        Ok(self.wire.feed(&PgWireBackendMessage::ParseComplete(ParseComplete::new()))?)
    }

    pub(super) async fn bind(&mut self, message: Bind) -> Result<(), Stop> {
        let name = message.statement_name.unwrap_or_default();
        let prepared = self.prepared(&name)?.clone();
        let description = self.description_of(&prepared).await?;
        let (given, wanted) = (message.parameters.len(), description.parameters.len());
        if given != wanted {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{name}\" requires {wanted}"
            );
            return Err(protocol_violation(message).into());
        }
        let values =
            decode(&message.parameters, &message.parameter_format_codes, &prepared.oids, &description.parameters)?;
        let portal = Portal {
            prepared,
            values,
            columns: description.columns,
            formats: Formats::new(message.result_column_format_codes),
            state: State::Bound,
        };
        self.portals.insert(message.portal_name.unwrap_or_default(), portal);
        Ok(self.wire.feed(&PgWireBackendMessage::BindComplete(BindComplete::new()))?)
    }

    pub(super) async fn describe(&mut self, message: &Describe) -> Result<(), Stop> {
        let name = message.name.as_deref().unwrap_or_default();
        let (columns, formats) = match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => {
                let prepared = self.prepared(name)?.clone();
                let description = self.description_of(&prepared).await?;
                let oids = description.parameters.iter().enumerate().map(|(index, kind)| {
                    let declared = prepared.oids.get(index).copied().filter(|oid| *oid != 0);
                    let field = arrow::datatypes::Field::new("", kind.clone(), true);
                    declared.unwrap_or_else(|| pg_type(&field).oid())
                });
                let oids = ParameterDescription::new(oids.collect());
                self.wire.feed(&PgWireBackendMessage::ParameterDescription(oids))?;
                (description.columns, Formats::default())
            }
            TARGET_TYPE_BYTE_PORTAL => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.columns.clone(), portal.formats.clone())
            }
            other => return Err(protocol_violation(format!("cannot describe target {other}")).into()),
        };
        let answer = match columns {
            Some(schema) => description(&schema, &formats),
            None => PgWireBackendMessage::NoData(NoData::new()),
        };
        Ok(self.wire.feed(&answer)?)
    }

    pub(super) async fn execute(&mut self, message: &Execute) -> Result<(), Stop> {
        let name = message.name.as_deref().unwrap_or_default();
        // The portal is out while it runs: one that fails cannot be run again.
        let mut portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        let Some(statement) = portal.prepared.statement.clone() else {
            self.portals.insert(name.to_owned(), portal);
            return Ok(self.wire.feed(&PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))?);
        };
        self.check_transaction(&statement)?;
        let rows_max = usize::try_from(message.max_rows).unwrap_or(0);
        let step = {
            let Self { wire, session, cancel, .. } = self;
            let requested = pin!(cancel.requested());
            portal.step(wire, session, &statement, rows_max, requested).await?
        };
        match step {
            None => self.wire.feed(&PgWireBackendMessage::PortalSuspended(PortalSuspended::new()))?,
            Some(tag) => {
                let tag = self.after(&statement, tag)?;
                self.wire.feed(&PgWireBackendMessage::CommandComplete(CommandComplete::new(tag)))?;
            }
        }
        self.portals.insert(name.to_owned(), portal);
        Ok(())
    }

    pub(super) fn close(&mut self, message: &Close) -> Result<(), Stop> {
        let name = message.name.as_deref().unwrap_or_default();
        match message.target_type {
            TARGET_TYPE_BYTE_STATEMENT => drop(self.statements.remove(name)),
            TARGET_TYPE_BYTE_PORTAL => drop(self.portals.remove(name)),
            other => return Err(protocol_violation(format!("cannot close target {other}")).into()),
        }
        Ok(self.wire.feed(&PgWireBackendMessage::CloseComplete(CloseComplete::new()))?)
    }

    fn prepared(&self, name: &str) -> Result<&Prepared, SqlError> {
        self.statements
            .get(name)
            .ok_or_else(|| SqlError::new(SqlState("26000"), format!("prepared statement \"{name}\" does not exist")))
    }

    /// Parameters and columns of a prepared statement as the catalog is now. Types that the client declared count more
    /// than those that the statement tells.
    async fn description_of(&mut self, prepared: &Prepared) -> Result<Description, Stop> {
        let Some(statement) = &prepared.statement else {
            return Ok(Description { parameters: Vec::new(), columns: None });
        };
        let Self { wire, session, cancel, .. } = self;
        let requested = pin!(cancel.requested());
        let declared = prepared.oids.iter().map(|oid| Type::from_oid(*oid).as_ref().and_then(arrow_type));
        let declared: Vec<_> = declared.collect();
        let mut description =
            interruptible(wire, requested, &session.decision(), session.describe(statement, &declared))
                .await?
                .map_err(|error| shifted(error, statement))?;
        for (kind, declared) in description.parameters.iter_mut().zip(declared) {
            if let (true, Some(declared)) = (*kind == arrow::datatypes::DataType::Utf8, declared) {
                *kind = declared;
            }
        }
        Ok(description)
    }
}

impl Portal {
    /// Runs the statement, or goes on with its rows. The command tag at its end; `None` where more rows may come.
    async fn step(
        &mut self,
        wire: &mut Wire,
        session: &mut Session,
        statement: &ParsedStatement,
        rows_max: usize,
        mut cancel: Pin<&mut Notified<'_>>,
    ) -> Result<Option<String>, Stop> {
        if matches!(self.state, State::Bound) {
            let decision = session.decision();
            let work = session.execute(statement, &self.values);
            let Outcome { notices, body } = interruptible(wire, cancel.as_mut(), &decision, work)
                .await?
                .map_err(|error| shifted(error, statement))?;
            for notice in &notices {
                wire.feed(&notice_message(notice))?;
            }
            let (rows, follows) = match body {
                Body::Done(tag) => {
                    self.state = State::Done;
                    return Ok(Some(tag));
                }
                Body::CopyOut(copy) => {
                    self.state = State::Done;
                    return super::copy::send(wire, copy, cancel).await.map(Some);
                }
                Body::CopyIn(copy) => {
                    self.state = State::Done;
                    return super::copy::receive(wire, session, &copy, cancel).await.map(Some);
                }
                Body::Rows(rows) => (rows, false),
                Body::Subscription(rows) => (rows, true),
            };
            let style = session.settings().style();
            self.state = State::Running(Box::new(Running::new(rows, follows, self.formats.clone(), style)));
        }
        let State::Running(running) = &mut self.state else {
            // It has given all its rows before.
            return Ok(Some("SELECT 0".to_owned()));
        };
        let sent = send_rows(wire, running, rows_max, cancel).await.map_err(|stop| match stop {
            Stop::Error(error) => Stop::Error(shifted(error, statement)),
            gone @ Stop::Gone(_) => gone,
        });
        match sent? {
            Sent::Some => Ok(None),
            Sent::All => {
                if let Some(notice) = Notice::after(&running.rows.notes) {
                    wire.feed(&notice_message(&notice))?;
                }
                let tag = running.tag();
                self.state = State::Done;
                Ok(Some(tag))
            }
        }
    }
}

/// Sends rows: all, or at most `rows_max` where that is not 0. A subscription with a limit stops where it has sent
/// something and has nothing more at the moment, so that the client sees what is there.
pub(super) async fn send_rows(
    wire: &mut Wire,
    running: &mut Running,
    rows_max: usize,
    mut cancel: Pin<&mut Notified<'_>>,
) -> Result<Sent, Stop> {
    let mut left = if rows_max == 0 { usize::MAX } else { rows_max };
    loop {
        if let Some((batch, next)) = &mut running.batch {
            while *next < batch.num_rows() && left > 0 {
                write_row(batch, *next, &running.formats, running.style, wire.outgoing());
                *next += 1;
                left -= 1;
                running.sent += 1;
                if wire.is_full() {
                    flush(wire, cancel.as_mut()).await?;
                }
            }
            if *next < batch.num_rows() {
                return Ok(Sent::Some);
            }
            running.batch = None;
        }
        let next = running.rows.batches.next().now_or_never();
        let next = match next {
            Some(next) => next,
            None if running.follows && rows_max > 0 && left < rows_max => return Ok(Sent::Some),
            None => {
                if running.follows {
                    flush(wire, cancel.as_mut()).await?;
                }
                interruptible(wire, cancel.as_mut(), &Decision::default(), running.rows.batches.next()).await?
            }
        };
        match next {
            None => return Ok(Sent::All),
            Some(batch) => running.batch = Some((batch?, 0)),
        }
        if left == 0 {
            return Ok(Sent::Some);
        }
    }
}

/// Sends what is waiting; a client that does not read can still cancel.
pub(super) async fn flush(wire: &mut Wire, cancel: Pin<&mut Notified<'_>>) -> Result<(), Stop> {
    tokio::select! {
        biased;
        sent = wire.flush() => Ok(sent?),
        () = cancel => Err(Stop::Error(super::errors::cancelled())),
    }
}

/// The error with its position in the text that the client sent.
fn shifted(error: SqlError, statement: &ParsedStatement) -> SqlError {
    match error.parts().position {
        Some(position) => error.at(position + statement.offset),
        None => error,
    }
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState("34000"), format!("portal \"{name}\" does not exist"))
}
