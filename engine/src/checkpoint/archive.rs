//! [`Archive`]: the checkpoints in a store. It claims the store for one engine, writes and reads checkpoints, and deletes what
//! no kept checkpoint names.
//!
//! Opening claims a generation, by an object that only one opener can make; who finds a later generation than its own has
//! been shut out and writes no manifest any more. Manifests are named by generation and sequence, so that their names are
//! in the order of their age.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::choose;
use super::format_manifest::{JobRecord, Manifest, RunRecord};
use super::format_run::{self, Extent, Section};
use crate::error::{EngineError, Result};
use crate::ports::StateStore;

/// See the module.
#[derive(Debug)]
pub struct Archive {
    store: Arc<dyn StateStore>,
    generation: u64,
    kept: Mutex<Kept>,
}

/// The manifests that can be read.
#[derive(Debug, Default)]
struct Kept {
    /// The oldest first, with their paths.
    manifests: Vec<(String, Manifest)>,
    sequence: u64,
}

/// The bytes of a run that belongs to a checkpoint which is being written.
#[derive(Debug)]
pub struct NewRun {
    /// The shard that it is of.
    pub shard: usize,
    /// As [`format_run::encode`] gives them.
    pub bytes: Vec<u8>,
}

/// A job as of a checkpoint.
#[derive(Debug)]
pub struct SavedJob {
    /// The epoch of the checkpoint.
    pub epoch: u64,
    /// Number of shards that wrote it.
    pub shards: usize,
    /// Everything but rows.
    pub record: JobRecord,
    /// The rows, by operator and shard: the whole tables, and what changed them later.
    pub tables: BTreeMap<(String, usize), Vec<Section>>,
}

impl Archive {
    /// Claims the store and reads its manifests. Manifests that cannot be read are left out, with a warning.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub fn open(store: Arc<dyn StateStore>) -> Result<Self> {
        let generation = claim(&*store)?;
        let mut manifests = Vec::new();
        for path in store.list("manifests/")? {
            match read_manifest(&*store, &path) {
                Ok(Some(manifest)) => manifests.push((path, manifest)),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a checkpoint is left out"),
            }
        }
        Ok(Self { store, generation, kept: Mutex::new(Kept { manifests, sequence: 0 }) })
    }

    /// The greatest epoch of a checkpoint; 0 where there is none.
    pub fn last_epoch(&self) -> u64 {
        self.kept.lock().manifests.iter().map(|(_, manifest)| manifest.epoch).max().unwrap_or(0)
    }

    /// All jobs that are in a checkpoint.
    pub fn uids(&self) -> BTreeSet<String> {
        let kept = self.kept.lock();
        kept.manifests.iter().flat_map(|(_, manifest)| &manifest.jobs).map(|job| job.uid.clone()).collect()
    }

    /// Which opening this is, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Each of these jobs as of its newest checkpoint that can be read, by uid. Who was never in one is left out. A
    /// checkpoint that turns out to be damaged is warned of by name, and the one before is taken.
    ///
    /// # Errors
    /// Where a job has checkpoints and none can be read.
    pub fn recover(&self, uids: &[String]) -> Result<BTreeMap<String, SavedJob>> {
        let mut manifests: Vec<Manifest> = self.kept.lock().manifests.iter().map(|(_, of)| of.clone()).collect();
        let mut found = BTreeMap::new();
        let mut failure = None;
        let mut open: Vec<String> = uids.to_vec();
        while !open.is_empty() {
            let chosen = choose::newest(&manifests, &open);
            if chosen.is_empty() {
                // None of them is in a checkpoint that can be read.
                return failure.map_or(Ok(found), Err);
            }
            let mut bad: BTreeSet<choose::Place> = BTreeSet::new();
            open.clear();
            for (place, uids) in chosen {
                let Some(manifest) = manifests.get(place) else { continue };
                match self.load(manifest, &uids) {
                    Ok(jobs) => found.extend(jobs),
                    Err(error) => {
                        tracing::warn!(%error, epoch = manifest.epoch, "a checkpoint cannot be used; trying the one before");
                        failure = Some(error);
                        bad.insert(place);
                        open.extend(uids);
                    }
                }
            }
            let mut place = 0;
            manifests.retain(|_| {
                place += 1;
                !bad.contains(&(place - 1))
            });
        }
        Ok(found)
    }

    /// These jobs as of the savepoint of this name.
    ///
    /// # Errors
    /// Where there is no such savepoint, or it cannot be read.
    pub fn savepoint(&self, name: &str, uids: &[String]) -> Result<BTreeMap<String, SavedJob>> {
        let manifest = read_manifest(&*self.store, &savepoint_path(name)?)?;
        let manifest = manifest.ok_or_else(|| EngineError::Gone(format!("savepoint \"{name}\" does not exist")))?;
        self.load(&manifest, uids)
    }

    fn load(&self, manifest: &Manifest, uids: &[String]) -> Result<BTreeMap<String, SavedJob>> {
        let mut jobs: BTreeMap<String, SavedJob> = BTreeMap::new();
        for record in manifest.jobs.iter().filter(|job| uids.contains(&job.uid)) {
            let (epoch, shards, record) = (manifest.epoch, manifest.shards, record.clone());
            jobs.insert(record.uid.clone(), SavedJob { epoch, shards, record, tables: BTreeMap::new() });
        }
        for run in &manifest.runs {
            let bytes = self.store.get(&run.path)?;
            let bytes = bytes.ok_or_else(|| EngineError::io(format_args!("the run \"{}\"", run.path), "it is gone"))?;
            for section in format_run::decode(&run.path, &bytes)? {
                let Some(job) = jobs.get_mut(&section.job) else { continue };
                let sections = job.tables.entry((section.operator.clone(), run.shard)).or_default();
                if section.extent == Extent::Whole {
                    sections.retain(|before| before.table != section.table);
                }
                sections.push(section);
            }
        }
        Ok(jobs)
    }

    /// Writes a run; gives what a manifest says of it.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub fn write_run(&self, epoch: u64, run: &NewRun) -> Result<RunRecord> {
        let path = format!("runs/{:08}-{epoch:012}-{:04}.run", self.generation, run.shard);
        self.store.put(&path, &run.bytes)?;
        Ok(RunRecord { path, shard: run.shard, bytes: run.bytes.len() as u64 })
    }

    /// Makes a checkpoint complete: all its runs are written.
    ///
    /// # Errors
    /// Where the store does not take it, or another engine has claimed the store.
    pub fn complete(&self, mut manifest: Manifest) -> Result<()> {
        if newest_generation(&*self.store)? > self.generation {
            return Err(EngineError::io(
                format_args!("a checkpoint cannot be written to {}", self.store.describe()),
                "another server has opened it since",
            ));
        }
        let mut kept = self.kept.lock();
        kept.sequence += 1;
        (manifest.generation, manifest.sequence) = (self.generation, kept.sequence);
        let path = format!("manifests/{:08}-{:012}.json", self.generation, kept.sequence);
        if !self.store.put_if_absent(&path, &manifest.encode()?)? {
            return Err(EngineError::Internal(format!("there is a manifest \"{path}\" already")));
        }
        kept.manifests.push((path, manifest));
        Ok(())
    }

    /// Keeps the newest checkpoint of a job under a name, whatever happens to those after it.
    ///
    /// # Errors
    /// Where there is no checkpoint of the job, or a savepoint of this name.
    pub fn pin(&self, name: &str, uid: &str) -> Result<()> {
        let kept = self.kept.lock();
        let newest = kept.manifests.iter().rev().find(|(_, manifest)| manifest.job(uid).is_some());
        let (_, manifest) = newest.ok_or_else(|| EngineError::Gone(format!("there is no checkpoint of \"{uid}\"")))?;
        if self.store.put_if_absent(&savepoint_path(name)?, &manifest.encode()?)? {
            Ok(())
        } else {
            Err(EngineError::config(format!("savepoint \"{name}\" exists already")))
        }
    }

    /// The savepoints by name, those that can be read.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub fn savepoints(&self) -> Result<Vec<(String, Manifest)>> {
        let mut found = Vec::new();
        for path in self.store.list("savepoints/")? {
            let name = path.strip_prefix("savepoints/").and_then(|name| name.strip_suffix(".json"));
            match (name, read_manifest(&*self.store, &path)) {
                (Some(name), Ok(Some(manifest))) => found.push((name.to_owned(), manifest)),
                (_, Ok(_)) => {}
                (_, Err(error)) => tracing::warn!(%error, "a savepoint is left out"),
            }
        }
        Ok(found)
    }

    /// Drops a savepoint; what only it names goes with the next checkpoint. `false`: there is none of this name.
    ///
    /// # Errors
    /// Where the store does not answer, or it is no name.
    pub fn unpin(&self, name: &str) -> Result<bool> {
        let path = savepoint_path(name)?;
        if self.store.get(&path)?.is_none() {
            return Ok(false);
        }
        self.store.delete(&path)?;
        Ok(true)
    }

    /// Deletes what is not needed: checkpoints of no live job but the last `retained` ones, and runs that none names.
    ///
    /// # Errors
    /// Where the store does not answer. What is left is deleted the next time.
    pub fn clean(&self, live: &BTreeSet<String>, retained: usize) -> Result<()> {
        let mut kept = self.kept.lock();
        let manifests: Vec<Manifest> = kept.manifests.iter().map(|(_, manifest)| manifest.clone()).collect();
        let outdated: BTreeSet<choose::Place> = choose::outdated(&manifests, live, retained).into_iter().collect();
        for place in outdated.iter().rev() {
            let (path, _) = kept.manifests.remove(*place);
            self.store.delete(&path)?;
        }
        let pinned = self.store.list("savepoints/")?;
        let pinned = pinned.iter().filter_map(|path| read_manifest(&*self.store, path).transpose());
        let pinned = pinned.collect::<Result<Vec<_>>>()?;
        let named = kept.manifests.iter().map(|(_, manifest)| manifest).chain(&pinned);
        for path in choose::unnamed(named, &self.store.list("runs/")?) {
            self.store.delete(&path)?;
        }
        Ok(())
    }
}

fn savepoint_path(name: &str) -> Result<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(EngineError::Config {
            message: format!("\"{name}\" is no name of a savepoint"),
            hint: Some("use letters, digits, - and _".into()),
        });
    }
    Ok(format!("savepoints/{name}.json"))
}

fn read_manifest(store: &dyn StateStore, path: &str) -> Result<Option<Manifest>> {
    store.get(path)?.map(|bytes| Manifest::decode(path, &bytes)).transpose()
}

/// Claims the next generation.
fn claim(store: &dyn StateStore) -> Result<u64> {
    loop {
        let generation = newest_generation(store)? + 1;
        if store.put_if_absent(&format!("generations/{generation:08}"), b"")? {
            return Ok(generation);
        }
    }
}

fn newest_generation(store: &dyn StateStore) -> Result<u64> {
    let of = |path: &String| path.strip_prefix("generations/").and_then(|name| name.parse().ok());
    Ok(store.list("generations/")?.iter().filter_map(of).max().unwrap_or(0))
}
