//! The streaming engine of Millstream: deltas in, deltas out, views kept up to date.
//!
//! **Architecture invariants.** No SQL text, no PostgreSQL and no connector is known here by name. DataFusion is
//! named in [`expr`] only. Operators are synchronous and owned by one shard; the clock is injected; nothing sleeps.
//!
//! In reading order: what travels on an edge ([`message`]), how a dataflow is described ([`plan`]), what connectors
//! implement ([`ports`]), how operators run ([`operators`]), what becomes of rows that fail ([`rejects`]), and who runs them
//! ([`runtime`]).

pub mod checkpoint;
pub mod error;
pub mod expr;
pub mod message;
pub mod operators;
pub mod pieces;
pub mod plan;
pub mod ports;
pub mod rejects;
pub mod runtime;
mod spread_table;
pub mod time;
pub mod view;

pub use error::{EngineError, ErrorKind, Result};
