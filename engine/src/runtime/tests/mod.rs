//! Tests of the runtime as a whole: dataflows of sources, exchanges, views and sinks, on threads and in the simulation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panic")]

mod catching_up;
mod changes;
mod checkpoints;
mod crashes;
mod faults;
mod fixtures;
mod harness;
mod increments;
mod rejects;
mod restarts;
mod savepoints;
mod sinks;
mod sources;
mod unreliable;
mod views;
mod watched;
