//! What each job of the engine is for: which relations it reads and writes, so that `DROP` can tell; and what is done about a
//! job that failed.

use std::collections::BTreeMap;

use millstream_engine::plan::RelationId;
use millstream_engine::runtime::JobId;
use millstream_engine::time::ProcessingTime;
use parking_lot::Mutex;
use tokio::sync::watch;

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
    /// Of these, the one that it fills.
    pub makes: Option<RelationId>,
}

/// What is done about a job that is not to end, beside what the engine knows of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Supervision {
    /// Nothing: it runs, or nobody starts it again.
    #[default]
    None,
    /// It failed, and is started again.
    Waiting {
        /// Its name, where the engine never had it.
        name: String,
        /// Why it failed.
        why: String,
        /// When the next try comes; `None`: when the job runs again whose view it reads.
        next: Option<ProcessingTime>,
        /// The number of that try, from 1.
        attempt: u32,
    },
    /// It failed and is not started again.
    GaveUp {
        /// Its name, where the engine never had it.
        name: String,
        /// Why it failed the last time.
        why: String,
    },
    /// Somebody stopped it; it can be started again.
    Paused {
        /// Its name, where the engine never had it.
        name: String,
    },
    /// Somebody stopped it for good.
    Stopped,
}

impl Supervision {
    /// Whether somebody stopped the job.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Paused { .. } | Self::Stopped)
    }
}

#[derive(Debug)]
struct Entry {
    record: JobRecord,
    supervision: watch::Sender<Supervision>,
}

/// The records of all jobs since the start.
#[derive(Debug, Default)]
pub struct JobRegistry(Mutex<BTreeMap<JobId, Entry>>);

impl JobRegistry {
    /// Notes a job. A job that is started again keeps what is known of it.
    pub fn add(&self, job: JobId, record: JobRecord) {
        self.0.lock().entry(job).or_insert_with(|| Entry { record, supervision: watch::Sender::default() });
    }

    /// Notes that a job has ended for good: it holds no relation any more.
    pub fn ended(&self, job: JobId) {
        if let Some(entry) = self.0.lock().get_mut(&job) {
            entry.record.touches.clear();
            entry.record.makes = None;
            entry.supervision.send_replace(Supervision::Stopped);
        }
    }

    /// The jobs that touch a relation.
    pub fn touching(&self, relation: RelationId) -> Vec<(JobId, JobKind)> {
        let jobs = self.0.lock();
        let touching = jobs.iter().filter(|(_, entry)| entry.record.touches.contains(&relation));
        touching.map(|(job, entry)| (*job, entry.record.kind)).collect()
    }

    /// The jobs whose views a job reads.
    pub fn producers(&self, job: JobId) -> Vec<JobId> {
        let jobs = self.0.lock();
        let Some(reader) = jobs.get(&job) else { return Vec::new() };
        let reads = |made: RelationId| reader.record.makes != Some(made) && reader.record.touches.contains(&made);
        let producing = jobs.iter().filter(|(_, entry)| entry.record.makes.is_some_and(reads));
        producing.map(|(job, _)| *job).collect()
    }

    /// The job that fills a relation, and what is done about it; `None` where it was stopped.
    pub fn maker(&self, relation: RelationId) -> Option<(JobId, Supervision)> {
        let jobs = self.0.lock();
        let maker = jobs.iter().find(|(_, entry)| entry.record.makes == Some(relation));
        maker.map(|(job, entry)| (*job, entry.supervision.borrow().clone()))
    }

    /// Why a job runs, where it is known.
    pub fn kind(&self, job: JobId) -> Option<JobKind> {
        self.0.lock().get(&job).map(|entry| entry.record.kind)
    }

    /// Notes that a job is stopped until [`Self::revive`].
    pub fn pause(&self, job: JobId, name: String) {
        if let Some(entry) = self.0.lock().get(&job) {
            entry.supervision.send_replace(Supervision::Paused { name });
        }
    }

    /// Why a job failed that is not started again.
    pub fn failure(&self, job: JobId) -> Option<String> {
        match &*self.0.lock().get(&job)?.supervision.borrow() {
            Supervision::GaveUp { why, .. } => Some(why.clone()),
            Supervision::None | Supervision::Waiting { .. } | Supervision::Paused { .. } | Supervision::Stopped => None,
        }
    }

    /// Notes that a job that was stopped is started.
    pub fn revive(&self, job: JobId, record: JobRecord) {
        if let Some(entry) = self.0.lock().get_mut(&job) {
            entry.record = record;
            entry.supervision.send_replace(Supervision::None);
        }
    }

    /// Notes what is done about a job, unless it was stopped.
    pub fn supervise(&self, job: JobId, supervision: Supervision) {
        if let Some(entry) = self.0.lock().get(&job) {
            entry.supervision.send_if_modified(|now| {
                let change = !now.is_stopped() && *now != supervision;
                if change {
                    *now = supervision;
                }
                change
            });
        }
    }

    /// Why a job waits to be started again; `None` where it does not.
    pub fn waits(&self, job: JobId) -> Option<String> {
        match &*self.0.lock().get(&job)?.supervision.borrow() {
            Supervision::Waiting { why, .. } => Some(why.clone()),
            Supervision::None | Supervision::GaveUp { .. } | Supervision::Paused { .. } | Supervision::Stopped => None,
        }
    }

    /// Whether somebody stopped a job.
    pub fn is_stopped(&self, job: JobId) -> bool {
        self.0.lock().get(&job).is_some_and(|entry| entry.supervision.borrow().is_stopped())
    }

    /// What is done about each job that something is done about.
    pub fn supervised(&self) -> BTreeMap<JobId, Supervision> {
        let jobs = self.0.lock();
        let states = jobs.iter().map(|(job, entry)| (*job, entry.supervision.borrow().clone()));
        states.filter(|(_, supervision)| *supervision != Supervision::None).collect()
    }

    /// Follows what is done about a job.
    pub fn watch(&self, job: JobId) -> Option<watch::Receiver<Supervision>> {
        self.0.lock().get(&job).map(|entry| entry.supervision.subscribe())
    }
}
