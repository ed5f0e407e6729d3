//! Law 4 by way of a store: a state that is written as changes of earlier ones and read back is the same state.

use std::sync::Arc;

use crate::checkpoint::archive::Archive;
use crate::checkpoint::chain::{State, Table};
use crate::checkpoint::format_manifest::{JobRecord, Manifest};
use crate::error::Result;
use crate::operators::OperatorState;
use crate::ports::MemoryStateStore;

/// The checkpoints of one operator.
pub(super) struct Saved {
    archive: Archive,
    epoch: u64,
}

impl Saved {
    pub(super) fn new() -> Self {
        Self { archive: Archive::open(Arc::new(MemoryStateStore::default())).unwrap(), epoch: 0 }
    }

    /// Writes the state.
    pub(super) fn write(&mut self, state: &OperatorState) -> Result<()> {
        self.epoch += 1;
        let mut manifest = Manifest::new(1, self.epoch, 0, 1);
        let (uid, name, plan) = ("job".to_owned(), String::new(), String::new());
        manifest.jobs.push(JobRecord { uid, name, plan, inserted: 0, base_epoch: 0, nodes: Vec::new() });
        // Cut in two, as the rows of a view come in pieces.
        let tables = state.tables.iter().map(|(name, rows)| {
            let half = rows.num_rows() / 2;
            let batches = vec![rows.slice(0, half), rows.slice(half, rows.num_rows() - half)];
            Table { name: name.clone(), schema: rows.schema(), batches }
        });
        let state = State { job: "job".into(), operator: "o".into(), shard: 0, tables: tables.collect() };
        self.archive.save(manifest, vec![state])?;
        self.archive.clean(&["job".to_owned()].into(), 1)
    }

    /// The state that was written last.
    pub(super) fn read(&self) -> Result<OperatorState> {
        let mut jobs = self.archive.recover(&["job".to_owned()])?;
        let states = jobs.remove("job").map(|job| job.states).unwrap_or_default();
        Ok(states.into_values().next().unwrap_or_default())
    }
}

/// The tables of both states are equal, whatever their order.
pub(super) fn assert_same(left: &OperatorState, right: &OperatorState) {
    let sorted = |state: &OperatorState| {
        let mut tables = state.tables.clone();
        tables.sort_by(|(left, _), (right, _)| left.cmp(right));
        tables
    };
    assert_eq!(sorted(left), sorted(right), "a state and what a store gives back");
}
