//! What a process of Millstream holds, whoever asks it: the catalog, sessions, jobs, batch queries, and the data
//! directory. No wire, no HTTP and no command: those are in `millstream-server`; Rust programs that hold a database
//! themselves use `millstream-table`.
//!
//! A statement goes through [`session::Session::execute`], whoever sends it. A process holds one [`session::Database`].
//!
//! **Architecture invariants.** SQL text is parsed and bound by `millstream-sql`, dataflows run in `millstream-engine`;
//! here they are put together. Nothing here listens.

pub mod batch;
pub mod catalog;
pub mod config;
pub mod copy;
mod durable;
pub mod encode;
mod memory;
pub mod session;
mod system;
pub mod units;

pub use memory::resident_bytes;

/// The version of PostgreSQL that clients are told.
pub const SERVER_VERSION: &str = "16.6";
