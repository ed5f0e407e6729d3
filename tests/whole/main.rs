//! The tests of the whole system in one binary: durability, tidy, sqllogictest in process and over the wire, the oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod broken;
mod busy;
mod checkpoints;
mod durable;
mod emit;
mod generated;
mod isolation;
mod kept;
mod multi_join;
mod nexmark;
mod nothing_lost;
mod places;
mod replace;
mod slt;
mod temporal;
mod tidy;
mod tpch;
mod windows;
mod wrong_input;

/// What the server runs statements on.
fn runtime() -> tokio::runtime::Runtime {
    millstream_server::cli::runtime().unwrap()
}
