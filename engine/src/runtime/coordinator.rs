//! [`Coordinator`]: which jobs there are, when epochs begin, when they are complete, and what is published.
//!
//! Connected jobs (one reads the other's view) are a component: they share epochs and are published together.
//! Everything here happens under one lock, per epoch and per statement, never per batch.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use arrow::datatypes::SchemaRef;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;

use super::instance::JobInstance;
use super::materialize::Staged;
use super::queue::Queue;
use super::shard::{Control, Inbox};
use super::shared::JobCounters;
use super::{JobId, JobState, JobStatus};
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::time::{Clock, ProcessingTime};
use crate::view::{GlobalSnapshot, ViewSnapshot, ViewVersion};

/// Epochs of one component that may be under way at once.
const EPOCHS_IN_FLIGHT: usize = 2;

/// A job as the coordinator knows it.
pub(super) struct Job {
    pub(super) name: String,
    pub(super) state: JobState,
    error: Option<String>,
    hint: Option<String>,
    started: ProcessingTime,
    pub(super) counters: Arc<JobCounters>,
    pub(super) produces: Vec<(RelationId, SchemaRef)>,
    reads: Vec<RelationId>,
    has_sinks: bool,
    shards: Vec<ShardProgress>,
    /// The epoch published last.
    pub(super) published: Epoch,
    /// Shards that have yet to make visible what their sinks prepared.
    commits_open: usize,
    component: u64,
}

/// How far a job is on one shard.
#[derive(Clone, Copy)]
struct ShardProgress {
    passed: Epoch,
    ended: bool,
}

/// Connected jobs.
#[derive(Default)]
struct Component {
    in_flight: VecDeque<Flight>,
    /// Somebody waits for an epoch.
    wanted: bool,
    issued_at: Option<ProcessingTime>,
}

/// An epoch under way.
struct Flight {
    epoch: Epoch,
    jobs: Vec<JobId>,
}

/// A `FLUSH` whose sources are still reading.
struct Flush {
    waiting: HashSet<(JobId, usize)>,
}

/// Everything that the lock guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) jobs: BTreeMap<JobId, Job>,
    components: HashMap<u64, Component>,
    producers: HashMap<RelationId, JobId>,
    staged: HashMap<(RelationId, usize), VecDeque<Staged>>,
    latest: HashMap<(RelationId, usize), Staged>,
    flushes: HashMap<u64, Flush>,
    last_epoch: u64,
    last_job: u64,
    last_flush: u64,
    last_component: u64,
    pub(super) stopped: bool,
}

/// What a new job brings.
pub(super) struct NewJob {
    pub(super) name: String,
    pub(super) counters: Arc<JobCounters>,
    pub(super) produces: Vec<(RelationId, SchemaRef)>,
    pub(super) reads: Vec<RelationId>,
    pub(super) has_sinks: bool,
    /// For each shard: the instance, and the queues through which it reads views.
    pub(super) instances: Vec<(JobInstance, Vec<(RelationId, Arc<Queue>)>)>,
}

/// See the module.
pub(super) struct Coordinator {
    state: Mutex<State>,
    tick: Condvar,
    inboxes: Vec<Arc<Inbox>>,
    snapshot: ArcSwap<GlobalSnapshot>,
    changes: watch::Sender<u64>,
    interval_us: i64,
    clock: Arc<dyn Clock>,
}

impl Coordinator {
    pub(super) fn new(inboxes: Vec<Arc<Inbox>>, epoch_interval_ms: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            state: Mutex::default(),
            tick: Condvar::new(),
            inboxes,
            snapshot: ArcSwap::default(),
            changes: watch::channel(0).0,
            interval_us: i64::try_from(epoch_interval_ms).unwrap_or(i64::MAX).saturating_mul(1_000),
            clock,
        }
    }

    /// What readers see now.
    pub(super) fn snapshot(&self) -> Arc<GlobalSnapshot> {
        self.snapshot.load_full()
    }

    /// Told whenever something was published or a job's state changed.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// A number for a job that is being built.
    pub(super) fn next_job(&self) -> JobId {
        let mut state = self.lock();
        state.last_job += 1;
        JobId(state.last_job)
    }

    /// Starts a job: hands its parts to the shards and asks for its first epoch.
    pub(super) fn deploy(&self, id: JobId, new: NewJob) -> Result<()> {
        let mut state = self.lock();
        if state.stopped {
            return Err(EngineError::Gone("the engine is shut down".into()));
        }
        let mut upstream = Vec::new();
        for relation in &new.reads {
            upstream.push(state.readable_producer(*relation)?);
        }
        let component = state.join_components(&upstream);
        let progress = ShardProgress { passed: Epoch(0), ended: false };
        for (relation, schema) in &new.produces {
            state.producers.insert(*relation, id);
            self.publish_empty(*relation, schema);
        }
        let job = Job {
            name: new.name,
            state: JobState::Running,
            error: None,
            hint: None,
            started: self.clock.now(),
            counters: new.counters,
            produces: new.produces,
            reads: new.reads,
            has_sinks: new.has_sinks,
            shards: vec![progress; self.inboxes.len()],
            published: Epoch(0),
            commits_open: 0,
            component,
        };
        state.jobs.insert(id, job);
        let attach = Epoch(state.last_epoch + 1);
        for (inbox, (instance, views)) in self.inboxes.iter().zip(new.instances) {
            let views =
                views.into_iter().map(|(relation, queue)| (state.producers.get(&relation).copied(), relation, queue));
            inbox.send(Control::Deploy { instance: Box::new(instance), views: views.collect(), attach });
        }
        self.issue(&mut state, component);
        Ok(())
    }

    /// Hands rows to an internal table; gives the epoch after which they are published.
    pub(super) fn insert(&self, relation: RelationId, delta: Delta) -> Result<(JobId, Epoch)> {
        let mut state = self.lock();
        let job = state.readable_producer(relation)?;
        let after = Epoch(state.last_epoch);
        if let Some(inbox) = self.inboxes.first() {
            inbox.send(Control::Insert { job, delta });
        }
        state.want(job);
        self.pump(&mut state);
        Ok((job, after))
    }

    /// Begins a flush; gives its number.
    pub(super) fn begin_flush(&self) -> Result<u64> {
        let mut state = self.lock();
        if state.stopped {
            return Err(EngineError::Gone("the engine is shut down".into()));
        }
        state.last_flush += 1;
        let id = state.last_flush;
        let shards = self.inboxes.len();
        let running = state.jobs.iter().filter(|(_, job)| job.state == JobState::Running);
        let open = |(id, job): (&JobId, &Job)| {
            let open = (0..shards).filter(|shard| job.shards.get(*shard).is_some_and(|at| !at.ended));
            open.map(|shard| (*id, shard)).collect::<Vec<_>>()
        };
        let waiting = running.flat_map(open).collect();
        state.flushes.insert(id, Flush { waiting });
        for inbox in &self.inboxes {
            inbox.send(Control::Flush(id));
        }
        Ok(id)
    }

    /// Whether the sources of a flush are done; begins the last part then: the jobs and the epoch to wait for.
    pub(super) fn sources_flushed(&self, flush: u64) -> Option<(Vec<JobId>, Epoch)> {
        let mut state = self.lock();
        if state.flushes.get(&flush).is_some_and(|flush| !flush.waiting.is_empty()) && !state.stopped {
            return None;
        }
        state.flushes.remove(&flush);
        let after = Epoch(state.last_epoch);
        let running: Vec<JobId> =
            state.jobs.iter().filter(|(_, job)| job.state == JobState::Running).map(|(id, _)| *id).collect();
        for job in &running {
            state.want(*job);
        }
        self.pump(&mut state);
        Some((running, after))
    }

    /// Whether the job has published an epoch after `after`, or is over.
    pub(super) fn published_after(&self, job: JobId, after: Epoch) -> bool {
        let state = self.lock();
        let done = |job: &Job| job.state.is_terminal() || (job.published > after && job.commits_open == 0);
        state.stopped || state.jobs.get(&job).is_none_or(done)
    }

    /// Stops a job at a user's wish.
    pub(super) fn cancel(&self, id: JobId) -> Result<()> {
        let mut state = self.lock();
        let Some(job) = state.jobs.get(&id) else { return Err(EngineError::Gone(format!("job {id} does not exist"))) };
        if job.state.is_terminal() {
            return Ok(());
        }
        self.end_job(&mut state, id, JobState::Canceled, None);
        self.pump(&mut state);
        Ok(())
    }

    /// Forgets a relation and stops what fills it.
    pub(super) fn drop_relation(&self, relation: RelationId) -> Result<()> {
        let mut state = self.lock();
        let Some(id) = state.producers.remove(&relation) else {
            return Err(EngineError::Gone("the relation does not exist".into()));
        };
        if state.jobs.get(&id).is_some_and(|job| !job.state.is_terminal()) {
            self.end_job(&mut state, id, JobState::Canceled, None);
        }
        for inbox in &self.inboxes {
            inbox.send(Control::Drop(id));
        }
        state.staged.retain(|(of, _), _| *of != relation);
        state.latest.retain(|(of, _), _| *of != relation);
        let mut snapshot = GlobalSnapshot::clone(&self.snapshot.load());
        snapshot.views.remove(&relation);
        self.snapshot.store(Arc::new(snapshot));
        self.pump(&mut state);
        Ok(())
    }

    /// A job's part on a shard passed a barrier, ended, or failed.
    pub(super) fn report(&self, shard: usize, job: JobId, what: ShardReport) {
        let mut state = self.lock();
        match what {
            ShardReport::Staged(staged) => {
                state.staged.entry((staged.relation, shard)).or_default().push_back(staged);
                return;
            }
            ShardReport::Passed(epoch) => {
                if let Some(progress) = state.progress(job, shard) {
                    progress.passed = epoch;
                }
            }
            ShardReport::Ended => {
                if let Some(progress) = state.progress(job, shard) {
                    progress.ended = true;
                }
                state.flush_reached(job, shard, None);
                if state.jobs.get(&job).is_some_and(|job| job.shards.iter().all(|shard| shard.ended)) {
                    state.want(job);
                }
            }
            ShardReport::Flushed(flush) => state.flush_reached(job, shard, Some(flush)),
            ShardReport::Committed => {
                if let Some(job) = state.jobs.get_mut(&job) {
                    job.commits_open = job.commits_open.saturating_sub(1);
                }
                state.finish(job);
            }
            ShardReport::Failed { message, hint } => {
                if state.jobs.get(&job).is_some_and(|job| !job.state.is_terminal()) {
                    tracing::warn!(job = job.0, error = %message, "job failed");
                    self.end_job(&mut state, job, JobState::Failed, Some((message, hint)));
                }
            }
        }
        self.pump(&mut state);
        drop(state);
        self.changed();
    }

    /// Status of a job.
    pub(super) fn status(&self, id: JobId) -> Option<JobStatus> {
        self.lock().jobs.get(&id).map(|job| job.status(id))
    }

    /// Rows moved somewhere: an epoch is due within the interval.
    pub(super) fn notify(&self) {
        // Under the lock: the coordinator may stand between its last look and its wait.
        let _state = self.lock();
        self.tick.notify_one();
    }

    /// Asks for the epochs that are due; tells when the next one is.
    pub(super) fn advance(&self) -> Option<ProcessingTime> {
        let mut state = self.lock();
        self.pump(&mut state)
    }

    /// The loop of the coordinator's thread, until the engine stops.
    pub(super) fn run(&self) {
        let mut state = self.lock();
        while !state.stopped {
            match self.pump(&mut state) {
                None => self.tick.wait(&mut state),
                Some(due) => {
                    let wait = u64::try_from(due.0.saturating_sub(self.clock.now().0)).unwrap_or(0);
                    self.tick.wait_for(&mut state, std::time::Duration::from_micros(wait.max(100)));
                }
            }
        }
    }

    /// Stops everything.
    pub(super) fn stop(&self) {
        self.lock().stopped = true;
        for inbox in &self.inboxes {
            inbox.send(Control::Stop);
        }
        self.tick.notify_all();
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Completes and issues what can be; gives the time of the next epoch that is due by the interval.
    fn pump(&self, state: &mut State) -> Option<ProcessingTime> {
        let now = self.clock.now();
        let mut next: Option<ProcessingTime> = None;
        let ids: Vec<u64> = state.components.keys().copied().collect();
        for id in ids {
            self.settle(state, id);
            let dirty =
                state.jobs.values().any(|job| job.component == id && job.counters.dirty.load(Ordering::Acquire));
            let Some(component) = state.components.get(&id) else { continue };
            if !(component.wanted || dirty) || component.in_flight.len() >= EPOCHS_IN_FLIGHT {
                continue;
            }
            let due = component.issued_at.map_or(now, |at| at.plus_us(self.interval_us));
            if component.wanted || due <= now {
                self.issue(state, id);
                self.settle(state, id);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        next
    }

    /// Begins an epoch of a component.
    fn issue(&self, state: &mut State, id: u64) {
        state.last_epoch += 1;
        let epoch = Epoch(state.last_epoch);
        let in_component = state.jobs.iter().filter(|(_, job)| job.component == id && !job.state.is_terminal());
        let jobs: Vec<JobId> = in_component.map(|(id, _)| *id).collect();
        for job in &jobs {
            if let Some(job) = state.jobs.get(job) {
                job.counters.dirty.store(false, Ordering::Release);
            }
        }
        let Some(component) = state.components.get_mut(&id) else { return };
        component.wanted = false;
        component.issued_at = Some(self.clock.now());
        if jobs.is_empty() {
            return;
        }
        component.in_flight.push_back(Flight { epoch, jobs: jobs.clone() });
        let jobs: Arc<[JobId]> = jobs.into();
        for inbox in &self.inboxes {
            inbox.send(Control::Epoch { epoch, jobs: Arc::clone(&jobs) });
        }
    }

    /// Publishes the epochs of a component that are complete.
    fn settle(&self, state: &mut State, id: u64) {
        loop {
            let Some(flight) = state.components.get(&id).and_then(|component| component.in_flight.front()) else {
                return;
            };
            let epoch = flight.epoch;
            let passed = |job: &Job| {
                job.state.is_terminal() || job.shards.iter().all(|shard| shard.ended || shard.passed >= epoch)
            };
            if !flight.jobs.iter().all(|job| state.jobs.get(job).is_none_or(passed)) {
                return;
            }
            let Some(flight) = state.components.get_mut(&id).and_then(|component| component.in_flight.pop_front())
            else {
                return;
            };
            self.publish(state, &flight);
        }
    }

    /// Makes an epoch visible, and ends the jobs that are at their end.
    fn publish(&self, state: &mut State, flight: &Flight) {
        let mut snapshot = GlobalSnapshot::clone(&self.snapshot.load());
        for id in &flight.jobs {
            let Some(job) = state.jobs.get_mut(id) else { continue };
            if job.state.is_terminal() {
                continue;
            }
            job.published = flight.epoch;
            let produces = job.produces.clone();
            if job.has_sinks {
                job.commits_open += self.inboxes.len();
                for inbox in &self.inboxes {
                    inbox.send(Control::Commit { job: *id, epoch: flight.epoch });
                }
            }
            for (relation, schema) in produces {
                if state.producers.get(&relation) == Some(id) {
                    let view = state.view_at(relation, &schema, flight.epoch, self.inboxes.len());
                    snapshot.views.insert(relation, Arc::new(view));
                }
            }
        }
        self.snapshot.store(Arc::new(snapshot));
        for id in &flight.jobs {
            state.finish(*id);
        }
        self.changed();
    }

    fn publish_empty(&self, relation: RelationId, schema: &SchemaRef) {
        let mut snapshot = GlobalSnapshot::clone(&self.snapshot.load());
        let view = ViewSnapshot {
            schema: Arc::clone(schema),
            epoch: Epoch(0),
            watermark: crate::time::EventTime::MIN,
            shards: Vec::new(),
        };
        snapshot.views.insert(relation, Arc::new(view));
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Takes a job out, and with it those that read its views: their stream has stopped.
    fn end_job(&self, state: &mut State, id: JobId, how: JobState, error: Option<(String, Option<String>)>) {
        let mut open = VecDeque::from([(id, how, error)]);
        while let Some((id, how, error)) = open.pop_front() {
            let Some(job) = state.jobs.get_mut(&id) else { continue };
            if job.state.is_terminal() {
                continue;
            }
            job.state = how;
            (job.error, job.hint) = error.map_or((None, None), |(message, hint)| (Some(message), hint));
            let (name, produces) = (job.name.clone(), job.produces.clone());
            for inbox in &self.inboxes {
                inbox.send(Control::Drop(id));
            }
            state.flushes.values_mut().for_each(|flush| flush.waiting.retain(|(job, _)| *job != id));
            let readers = state.jobs.iter().filter(|(_, job)| {
                !job.state.is_terminal() && job.reads.iter().any(|read| produces.iter().any(|(made, _)| made == read))
            });
            let verb = if how == JobState::Canceled { "was canceled" } else { "failed" };
            let message = format!("job {id} ({name}), whose view this job reads, {verb}");
            open.extend(
                readers.map(|(id, _)| (*id, JobState::Failed, Some((message.clone(), None)))).collect::<Vec<_>>(),
            );
        }
        self.changed();
    }
}

/// What a shard tells of one job.
#[derive(Debug)]
pub(super) enum ShardReport {
    Staged(Staged),
    Passed(Epoch),
    Ended,
    Flushed(u64),
    Committed,
    Failed { message: String, hint: Option<String> },
}

impl State {
    /// The job that fills a relation, if its stream can be joined.
    fn readable_producer(&self, relation: RelationId) -> Result<JobId> {
        let id = self.producers.get(&relation).copied();
        let found = id.and_then(|id| self.jobs.get(&id).map(|job| (id, job)));
        let Some((id, job)) = found else { return Err(EngineError::Gone("the relation does not exist".into())) };
        match job.state {
            JobState::Running | JobState::Finished => Ok(id),
            JobState::Failed | JobState::Canceled => {
                let name = &job.name;
                Err(EngineError::Gone(format!("job {id} ({name}), which fills the view, is {}", job.state)))
            }
        }
    }

    /// One component out of those of the given jobs; a new one where there are none.
    fn join_components(&mut self, jobs: &[JobId]) -> u64 {
        let old: HashSet<u64> = jobs.iter().filter_map(|job| self.jobs.get(job)).map(|job| job.component).collect();
        if let (1, Some(only)) = (old.len(), old.iter().next()) {
            return *only;
        }
        self.last_component += 1;
        let id = self.last_component;
        let mut joined = Component::default();
        for old in &old {
            if let Some(component) = self.components.remove(old) {
                joined.in_flight.extend(component.in_flight);
                joined.wanted |= component.wanted;
            }
        }
        joined.in_flight.make_contiguous().sort_by_key(|flight| flight.epoch);
        for job in self.jobs.values_mut().filter(|job| old.contains(&job.component)) {
            job.component = id;
        }
        self.components.insert(id, joined);
        id
    }

    fn want(&mut self, job: JobId) {
        let component = self.jobs.get(&job).map(|job| job.component);
        if let Some(component) = component.and_then(|id| self.components.get_mut(&id)) {
            component.wanted = true;
        }
    }

    fn progress(&mut self, job: JobId, shard: usize) -> Option<&mut ShardProgress> {
        self.jobs.get_mut(&job)?.shards.get_mut(shard)
    }

    fn flush_reached(&mut self, job: JobId, shard: usize, flush: Option<u64>) {
        for (id, open) in &mut self.flushes {
            if flush.is_none_or(|flush| flush == *id) {
                open.waiting.remove(&(job, shard));
            }
        }
    }

    /// Ends a job that has ended on all shards, with everything published and committed.
    fn finish(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let over = job.shards.iter().all(|shard| shard.ended) && job.commits_open == 0;
        // Its last rows are of the epoch after the last barrier; the publication that follows the end shows them.
        if over && job.state == JobState::Running && job.published > Epoch(0) && self.published_all(id) {
            if let Some(job) = self.jobs.get_mut(&id) {
                job.state = JobState::Finished;
            }
        }
    }

    /// Whether nothing of the job waits to be published.
    fn published_all(&self, id: JobId) -> bool {
        let Some(job) = self.jobs.get(&id) else { return true };
        let waits =
            |relation: &RelationId| self.staged.iter().any(|((of, _), staged)| of == relation && !staged.is_empty());
        let in_flight = self.components.get(&job.component).is_some_and(|component| {
            component.wanted || component.in_flight.iter().any(|flight| flight.jobs.contains(&id))
        });
        !in_flight && !job.produces.iter().any(|(relation, _)| waits(relation))
    }

    /// The view as of an epoch, out of what the shards have staged.
    fn view_at(&mut self, relation: RelationId, schema: &SchemaRef, epoch: Epoch, shards: usize) -> ViewSnapshot {
        let mut versions = Vec::with_capacity(shards);
        let mut watermark = None;
        for shard in 0..shards {
            let staged = self.staged.entry((relation, shard)).or_default();
            while staged.front().is_some_and(|staged| staged.epoch <= epoch) {
                if let Some(newest) = staged.pop_front() {
                    self.latest.insert((relation, shard), newest);
                }
            }
            match self.latest.get(&(relation, shard)) {
                None => versions.push(Arc::new(ViewVersion::default())),
                Some(newest) => {
                    versions.push(Arc::clone(&newest.version));
                    watermark =
                        Some(watermark.map_or(newest.watermark, |at: crate::time::EventTime| at.min(newest.watermark)));
                }
            }
        }
        let watermark = watermark.unwrap_or(crate::time::EventTime::MIN);
        ViewSnapshot { schema: Arc::clone(schema), epoch, watermark, shards: versions }
    }
}

impl Job {
    pub(super) fn status(&self, id: JobId) -> JobStatus {
        JobStatus {
            id,
            name: self.name.clone(),
            state: self.state,
            error: self.error.clone(),
            hint: self.hint.clone(),
            started: self.started,
            metrics: self.counters.metrics(),
        }
    }
}
