//! The tests of the whole system in one binary: tidy, sqllogictest in process and over the wire, the oracle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod emit;
mod generated;
mod nexmark;
mod slt;
mod temporal;
mod tidy;
mod tpch;
mod windows;
