//! Checkpoints: how the state of jobs is written down, found again, and dealt to another number of shards.
//!
//! In reading order: by which columns the rows of an edge are spread over the shards (`spread`), to which row of the input
//! a row of state belongs (`belongs`), and what follows for state that moves between shards (`redistribute`); what
//! operators are called over restarts (`identity`, by way of `canonical`), and what a job keeps that computes something else
//! (`change`); the persisted forms (`format_run`: the rows of one shard, `format_manifest`: what makes runs a checkpoint,
//! `format_claim`: who may write); how a node tells its state (`table`) and names rows that others belong to (`numbers`), what a
//! checkpoint writes of one of which an earlier one has most (`fingerprint`, `edits`, `known`, `chain`), and how it is put
//! together again (`gathered`, `load`); which
//! checkpoints to use and which to drop, as pure choices (`choose`); the store as a whole (`archive`), and copies outside it
//! (`savepoint`) and for people (`readable`). When checkpoints are made is the runtime's matter.

pub mod archive;
pub mod belongs;
pub mod canonical;
pub mod chain;
pub mod change;
pub mod choose;
pub mod edits;
pub mod fingerprint;
pub mod format_claim;
pub mod format_manifest;
pub mod format_run;
pub mod format_run_writer;
pub mod gathered;
pub mod identity;
pub mod known;
pub mod load;
pub(crate) mod numbers;
pub mod readable;
pub mod redistribute;
pub mod savepoint;
pub mod spread;
pub mod table;

#[cfg(test)]
mod broken_tests;
#[cfg(test)]
mod tests;
