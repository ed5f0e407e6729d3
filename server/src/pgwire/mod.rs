//! The PostgreSQL wire protocol, version 3: simple and extended queries, text and binary, cancel, notices.
//!
//! Messages are encoded by the `pgwire` crate; the connection is our own, so that rows go out as they come, a client
//! that goes away or cancels ends its statement at once, and a panic ends one statement and not the server.
//!
//! In reading order: bytes ([`wire`]), the start of a connection ([`startup`]), its loop ([`connection`]), one statement
//! ([`simple`], [`extended`]), its rows ([`rows`]).

mod binary;
mod block;
#[cfg(test)]
mod broken_tests;
mod cancel;
mod connection;
mod copy;
mod errors;
mod extended;
mod numeric;
mod parameters;
mod pg_type;
mod rows;
mod simple;
mod startup;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use crate::session::Database;
use cancel::Cancels;
use connection::Connection;

/// Listens for clients.
#[derive(Debug)]
pub struct PgServer {
    listener: TcpListener,
    cancels: Arc<Cancels>,
}

impl PgServer {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// Where the address is taken or not ours.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, cancels: Arc::default() })
    }

    /// The address that clients connect to.
    ///
    /// # Errors
    /// Where the socket is gone.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves clients until the future is dropped.
    pub async fn serve(self, database: Database) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    tokio::spawn(serve_client(stream, peer, database.clone(), Arc::clone(&self.cancels)));
                }
                Err(error) => {
                    tracing::warn!(%error, "could not accept a connection");
                    // No file handles left, most likely: give others time to close theirs.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }
}

async fn serve_client(stream: TcpStream, peer: SocketAddr, database: Database, cancels: Arc<Cancels>) {
    let client = async {
        match startup::start(stream, database, &cancels).await? {
            Some(started) => Connection::new(started).run().await,
            None => Ok(()),
        }
    };
    match AssertUnwindSafe(client).catch_unwind().await {
        Ok(Ok(())) => (),
        Ok(Err(error)) => tracing::debug!(%peer, %error, "a connection ended"),
        Err(_) => tracing::error!(%peer, "a connection panicked"),
    }
}
