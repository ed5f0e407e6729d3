//! The server of Millstream: the PostgreSQL wire, HTTP and the commands over a [`session::Database`].
//!
//! A statement goes through [`session::Session::execute`], whoever sends it: [`pgwire`], the commands in [`cli`], demo,
//! bench and tests.
//!
//! **Architecture invariants.** Only this crate names `pgwire`. What a statement does is in `millstream-database`.

mod bench;
pub mod cli;
mod demo;
pub mod http;
pub mod pgwire;

pub use millstream_database::{config, encode, session};
