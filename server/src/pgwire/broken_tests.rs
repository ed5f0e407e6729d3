//! Broken messages: whatever a client sends, the connection answers, refuses or ends; nothing panics and nothing is taken for a bug
//! of ours.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::cancel::Cancels;
use super::connection::Connection;
use super::startup;
use crate::config::Config;
use crate::session::Database;

#[path = "../../../tests/src/broken.rs"]
mod broken;

/// How long an answer may take on a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(60);

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&[kind][..], &length, &body].concat()
}

/// A start, and what comes behind it.
fn conversation(messages: &[Vec<u8>]) -> Vec<u8> {
    let body = b"\0\x03\0\0user\0a\0database\0millstream\0client_encoding\0UTF8\0\0";
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    [&length[..], body, &messages.concat()].concat()
}

fn corpus() -> Vec<Vec<u8>> {
    let query = |text: &str| message(b'Q', &[text.as_bytes(), b"\0"]);
    let sync = message(b'S', &[]);
    let parse = message(b'P', &[b"s\0SELECT $1 + 1, $2 FROM t WHERE id < $1\0\0\x02\0\0\0\x17\0\0\0\x19"]);
    let bind = message(b'B', &[b"p\0s\0\0\x02\0\x01\0\0\0\x02\0\0\0\x04\0\0\0\x07\0\0\0\x02xy\0\x02\0\x01\0\0"]);
    let describe = message(b'D', &[b"Ss\0"]);
    let execute = message(b'E', &[b"p\0\0\0\0\x02"]);
    let close = message(b'C', &[b"Pp\0"]);
    let copied = [message(b'd', &[b"1\tx\n2\t\\N\n"]), message(b'c', &[]), sync.clone()].concat();
    vec![
        conversation(&[query("SELECT 1, 'a', NULL; SELECT 1/0"), message(b'X', &[])]),
        conversation(&[parse, bind, describe, execute, message(b'H', &[]), close, sync]),
        conversation(&[query("COPY t FROM STDIN"), copied]),
        conversation(&[query("COPY t TO STDOUT (FORMAT csv)"), message(b'f', &[b"no\0"])]),
        // A wish for encryption, then a start.
        [b"\0\0\0\x08\x04\xd2\x16\x2f".as_slice(), &conversation(&[query("BEGIN"), query("x"), query("COMMIT")])]
            .concat(),
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02".to_vec(),
    ]
}

/// What the server sends to a client that sends this and nothing more.
///
/// # Panics
/// Where the connection does.
async fn answer(database: Database, bytes: &[u8]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let cancels = Arc::new(Cancels::default());
    let served = tokio::spawn(async move {
        if let Ok(Some(started)) = startup::start(stream, database, &cancels).await {
            drop(Connection::new(started).run().await);
        }
    });
    let (mut from, mut to) = client.into_split();
    let sent = bytes.to_vec();
    let sending = tokio::spawn(async move {
        // Who is refused is not read to the end.
        drop(to.write_all(&sent).await);
        drop(to.shutdown().await);
    });
    let mut answer = Vec::new();
    drop(from.read_to_end(&mut answer).await);
    served.await.unwrap();
    sending.await.unwrap();
    answer
}

#[test]
fn messages_are_answered_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let database = runtime.block_on(async { Database::start(Config { shards: 1, ..Config::standard() }).unwrap() });
    runtime.block_on(async {
        database.session().execute_script("CREATE TABLE t (id BIGINT, name STRING)").await.unwrap();
    });
    let words: [&[u8]; 12] = [
        b"Q\0\0\0\x08x\0",
        b"S\0\0\0\x04",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\x04",
        b"\0",
        b"P\0\0\0\x10\0SELECT\0\0\0",
        b"B\0\0\0\x0c\0\0\0\0\0\0\0\0",
        b"E\0\0\0\x09\0\0\0\0\0",
        b"d\0\0\0\x06x\n",
        b"COPY t FROM STDIN\0",
        b"D\0\0\0\x06P\0",
    ];
    broken::run("pgwire", &corpus(), &words, |bytes| {
        let answered = runtime.block_on(async {
            tokio::time::timeout(PATIENCE, answer(database.clone(), bytes)).await.expect("an end of the connection")
        });
        assert!(!answered.windows(6).any(|bytes| bytes == b"CXX000"), "an internal error");
    });
    database.shutdown();
}
