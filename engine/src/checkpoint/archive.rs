//! [`Archive`]: the checkpoints in a store. It claims the store for one engine, writes and reads checkpoints, and deletes what
//! no kept checkpoint names.
//!
//! Opening claims a generation, by an object that only one opener can make. A checkpoint is complete only where no later
//! generation is claimed after its manifest is written: so whoever opens the store either finds the manifest, or its writer
//! knows that it does not count, commits nothing, and the claim leaves it out for all who come later. Manifests are named by
//! generation and sequence, so that their names are in the order of their age.

mod begin_again;
mod clean;
mod generation;
mod owner;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use self::clean::Stored;
use self::generation::{claim, generation_path, generations, last_claim, newest_generation};
pub use self::owner::Owner;
use self::owner::note_newest;
use super::chain::{Chains, State};
use super::choose;
use super::format_claim::Claim;
use super::format_manifest::{Manifest, RunRecord};
use super::format_run_writer::{self, Encoded};
use super::load::{ReadError, SavedJob, load};
use super::savepoint;
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::ports::StateStore;

/// See the module.
#[derive(Debug)]
pub struct Archive {
    store: Arc<dyn StateStore>,
    generation: u64,
    owner: Option<Owner>,
    kept: Mutex<Kept>,
    chains: Mutex<Chains>,
}

/// The manifests that can be read.
#[derive(Debug, Default)]
struct Kept {
    /// The oldest first, with their paths.
    manifests: Vec<(String, Manifest)>,
    sequence: u64,
    /// Those of which nobody knows whether they are there: their writing failed. Their runs stay until later ones are complete.
    doubtful: Vec<(String, Manifest)>,
    /// Those that are being read: their runs stay.
    in_use: Vec<Manifest>,
    /// Of jobs that were started in this process: the epoch up to which checkpoints are of an earlier run.
    begun: HashMap<String, u64>,
    /// What else there is.
    stored: Stored,
}

impl Archive {
    /// Claims the store and reads its manifests. Manifests that cannot be read are left out, with a warning. Without an owner
    /// anybody may.
    ///
    /// # Errors
    /// Where the store does not answer, is another owner's, or lacks what its owner cannot do without.
    pub fn open(store: Arc<dyn StateStore>, owner: Option<Owner>) -> Result<Self> {
        if let Some(owner) = &owner {
            owner.take(&*store)?;
            owner.check_newest(&*store)?;
        }
        let generation = claim(&*store)?;
        let listed = store.list("manifests/")?;
        let (counted, stale) = match last_claim(&*store)? {
            None => (listed, Vec::new()),
            Some((of, claim)) => listed.into_iter().partition(|path| !choose::is_stale(path, of, &claim)),
        };
        let claim = Claim::new(counted.iter().cloned().collect());
        store.put(&format!("claims/{generation:08}"), &claim.encode()?)?;
        let earlier = generations(&*store)?.into_iter().filter(|of| *of < generation);
        let earlier = earlier.flat_map(|of| [generation_path(of), format!("claims/{of:08}")]);
        for path in stale.into_iter().chain(earlier) {
            if let Err(error) = store.delete(&path) {
                tracing::warn!(%error, "what is no longer needed cannot be deleted");
            }
        }
        let mut manifests = Vec::new();
        for path in counted {
            // A store that does not answer is an error: an earlier checkpoint would be the wrong one.
            let Some(bytes) = store.get(&path)? else { continue };
            match Manifest::decode(&path, &bytes) {
                Ok(manifest) => manifests.push((path, manifest)),
                Err(error) => tracing::warn!(%error, "a checkpoint is left out"),
            }
        }
        if owner.is_some() {
            note_newest(&*store, manifests.last().map(|(path, _)| path.as_str()))?;
        }
        let kept = Mutex::new(Kept { manifests, ..Kept::default() });
        Ok(Self { store, generation, owner, kept, chains: Mutex::default() })
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
    /// Where a job has checkpoints and none can be read, or the store does not answer.
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
                match load(&*self.store, manifest, |job| uids.contains(&job.uid)) {
                    Ok(jobs) => {
                        self.remember(manifest, &jobs);
                        found.extend(jobs);
                    }
                    Err(ReadError::Unreachable(error)) => return Err(error),
                    Err(ReadError::Damaged(error)) => {
                        if let Some(owner) = &self.owner {
                            owner.check_back(&uids, &error)?;
                        }
                        tracing::warn!(%error, epoch = manifest.epoch, "a checkpoint cannot be used; trying the one before");
                        failure = Some(error);
                        bad.insert(place);
                        let mut chains = self.chains.lock();
                        uids.iter().for_each(|uid| chains.forget(uid));
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

    /// Lets the next checkpoints of jobs that were loaded hold only what has changed since, as long as the manifest is their newest:
    /// only then its runs stay.
    fn remember(&self, manifest: &Manifest, jobs: &BTreeMap<String, SavedJob>) {
        let mut chains = self.chains.lock();
        let kept = self.kept.lock();
        for (uid, job) in jobs {
            if manifest.is_current() && kept.newest(uid).is_ok_and(|newest| newest.is(manifest)) {
                chains.load(job);
            }
        }
    }

    /// These jobs as of the savepoint of this name.
    ///
    /// # Errors
    /// Where there is no such savepoint, or it cannot be read.
    pub fn savepoint(&self, name: &str, uids: &[String]) -> Result<BTreeMap<String, SavedJob>> {
        let manifest = read_manifest(&*self.store, &savepoint_path(name)?)?;
        let manifest = manifest.ok_or_else(|| EngineError::Gone(format!("savepoint \"{name}\" does not exist")))?;
        Ok(load(&*self.store, &manifest, |job| uids.contains(&job.uid))?)
    }

    /// Writes a checkpoint: of each of the manifest's jobs what has changed since its last complete one, or everything. Gives
    /// the bytes of its runs.
    ///
    /// # Errors
    /// Where the store does not take it, or another engine has claimed the store. The next one makes up for it.
    pub fn save(&self, mut manifest: Manifest, states: Vec<State>) -> Result<u64> {
        let mut chains = self.chains.lock();
        chains.keep_of(manifest.shards);
        let uids = manifest.jobs.iter().map(|job| job.uid.clone());
        let mut link = match chains.link(manifest.epoch, uids, states) {
            Ok(link) => link,
            Err(error) => {
                manifest.jobs.iter().for_each(|job| chains.forget(&job.uid));
                return Err(error);
            }
        };
        let mut written = 0;
        for shard in link.shards.keys().copied().collect::<Vec<_>>() {
            let Some(sections) = link.shards.get(&shard) else { continue };
            let path = format!("runs/{:08}-{:012}-{shard:04}.run", self.generation, manifest.epoch);
            let put = format_run_writer::put(&*self.store, &path, sections);
            self.kept.lock().stored.run_written(&path, put.is_ok());
            let Encoded { bytes, sections } = put?;
            link.written(&RunRecord { path, shard, epoch: manifest.epoch, bytes }, &sections);
            written += bytes;
        }
        manifest.runs = link.runs();
        manifest.jobs.iter_mut().for_each(|job| job.base_epoch = link.base_epoch(&job.uid));
        self.complete(manifest)?;
        chains.add(link);
        Ok(written)
    }

    /// The epoch of the checkpoint that the next one of a job may tell changes of. `None`: it tells everything.
    pub fn base_of_next(&self, uid: &str) -> Option<Epoch> {
        self.chains.lock().base_of_next(uid)
    }

    /// Makes a checkpoint complete: all its runs are written.
    fn complete(&self, mut manifest: Manifest) -> Result<()> {
        self.check_open()?;
        let mut kept = self.kept.lock();
        if kept.is_void(&manifest) {
            return Err(EngineError::Gone("a job of the checkpoint was started again meanwhile".into()));
        }
        kept.sequence += 1;
        (manifest.generation, manifest.sequence) = (self.generation, kept.sequence);
        let path = format!("manifests/{:08}-{:012}.json", self.generation, kept.sequence);
        let written = match self.store.put_if_absent(&path, &manifest.encode()?) {
            Ok(false) => return Err(EngineError::Internal(format!("there is a manifest \"{path}\" already"))),
            // Who has claimed the store before the manifest was there does not know it.
            Ok(true) => self.check_open(),
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            // It may be there.
            kept.doubtful.push((path, manifest));
            return Err(error);
        }
        if self.owner.is_some()
            && let Err(error) = note_newest(&*self.store, Some(&path))
        {
            // The one that is noted is there still, or a newer one than it.
            tracing::warn!(%error, "the newest checkpoint cannot be noted");
        }
        kept.manifests.push((path, manifest));
        Ok(())
    }

    /// An error where another engine has claimed the store: what it finds there must not be touched any more.
    ///
    /// # Errors
    /// See above, and where the store does not answer.
    pub fn check_open(&self) -> Result<()> {
        if newest_generation(&*self.store)? > self.generation {
            return Err(EngineError::io(
                format_args!("checkpoints cannot be kept in {}", self.store.describe()),
                "another server has opened it since",
            ));
        }
        Ok(())
    }

    /// Keeps the newest checkpoint of a job under a name, whatever happens to those after it.
    ///
    /// # Errors
    /// Where there is no checkpoint of the job, or a savepoint of this name.
    pub fn pin(&self, name: &str, uid: &str) -> Result<()> {
        let mut kept = self.kept.lock();
        let (manifest, path) = (kept.newest(uid)?.clone(), savepoint_path(name)?);
        let put = self.store.put_if_absent(&path, &manifest.encode()?);
        // Where nobody knows whether it is there, it is looked for.
        kept.stored.pinned(path, manifest, put.as_ref().is_ok_and(|put| *put));
        if put? { Ok(()) } else { Err(EngineError::config(format!("savepoint \"{name}\" exists already"))) }
    }

    /// Writes the newest checkpoint of a job, and of those that it is connected with, whole into another store: see
    /// [`savepoint`].
    ///
    /// # Errors
    /// Where there is no checkpoint of the job, it cannot be read, or the other store does not take it.
    pub fn export(&self, uid: &str, to: &dyn StateStore) -> Result<()> {
        self.with_newest(uid, |manifest| {
            let jobs = load(&*self.store, manifest, |_| true)?;
            savepoint::write(to, manifest, &jobs)
        })
    }

    /// The newest checkpoint of a job.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn newest(&self, uid: &str) -> Result<SavedJob> {
        let job = self.with_newest(uid, |manifest| Ok(load(&*self.store, manifest, |job| job.uid == uid)?))?;
        job.into_values().next().ok_or_else(|| EngineError::Internal("a checkpoint without its job".into()))
    }

    /// Another job as of the checkpoint that this one was loaded from. `None`: it is not part of that, or that is not kept.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn beside(&self, job: &SavedJob, uid: &str) -> Result<Option<SavedJob>> {
        let is_it = |of: &&Manifest| of.epoch == job.epoch && of.job(&job.record.uid).is_some();
        let find = |kept: &Kept| Ok(kept.manifests.iter().map(|(_, of)| of).find(is_it).cloned());
        let jobs = self.with(find, |manifest| Ok(load(&*self.store, manifest, |job| job.uid == uid)?))?;
        Ok(jobs.and_then(|jobs| jobs.into_values().next()))
    }

    /// Does something with the newest checkpoint of a job, whose runs stay so long.
    fn with_newest<T>(&self, uid: &str, run: impl FnOnce(&Manifest) -> Result<T>) -> Result<T> {
        let result = self.with(|kept| kept.newest(uid).cloned().map(Some), run)?;
        result.ok_or_else(|| EngineError::Internal("a checkpoint that was found and is not there".into()))
    }

    /// Does something with a checkpoint, where there is one, whose runs stay so long.
    fn with<T>(
        &self,
        find: impl FnOnce(&Kept) -> Result<Option<Manifest>>,
        run: impl FnOnce(&Manifest) -> Result<T>,
    ) -> Result<Option<T>> {
        let manifest = {
            let mut kept = self.kept.lock();
            let Some(manifest) = find(&kept)? else { return Ok(None) };
            kept.in_use.push(manifest.clone());
            manifest
        };
        let result = run(&manifest);
        let mut kept = self.kept.lock();
        if let Some(place) = kept.in_use.iter().position(|of| *of == manifest) {
            kept.in_use.swap_remove(place);
        }
        result.map(Some)
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
        let mut kept = self.kept.lock();
        kept.stored.forget();
        self.store.delete(&path)?;
        Ok(true)
    }
}

impl Kept {
    fn newest(&self, uid: &str) -> Result<&Manifest> {
        let newest = self.manifests.iter().rev().find(|(_, manifest)| manifest.job(uid).is_some());
        let (_, manifest) = newest.ok_or_else(|| EngineError::Gone(format!("there is no checkpoint of \"{uid}\"")))?;
        Ok(manifest)
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
