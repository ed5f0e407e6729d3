//! Who runs the operators: shards, jobs, exchanges and epochs. See [`Engine`].

mod api;
mod collect;
mod engine;

pub use api::{EngineConfig, JobId, JobMetrics, JobRequest, JobState, JobStatus, SplitStatus};
pub use collect::{CollectSink, Collected};
pub use engine::Engine;
