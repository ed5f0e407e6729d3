//! Savepoints outside the store: a job and those that it is connected with, whole, in a place of their own.
//!
//! Such a place holds `savepoint.json`, a manifest, and the runs that it names, all of them whole. It can be copied and moved,
//! and nothing else is needed to start from it.

use std::collections::BTreeMap;

use super::format_manifest::{Manifest, RunRecord};
use super::format_run::Section;
use super::format_run_writer::put;
use super::load::{SavedJob, load};
use crate::error::{EngineError, Result};
use crate::ports::StateStore;

const MANIFEST: &str = "savepoint.json";

/// Writes the jobs of a manifest as a savepoint.
///
/// # Errors
/// Where there is a savepoint already, or the store does not take it.
pub fn write(store: &dyn StateStore, manifest: &Manifest, jobs: &BTreeMap<String, SavedJob>) -> Result<()> {
    let exists = || EngineError::config(format!("there is a savepoint in {} already", store.describe()));
    if store.get(MANIFEST)?.is_some() {
        return Err(exists());
    }
    let mut shards: BTreeMap<usize, Vec<Section>> = BTreeMap::new();
    for (uid, job) in jobs {
        for ((operator, shard), state) in &job.states {
            let sections = state.tables.iter().map(|(table, rows)| Section::whole(uid, operator, table, rows.clone()));
            shards.entry(*shard).or_default().extend(sections);
        }
    }
    let mut whole = Manifest { runs: Vec::new(), ..manifest.clone() };
    whole.jobs.iter_mut().for_each(|job| job.base_epoch = manifest.epoch);
    for (shard, sections) in shards {
        let path = format!("runs/{shard:04}.run");
        let bytes = put(store, &path, &sections)?.bytes;
        whole.runs.push(RunRecord { path, shard, epoch: manifest.epoch, bytes });
    }
    if store.put_if_absent(MANIFEST, &whole.encode()?)? { Ok(()) } else { Err(exists()) }
}

/// The manifest of a savepoint.
///
/// # Errors
/// Where there is none, or it cannot be read.
pub fn manifest(store: &dyn StateStore) -> Result<Manifest> {
    let bytes = store.get(MANIFEST)?;
    let bytes = bytes.ok_or_else(|| EngineError::Gone(format!("there is no savepoint in {}", store.describe())))?;
    Manifest::decode(MANIFEST, &bytes).map_err(|error| at(store, error))
}

/// These jobs as of a savepoint, by uid.
///
/// # Errors
/// Where it cannot be read, or has none of them.
pub fn read(store: &dyn StateStore, uids: &[String]) -> Result<BTreeMap<String, SavedJob>> {
    let manifest = manifest(store)?;
    let jobs = load(store, &manifest, |job| uids.contains(&job.uid)).map_err(|error| at(store, error.into()))?;
    if jobs.is_empty() {
        let names: Vec<&str> = manifest.jobs.iter().map(|job| job.name.as_str()).collect();
        return Err(EngineError::Config {
            message: format!("the savepoint in {} is of other jobs", store.describe()),
            hint: Some(format!("it is of: {}", names.join(", "))),
        });
    }
    Ok(jobs)
}

/// The error with the place.
fn at(store: &dyn StateStore, error: EngineError) -> EngineError {
    match error {
        EngineError::Io { .. } => EngineError::io(format_args!("the savepoint in {}", store.describe()), error),
        other => other,
    }
}
