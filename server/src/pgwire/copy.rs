//! `COPY` over the wire: bytes to the client, and bytes from it.

use std::pin::Pin;

use bytes::BufMut;
use futures::StreamExt;
use millstream_sql::{SqlError, SqlState};
use pgwire::messages::copy::{CopyDone, CopyInResponse, CopyOutResponse};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage as Frontend};
use tokio::sync::futures::Notified;

use super::connection::{Stop, interruptible};
use super::errors::{cancelled, notice_message, protocol_violation};
use super::extended::flush;
use super::wire::Wire;
use crate::session::{Body, CopyIn, CopyOut, Decision, Notice, Session};

/// Bytes that a client may copy in one statement: they are held until all are there, since either all rows are added
/// or none.
const COPY_BYTES_MAX: usize = 4 << 30;

/// Sends all rows. Returns the command tag.
pub(super) async fn send(wire: &mut Wire, copy: CopyOut, mut cancel: Pin<&mut Notified<'_>>) -> Result<String, Stop> {
    let CopyOut { mut rows, mut encoder } = copy;
    let columns = i16::try_from(rows.schema.fields().len()).unwrap_or(i16::MAX);
    let formats = vec![0; rows.schema.fields().len()];
    wire.feed(&PgWireBackendMessage::CopyOutResponse(CopyOutResponse::new(0, columns, formats)))?;
    let mut buffer = Vec::new();
    let mut count = 0_u64;
    encoder.header(&rows.schema, &mut buffer);
    feed(wire, &mut buffer);
    while let Some(batch) = interruptible(wire, cancel.as_mut(), &Decision::default(), rows.batches.next()).await? {
        let batch = batch?;
        for row in 0..batch.num_rows() {
            encoder.row(&batch, row, &mut buffer);
            count += 1;
            // Clients take a message for a row.
            feed(wire, &mut buffer);
            if wire.is_full() {
                flush(wire, cancel.as_mut()).await?;
            }
        }
    }
    wire.feed(&PgWireBackendMessage::CopyDone(CopyDone::new()))?;
    if let Some(notice) = Notice::after(&rows.notes) {
        wire.feed(&notice_message(&notice))?;
    }
    Ok(format!("COPY {count}"))
}

/// Appends a message with what is in the buffer: a row, or the header.
fn feed(wire: &mut Wire, buffer: &mut Vec<u8>) {
    if buffer.is_empty() {
        return;
    }
    let out = wire.outgoing();
    out.put_u8(b'd');
    out.put_i32(i32::try_from(buffer.len() + 4).unwrap_or(i32::MAX));
    out.put_slice(buffer);
    buffer.clear();
}

/// Takes rows from the client and adds them. Returns the command tag.
pub(super) async fn receive(
    wire: &mut Wire,
    session: &mut Session,
    copy: &CopyIn,
    mut cancel: Pin<&mut Notified<'_>>,
) -> Result<String, Stop> {
    let columns = i16::try_from(copy.columns()).unwrap_or(i16::MAX);
    let response = CopyInResponse::new(0, columns, vec![0; copy.columns()]);
    wire.feed(&PgWireBackendMessage::CopyInResponse(response))?;
    flush(wire, cancel.as_mut()).await?;
    let mut bytes = Vec::new();
    loop {
        let message = tokio::select! {
            biased;
            message = wire.read() => message?,
            () = cancel.as_mut() => return Err(Stop::Error(cancelled())),
        };
        match message {
            None => return Err(Stop::Gone(std::io::ErrorKind::ConnectionAborted.into())),
            Some(Frontend::CopyData(data)) if bytes.len() + data.data.len() > COPY_BYTES_MAX => {
                let message = format!("COPY of more than {} bytes at once", COPY_BYTES_MAX);
                return Err(SqlError::new(SqlState("54000"), message).with_hint("copy in several parts").into());
            }
            Some(Frontend::CopyData(data)) => bytes.extend_from_slice(&data.data),
            Some(Frontend::CopyDone(_)) => break,
            Some(Frontend::CopyFail(fail)) => {
                let message = format!("COPY from stdin failed: {}", fail.message);
                return Err(SqlError::new(SqlState::QUERY_CANCELED, message).into());
            }
            // Clients may send these at any time in the extended protocol.
            Some(Frontend::Flush(_) | Frontend::Sync(_)) => (),
            Some(other) => return Err(protocol_violation(format!("unexpected message {other:?} in COPY")).into()),
        }
    }
    let outcome = interruptible(wire, cancel.as_mut(), &session.decision(), session.copy_from(copy, bytes)).await??;
    for notice in &outcome.notices {
        wire.feed(&notice_message(notice))?;
    }
    match outcome.body {
        Body::Done(tag) => Ok(tag),
        Body::Rows(_) | Body::Subscription(_) | Body::CopyOut(_) | Body::CopyIn(_) => Ok("COPY 0".to_owned()),
    }
}
