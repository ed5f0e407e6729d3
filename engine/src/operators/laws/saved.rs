//! Law 4 by way of a store: a state that is written as changes of earlier ones and read back is the same state.

use std::sync::Arc;

use arrow::array::RecordBatch;

use crate::checkpoint::archive::Archive;
use crate::checkpoint::chain::State;
use crate::checkpoint::format_manifest::{JobRecord, Manifest};
use crate::checkpoint::table::{Rows, Table};
use crate::error::Result;
use crate::message::Epoch;
use crate::operators::{Operator, OperatorState};
use crate::ports::MemoryStateStore;

/// What a checkpoint costs.
#[derive(Debug)]
pub(super) struct Costs {
    /// Rows of the state.
    pub(super) rows: usize,
    /// Rows that were copied for it, or are compared.
    pub(super) told: usize,
    /// Bytes that were written.
    pub(super) bytes: u64,
}

/// The checkpoints of one operator.
pub(super) struct Saved {
    archive: Archive,
    epoch: u64,
}

impl Saved {
    pub(super) fn new() -> Self {
        Self { archive: Archive::open(Arc::new(MemoryStateStore::default()), None).unwrap(), epoch: 0 }
    }

    /// A checkpoint of the operator; every third one fails.
    pub(super) fn checkpoint(&mut self, operator: &mut dyn Operator) -> Result<()> {
        let tables = self.capture(operator)?;
        if self.epoch.is_multiple_of(3) { Ok(()) } else { self.write(tables).map(drop) }
    }

    /// A checkpoint of the operator, and its state as the store gives it back, which is the same.
    pub(super) fn read_back(&mut self, operator: &mut dyn Operator) -> Result<OperatorState> {
        let tables = self.capture(operator)?;
        self.write(tables)?;
        let state = operator.snapshot()?;
        assert_same(&state, &self.read()?);
        Ok(state)
    }

    /// A checkpoint of the operator, and what it costs.
    pub(super) fn costs(&mut self, operator: &mut dyn Operator) -> Result<Costs> {
        let tables = self.capture(operator)?;
        let told = |table: &Table| match &table.rows {
            Rows::Whole(batches) => batches.iter().map(RecordBatch::num_rows).sum(),
            Rows::Changes(changes) => changes.told.num_rows(),
            Rows::Pieces(_) => 0,
        };
        let (rows, told) = (tables.iter().map(Table::count).sum(), tables.iter().map(told).sum());
        Ok(Costs { rows, told, bytes: self.write(tables)? })
    }

    fn capture(&mut self, operator: &mut dyn Operator) -> Result<Vec<Table>> {
        self.epoch += 1;
        operator.capture(Epoch(self.epoch), self.archive.base_of_next("job"))
    }

    fn write(&mut self, tables: Vec<Table>) -> Result<u64> {
        let mut manifest = Manifest::new(1, self.epoch, 0, 1);
        let (uid, name, plan) = ("job".to_owned(), String::new(), String::new());
        manifest.jobs.push(JobRecord { uid, name, plan, inserted: 0, base_epoch: 0, nodes: Vec::new() });
        let tables = tables.into_iter().map(cut).collect();
        let state = State { job: "job".into(), operator: "o".into(), shard: 0, tables };
        let bytes = self.archive.save(manifest, vec![state])?;
        self.archive.clean(&["job".to_owned()].into(), 1)?;
        Ok(bytes)
    }

    /// The state that was written last.
    fn read(&self) -> Result<OperatorState> {
        let mut jobs = self.archive.recover(&["job".to_owned()])?;
        let states = jobs.remove("job").map(|job| job.states).unwrap_or_default();
        Ok(states.into_values().next().unwrap_or_default())
    }
}

/// The table in two batches where it has one.
fn cut(table: Table) -> Table {
    let rows = match table.rows {
        Rows::Whole(batches) => {
            let halves = |rows: RecordBatch| {
                let half = rows.num_rows() / 2;
                [rows.slice(0, half), rows.slice(half, rows.num_rows() - half)]
            };
            Rows::Whole(batches.into_iter().flat_map(halves).collect())
        }
        rows => rows,
    };
    Table { rows, ..table }
}

/// The tables of both states are equal, whatever their order.
fn assert_same(left: &OperatorState, right: &OperatorState) {
    let sorted = |state: &OperatorState| {
        let mut tables = state.tables.clone();
        tables.sort_by(|(left, _), (right, _)| left.cmp(right));
        tables
    };
    assert_eq!(sorted(left), sorted(right), "a state and what a store gives back");
}
