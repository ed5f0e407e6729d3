//! [`Simulation`]: the same shards and the same coordinator on one thread, in a random order that a seed decides, with a
//! clock that moves when it is told to. What it finds can be repeated.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use arrow::datatypes::SchemaRef;

use super::shard::Shard;
use super::system::System;
use super::{
    CheckpointStatus, Deployed, EngineConfig, JobId, JobRequest, JobStatus, Member, Restore, SplitStatus, StopReason,
};
use crate::checkpoint::readable::StateTable;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::ports::StateStore;
use crate::rejects::RejectLog;
use crate::time::{Clock, VirtualClock};
use crate::view::GlobalSnapshot;

/// Turns in a row after which a simulation that still has work is taken for one that never rests.
const TURNS_MAX: usize = 10_000_000;

/// An engine that runs step by step. See the module.
pub struct Simulation {
    system: Arc<System>,
    shards: Vec<Shard>,
    clock: Arc<VirtualClock>,
    random: u64,
}

impl Simulation {
    /// An engine whose clock is `clock` and whose order is `seed`'s.
    pub fn new(config: EngineConfig, clock: Arc<VirtualClock>, seed: u64) -> Self {
        let (system, shards) = System::new(EngineConfig { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..config });
        Self { system, shards, clock, random: seed }
    }

    /// As [`Engine::submit`](super::Engine::submit).
    ///
    /// # Errors
    /// As there.
    pub fn submit(&mut self, request: &JobRequest) -> Result<JobId> {
        self.system.submit(request)
    }

    /// As [`Engine::deploy`](super::Engine::deploy).
    ///
    /// # Errors
    /// As there.
    pub fn deploy(&mut self, members: &[Member], restore: &Restore) -> Result<Vec<Result<Deployed>>> {
        self.system.deploy(members, restore)
    }

    /// As [`Engine::checkpoint`](super::Engine::checkpoint); runs until it is complete.
    ///
    /// # Errors
    /// As there.
    pub fn checkpoint(&mut self, job: JobId) -> Result<()> {
        let complete = self.system.checkpoint(job)?;
        self.run_for(complete)?
    }

    /// As [`Engine::savepoint`](super::Engine::savepoint); runs until it is complete.
    ///
    /// # Errors
    /// As there.
    pub fn savepoint(&mut self, job: JobId, name: &str) -> Result<()> {
        self.checkpoint(job)?;
        self.system.pin(job, name)
    }

    /// As [`Engine::savepoint_to`](super::Engine::savepoint_to); runs until the checkpoint is complete.
    ///
    /// # Errors
    /// As there.
    pub fn savepoint_to(&mut self, job: JobId, store: &dyn StateStore) -> Result<()> {
        self.checkpoint(job)?;
        self.system.export(job, store)
    }

    /// As [`Engine::state`](super::Engine::state).
    ///
    /// # Errors
    /// As there.
    pub fn state(&self, job: JobId) -> Result<Vec<StateTable>> {
        self.system.state(job)
    }

    /// As [`Engine::checkpoint_status`](super::Engine::checkpoint_status).
    pub fn checkpoint_status(&self, job: JobId) -> Option<CheckpointStatus> {
        self.system.coordinator.lock().checkpoint_status(job)
    }

    /// As [`Engine::create_table`](super::Engine::create_table).
    ///
    /// # Errors
    /// As there.
    pub fn create_table(&mut self, relation: RelationId, name: &str, schema: SchemaRef) -> Result<()> {
        self.system.create_table(relation, name, schema)
    }

    /// As [`Engine::cancel`](super::Engine::cancel).
    ///
    /// # Errors
    /// As there.
    pub fn cancel(&mut self, job: JobId) -> Result<()> {
        self.system.with(|coordinator| coordinator.cancel(job, StopReason::Asked))
    }

    /// As [`Engine::insert`](super::Engine::insert); runs until the rows are visible.
    ///
    /// # Errors
    /// As there.
    pub fn insert(&mut self, relation: RelationId, delta: Delta) -> Result<()> {
        self.insert_numbered(relation, delta, 0)
    }

    /// As [`Engine::begin_insert`](super::Engine::begin_insert); runs until the rows are visible.
    ///
    /// # Errors
    /// As there.
    pub fn insert_numbered(&mut self, relation: RelationId, delta: Delta, number: u64) -> Result<()> {
        let inserted = self.system.insert(relation, delta, number)?;
        self.run_for(inserted)?
    }

    /// As [`Engine::flush`](super::Engine::flush); runs until everything is visible.
    ///
    /// # Errors
    /// As there.
    pub fn flush(&mut self) -> Result<()> {
        let flushed = self.system.flush()?;
        self.run_for(flushed)?
    }

    /// Lets one shard, the coordinator or the writer of checkpoints do one turn. Gives whether it did something.
    pub fn step(&mut self) -> bool {
        let count = self.shards.len() + 2;
        let chosen = usize::try_from(self.next_random() % count as u64).unwrap_or(0);
        self.turn(chosen)
    }

    /// Runs until nobody has anything to do before the clock moves.
    ///
    /// # Errors
    /// Where that does not come: a source that never ends.
    pub fn run(&mut self) -> Result<()> {
        for _ in 0..TURNS_MAX {
            if !self.step() && self.is_quiet() {
                return Ok(());
            }
        }
        Err(EngineError::Internal("the simulation does not come to rest".into()))
    }

    /// Moves the clock, and runs until nobody has anything to do.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn advance_us(&mut self, micros: i64) -> Result<()> {
        self.clock.advance_us(micros);
        self.run()
    }

    /// What readers see now.
    pub fn snapshot(&self) -> Arc<GlobalSnapshot> {
        self.system.links.snapshot.load_full()
    }

    /// All jobs since the start, by id.
    pub fn jobs(&self) -> Vec<JobStatus> {
        self.system.coordinator.lock().statuses()
    }

    /// How far every split of every running job has come.
    pub fn splits(&self) -> Vec<SplitStatus> {
        self.system.coordinator.lock().splits()
    }

    /// The rejected rows of all jobs.
    pub fn rejects(&self) -> &Arc<RejectLog> {
        &self.system.links.rejects
    }

    /// The epoch that began last.
    pub fn last_epoch(&self) -> Epoch {
        self.system.coordinator.lock().last_epoch()
    }

    /// Whether everybody, asked once, has nothing to do.
    fn is_quiet(&mut self) -> bool {
        (0..self.shards.len() + 2).all(|index| !self.turn(index))
    }

    fn turn(&mut self, index: usize) -> bool {
        let shards = self.shards.len();
        match self.shards.get_mut(index) {
            Some(shard) => shard.turn().progressed,
            None if index == shards => self.system.pump().0,
            None => self.system.links.write_checkpoints(),
        }
    }

    /// Runs until `wait` is over.
    fn run_for<T>(&mut self, wait: impl Future<Output = T>) -> Result<T> {
        let mut wait = pin!(wait);
        for _ in 0..TURNS_MAX {
            if let Poll::Ready(value) = wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Ok(value);
            }
            if !self.step() && self.is_quiet() {
                let now_done = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                return match now_done {
                    Poll::Ready(value) => Ok(value),
                    Poll::Pending if self.is_quiet() => {
                        Err(EngineError::Internal("the simulation waits for what never comes".into()))
                    }
                    Poll::Pending => continue,
                };
            }
        }
        Err(EngineError::Internal("the simulation does not come to rest".into()))
    }

    /// The next number of SplitMix64.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.system.stop();
    }
}
