//! The bytes of a connection: messages in, messages out.

use std::io;

use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes of answers that are gathered before they are sent.
const SEND_BYTES: usize = 64 << 10;

/// Bytes that a client may send ahead while its statement runs; then it is no longer read.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// Both directions of a connection.
#[derive(Debug)]
pub(super) struct Wire {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    incoming: BytesMut,
    outgoing: BytesMut,
    context: DecodeContext,
}

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        // Answers are flushed when they are whole; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let (reader, writer) = stream.into_split();
        let context = DecodeContext::default();
        Self { reader, writer, incoming: BytesMut::new(), outgoing: BytesMut::new(), context }
    }

    /// The next message must be a start or a cancellation, not a request for encryption.
    pub(super) fn expect_startup(&mut self) {
        self.context.awaiting_frontend_ssl = false;
    }

    /// The start is over.
    pub(super) fn started(&mut self, version: ProtocolVersion) {
        self.context.awaiting_frontend_ssl = false;
        self.context.awaiting_frontend_startup = false;
        self.context.protocol_version = version;
    }

    /// The next message; `None` where the client is gone.
    ///
    /// # Errors
    /// Where the connection breaks or a message does.
    pub(super) async fn read(&mut self) -> io::Result<Option<PgWireFrontendMessage>> {
        loop {
            match PgWireFrontendMessage::decode(&mut self.incoming, &self.context) {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => (),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            if self.reader.read_buf(&mut self.incoming).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Returns when the client is gone. What it sends meanwhile is kept for [`Self::read`].
    pub(super) async fn gone(&mut self) {
        loop {
            if self.incoming.len() > AHEAD_BYTES_MAX {
                return std::future::pending().await;
            }
            match self.reader.read_buf(&mut self.incoming).await {
                Ok(0) | Err(_) => return,
                Ok(_) => (),
            }
        }
    }

    /// Appends a message to what is to be sent.
    ///
    /// # Errors
    /// Where the message is too long for the protocol.
    pub(super) fn feed(&mut self, message: &PgWireBackendMessage) -> io::Result<()> {
        message.encode(&mut self.outgoing).map_err(io::Error::other)
    }

    /// Where rows are written directly.
    pub(super) fn outgoing(&mut self) -> &mut BytesMut {
        &mut self.outgoing
    }

    /// Whether so much is waiting that it should be sent.
    pub(super) fn is_full(&self) -> bool {
        self.outgoing.len() >= SEND_BYTES
    }

    /// Sends all that was fed. May be dropped and called again.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            if self.writer.write_buf(&mut self.outgoing).await? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        self.writer.flush().await
    }
}
