//! [`load`]: jobs out of the runs that a manifest names.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::RecordBatch;

use super::format_manifest::{JobRecord, Manifest, RunRecord};
use super::format_run::{self, Extent, Section};
use super::gathered::Gathered;
use super::identity;
use crate::error::{EngineError, Result};
use crate::operators::OperatorState;
use crate::ports::StateStore;

/// A job as of a checkpoint.
#[derive(Debug, Clone)]
pub struct SavedJob {
    /// The epoch of the checkpoint.
    pub epoch: u64,
    /// Number of shards that wrote it.
    pub shards: usize,
    /// The form of its manifest.
    pub version: u32,
    /// Everything but rows.
    pub record: JobRecord,
    /// The state by operator and shard.
    pub states: BTreeMap<(String, usize), OperatorState>,
    /// The runs that it was read from, those that are applied first before the others.
    pub runs: Vec<RunRecord>,
}

impl SavedJob {
    /// The job with our names for its operators, where they had others.
    #[must_use]
    pub fn renamed(&self, operators: &[String]) -> Cow<'_, Self> {
        if self.version > 1 {
            return Cow::Borrowed(self);
        }
        let mut job = self.clone();
        let names = identity::renamed(self.record.nodes.iter().map(|node| node.operator.as_str()), operators);
        let name = |old: &str| names.get(old).copied().unwrap_or(old).to_owned();
        job.record.nodes.iter_mut().for_each(|node| node.operator = name(&node.operator));
        job.states = job.states.into_iter().map(|((of, shard), state)| ((name(&of), shard), state)).collect();
        Cow::Owned(job)
    }
}

/// The tables of operators while the runs are read, by job, operator and shard.
type Tables = BTreeMap<(String, String, usize), BTreeMap<String, Gathered>>;

/// Why something stored cannot be read. Both name it.
#[derive(Debug)]
pub enum ReadError {
    /// The store does not answer: an earlier checkpoint would be the wrong one.
    Unreachable(EngineError),
    /// It is gone or damaged, and stays so.
    Damaged(EngineError),
}

impl From<ReadError> for EngineError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unreachable(error) | ReadError::Damaged(error) => error,
        }
    }
}

/// The jobs of a manifest that are `wanted`.
///
/// # Errors
/// Where a run is gone or damaged, or the store does not answer.
pub fn load(
    store: &dyn StateStore,
    manifest: &Manifest,
    wanted: impl Fn(&JobRecord) -> bool,
) -> Result<BTreeMap<String, SavedJob>, ReadError> {
    let mut jobs: BTreeMap<String, SavedJob> = BTreeMap::new();
    for record in manifest.jobs.iter().filter(|job| wanted(job)) {
        let (epoch, shards, version, record) = (manifest.epoch, manifest.shards, manifest.version, record.clone());
        let (uid, states, runs) = (record.uid.clone(), BTreeMap::new(), Vec::new());
        jobs.insert(uid, SavedJob { epoch, shards, version, record, states, runs });
    }
    let mut tables = Tables::new();
    for run in &manifest.runs {
        let bytes = store.get(&run.path).map_err(ReadError::Unreachable)?;
        let gone = || EngineError::io(format_args!("the run \"{}\"", run.path), "it is gone");
        let bytes = bytes.ok_or_else(|| ReadError::Damaged(gone()))?;
        let sections = format_run::decode(&run.path, &bytes).map_err(ReadError::Damaged)?;
        let of_chain = |section: &Section| jobs.get(&section.job).is_some_and(|job| job.record.base_epoch <= run.epoch);
        let sections: Vec<Section> = sections.into_iter().filter(of_chain).collect();
        for uid in sections.iter().map(|section| section.job.as_str()).collect::<BTreeSet<_>>() {
            if let Some(job) = jobs.get_mut(uid) {
                job.runs.push(run.clone());
            }
        }
        let misfit =
            |error| EngineError::io(format_args!("the run \"{}\" does not fit those before it", run.path), error);
        apply(&mut tables, sections.into_iter(), run.shard).map_err(misfit).map_err(ReadError::Damaged)?;
    }
    for ((job, operator, shard), tables) in tables {
        let Some(job) = jobs.get_mut(&job) else { continue };
        let mut whole = Vec::with_capacity(tables.len());
        for (name, rows) in tables {
            let batches = rows.batches().map_err(ReadError::Damaged)?;
            whole.extend(batches.into_iter().map(|rows| (name.clone(), rows)));
        }
        job.states.insert((operator, shard), OperatorState { tables: whole });
    }
    Ok(jobs)
}

/// Applies the sections of one run.
fn apply(tables: &mut Tables, sections: impl Iterator<Item = Section>, shard: usize) -> Result<()> {
    let lost = || EngineError::Internal("changes of a table that is not there".into());
    let mut before = Tables::new();
    for section in sections {
        let key = (section.job, section.operator, shard);
        // The first section of an operator is followed by those of all its tables.
        if !before.contains_key(&key) {
            before.insert(key.clone(), tables.remove(&key).unwrap_or_default());
        }
        let mut take = |of: &str| before.get_mut(&key).and_then(|tables| tables.remove(of)).ok_or_else(lost);
        let batches: Vec<RecordBatch> = section.batches.into_iter().map(|batch| batch.rows).collect();
        let table = match &section.extent {
            Extent::Whole => Gathered::whole(&section.schema, &batches)?,
            Extent::Same { of } => take(of)?,
            Extent::Changes { of, edits } => take(of)?.changed(edits, &batches)?,
        };
        tables.entry(key).or_default().insert(section.table, table);
    }
    Ok(())
}
