//! Who runs the operators: shards, jobs, exchanges and epochs. See [`Engine`].
//!
//! In reading order: what callers say and hear (`api`, `engine`, `collect`, `simulation`); how a dataflow becomes parts
//! for shards (`assemble`); what one job does on one shard (`part`: where it reads, when; `graph`: how messages move
//! between its nodes; `aligner`, `source`, `watermark`, `view_source`, `materialize`, `sink`: the nodes; `memory`: when sources are held back; `evaluation`: when one takes too
//! much); what lies
//! between shards (`exchange`, `ring`, `signal`); the loop of a shard (`shard`); and which jobs there are, when their
//! epochs begin and what is published (`system`, `coordinator`, `deploy`, `epochs`, `flush`, `publish`; `protocol` is what they and the
//! shards say to each other).

mod aligner;
mod api;
mod assemble;
mod capture;
mod catch_up;
mod collect;
mod coordinator;
mod deploy;
mod durable;
mod engine;
mod entry;
mod epochs;
mod evaluation;
mod exchange;
mod flush;
mod graph;
mod hold;
mod job;
mod materialize;
mod memory;
mod part;
mod protocol;
mod publish;
mod recall;
mod recover;
mod redeploy;
mod ring;
mod saves;
mod saving;
mod shard;
mod shared;
mod signal;
mod simulation;
mod sink;
mod source;
mod system;
mod view_source;
mod watermark;
mod withheld;
mod write;

#[cfg(test)]
mod tests;

pub use crate::checkpoint::archive::Owner;
pub use api::{EngineConfig, JobId, JobMetrics, JobPolicy, JobRequest, JobState, JobStatus, SplitStatus, StopReason};
pub use collect::{CollectSink, Collected};
pub use durable::{CheckpointConfig, CheckpointStatus, Deployed, Member, MemberKind, Restore, SavepointStatus};
pub use engine::Engine;
pub use memory::MemoryGuard;
pub use recall::Resting;
pub use simulation::Simulation;
