//! The bytes of a connection: messages in, messages out.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::BytesMut;
use pgwire::messages::{DecodeContext, PgWireBackendMessage, PgWireFrontendMessage, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// Bytes of answers that are gathered before they are sent.
const SEND_BYTES: usize = 64 << 10;

/// Bytes that a client may send ahead while its statement runs; then it is no longer read.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// A statement that is no text in UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct NotText {
    /// It came as a simple query.
    pub(super) simple: bool,
    /// The first byte that is wrong.
    pub(super) byte: u8,
    /// Where it is: characters from the start of the statement, from 1.
    pub(super) position: usize,
}

impl std::fmt::Display for NotText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invalid byte sequence for encoding \"UTF8\": 0x{:02x}", self.byte)
    }
}

impl std::error::Error for NotText {}

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
    /// Where the connection breaks or a message does; `InvalidInput` with a [`NotText`] where only the text of a statement is
    /// wrong, and the next message can be read.
    pub(super) async fn read(&mut self) -> io::Result<Option<PgWireFrontendMessage>> {
        loop {
            if let Some(wrong) = self.not_text() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, wrong));
            }
            // `pgwire` panics where a message is shorter than what it has to hold.
            let decoded = AssertUnwindSafe(|| PgWireFrontendMessage::decode(&mut self.incoming, &self.context));
            let broken =
                |_| io::Error::new(io::ErrorKind::InvalidData, "a message is shorter than what it has to hold");
            match catch_unwind(decoded).map_err(broken)? {
                Ok(Some(message)) => return Ok(Some(message)),
                Ok(None) => (),
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
            if self.reader.read_buf(&mut self.incoming).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes the next message away where it has a statement that is no text. `pgwire` would put other characters there.
    fn not_text(&mut self) -> Option<NotText> {
        if self.context.awaiting_frontend_ssl || self.context.awaiting_frontend_startup {
            return None;
        }
        let (tag, rest) = self.incoming.split_first()?;
        let simple = match tag {
            b'Q' => true,
            b'P' => false,
            _ => return None,
        };
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let body = rest.get(4..length)?;
        // The types of parameters of a `Parse` stand behind its two texts.
        let texts = if simple { body.strip_suffix(&[0])? } else { body };
        let wrong = match simple {
            true => wrong_byte(texts),
            false => texts.splitn(3, |byte| *byte == 0).take(2).find_map(wrong_byte),
        };
        let nul = || texts.iter().position(|byte| *byte == 0).filter(|_| simple).and_then(|at| at_byte(texts, at));
        let (byte, position) = wrong.or_else(nul)?;
        let _ = self.incoming.split_to(length + 1);
        Some(NotText { simple, byte, position })
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

/// The first byte of a text that is not UTF-8, and its place in characters from 1.
fn wrong_byte(text: &[u8]) -> Option<(u8, usize)> {
    at_byte(text, std::str::from_utf8(text).err()?.valid_up_to())
}

/// The byte there and its place in characters, behind bytes that are a text.
fn at_byte(text: &[u8], at: usize) -> Option<(u8, usize)> {
    let before = std::str::from_utf8(text.get(..at)?).ok()?;
    Some((*text.get(at)?, before.chars().count() + 1))
}
