//! What each job of the engine is for: which relations it reads and writes, so that `DROP` can tell.

use std::collections::BTreeMap;

use millstream_engine::plan::RelationId;
use millstream_engine::runtime::JobId;
use parking_lot::Mutex;

/// Why a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// It keeps a materialised view.
    View,
    /// It writes to a connector table.
    Insert,
    /// It feeds a `SUBSCRIBE`.
    Subscribe,
    /// It computes a `SELECT` in streaming mode.
    Query,
}

/// What a job is for.
#[derive(Debug, Clone)]
pub struct JobRecord {
    /// Why it runs.
    pub kind: JobKind,
    /// The relations that it reads or writes, views that are only names included.
    pub touches: Vec<RelationId>,
}

/// The records of all jobs since the start.
#[derive(Debug, Default)]
pub struct JobRegistry(Mutex<BTreeMap<JobId, JobRecord>>);

impl JobRegistry {
    /// Notes a job.
    pub fn add(&self, job: JobId, record: JobRecord) {
        self.0.lock().insert(job, record);
    }

    /// Notes that a job has ended: it holds no relation any more.
    pub fn ended(&self, job: JobId) {
        if let Some(record) = self.0.lock().get_mut(&job) {
            record.touches.clear();
        }
    }

    /// The jobs that touch a relation.
    pub fn touching(&self, relation: RelationId) -> Vec<(JobId, JobKind)> {
        let jobs = self.0.lock();
        let touching = jobs.iter().filter(|(_, record)| record.touches.contains(&relation));
        touching.map(|(job, record)| (*job, record.kind)).collect()
    }

    /// Why a job runs, where it is known.
    pub fn kind(&self, job: JobId) -> Option<JobKind> {
        self.0.lock().get(&job).map(|record| record.kind)
    }
}
