//! Who runs the operators: shards, jobs, exchanges and epochs. See [`Engine`].
//!
//! In reading order: what callers say and hear (`api`, `engine`, `collect`); how a dataflow becomes parts for shards
//! (`assemble`); what one job does on one shard (`instance`, with `aligner`, `source`, `view_source`, `materialize`); the
//! loop of a shard (`shard`); and when epochs begin and are published (`coordinator`).

mod aligner;
mod api;
mod assemble;
mod collect;
mod coordinator;
mod engine;
mod instance;
mod materialize;
mod queue;
mod shard;
mod shared;
mod source;
mod view_source;
mod waker;
mod watermark;

pub use api::{EngineConfig, JobId, JobMetrics, JobRequest, JobState, JobStatus, SplitStatus};
pub use collect::{CollectSink, Collected};
pub use engine::Engine;
