//! Micro-benchmarks of the engine: [`operators`], and what they stand on, [`tables`].
//!
//! `cargo bench -p millstream-engine -- group` runs those whose name has `group`.
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up ends")]

mod operators;
mod rows;
mod tables;

fn main() {
    divan::main();
}
