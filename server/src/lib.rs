//! The server of Millstream: sessions, the PostgreSQL wire, HTTP, the catalog, batch queries and the commands.
//!
//! A statement goes through [`session::Session::execute`], whoever sends it: [`pgwire`], the commands in [`cli`], demo,
//! bench and tests. A process holds one [`session::Database`].
//!
//! **Architecture invariants.** Only this crate names `pgwire`. SQL text is parsed and bound by `millstream-sql`,
//! dataflows run in `millstream-engine`; here they are put together.

pub mod batch;
mod bench;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod copy;
mod demo;
mod durable;
pub mod encode;
pub mod errors;
pub mod http;
mod memory;
pub mod pgwire;
pub mod session;
mod system;
pub mod units;

/// The version of PostgreSQL that clients are told.
pub const SERVER_VERSION: &str = "16.6";
