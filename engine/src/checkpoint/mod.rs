//! Checkpoints: how the state of jobs is written down, found again, and dealt to another number of shards.
//!
//! In reading order: by which columns the rows of an edge are spread over the shards (`spread`), to which row of the input
//! a row of state belongs (`belongs`), and what follows for state that moves between shards (`redistribute`); what
//! operators are called over restarts (`identity`); the persisted forms (`format_run`: the rows of one shard,
//! `format_manifest`: what makes runs a checkpoint); which checkpoints to use and which to drop, as pure choices
//! (`choose`); and the store as a whole (`archive`). When checkpoints are made is the runtime's matter.

pub mod archive;
pub mod belongs;
pub mod choose;
pub mod format_manifest;
pub mod format_run;
pub mod identity;
pub mod redistribute;
pub mod spread;

#[cfg(test)]
mod tests;
