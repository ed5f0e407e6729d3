//! Deleting what no kept checkpoint names. What the store holds is remembered ([`Stored`]), so that a checkpoint after which
//! nothing goes costs no call of the store.

use std::collections::{BTreeMap, BTreeSet};

use super::owner::note_newest;
use super::{Archive, Kept, Manifest, read_manifest};
use crate::checkpoint::choose;
use crate::error::Result;
use crate::ports::{SINK_AREA, StateStore};

/// Cleanings after which everything is listed again: a write that nobody had an answer of may have come late.
const CLEANINGS_MAX: u32 = 256;

/// What the store is known to hold besides manifests.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// The runs. `None`: they are to be listed.
    runs: Option<BTreeSet<String>>,
    /// The savepoints by path. `None`: they are to be listed.
    pinned: Option<BTreeMap<String, Manifest>>,
    /// The jobs that were live when what sinks keep was looked through last.
    live: Option<BTreeSet<String>>,
    cleanings: u32,
}

impl Stored {
    /// Knows nothing any more: the next cleaning lists everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// A run was written, or nobody knows.
    pub(super) fn run_written(&mut self, path: &str, is_known: bool) {
        if !is_known {
            self.forget();
        } else if let Some(runs) = &mut self.runs {
            runs.insert(path.to_owned());
        }
    }

    /// A savepoint was made, or nobody knows.
    pub(super) fn pinned(&mut self, path: String, manifest: Manifest, is_known: bool) {
        if !is_known {
            self.forget();
        } else if let Some(pinned) = &mut self.pinned {
            pinned.insert(path, manifest);
        }
    }

    /// Lists what is not known.
    fn look(&mut self, store: &dyn StateStore) -> Result<()> {
        self.cleanings += 1;
        if self.cleanings >= CLEANINGS_MAX {
            self.forget();
        }
        if self.pinned.is_none() {
            let mut pinned = BTreeMap::new();
            for path in store.list("savepoints/")? {
                if let Some(manifest) = read_manifest(store, &path)? {
                    pinned.insert(path, manifest);
                }
            }
            self.pinned = Some(pinned);
        }
        if self.runs.is_none() {
            self.runs = Some(store.list("runs/")?.into_iter().collect());
        }
        Ok(())
    }
}

impl Archive {
    /// Deletes what is not needed: checkpoints of no live job but the last `retained` ones, and runs that none names.
    ///
    /// # Errors
    /// Where the store does not answer. What is left is deleted the next time.
    pub fn clean(&self, live: &BTreeSet<String>, retained: usize) -> Result<()> {
        self.chains.lock().retain(live);
        let mut kept = self.kept.lock();
        let cleaned = self.clean_kept(&mut kept, live, retained);
        if cleaned.is_err() {
            kept.stored.forget();
        }
        cleaned
    }

    fn clean_kept(&self, kept: &mut Kept, live: &BTreeSet<String>, retained: usize) -> Result<()> {
        let manifests: Vec<Manifest> = kept.manifests.iter().map(|(_, manifest)| manifest.clone()).collect();
        let outdated: BTreeSet<choose::Place> = choose::outdated(&manifests, live, retained).into_iter().collect();
        let last = kept.manifests.len().saturating_sub(1);
        if self.owner.is_some() && outdated.contains(&last) {
            let left = kept.manifests.iter().enumerate().rev().find(|(place, _)| !outdated.contains(place));
            note_newest(&*self.store, left.map(|(_, (path, _))| path.as_str()))?;
        }
        // What cannot be deleted stays known, and its runs with it.
        let mut gone = Vec::new();
        for place in outdated.iter().rev() {
            if let Some((path, _)) = kept.manifests.get(*place) {
                self.store.delete(path)?;
                gone.push(kept.manifests.remove(*place).1);
            }
        }
        while let Some(place) = kept.doubtful.iter().position(|(_, of)| choose::is_overtaken(of, &manifests, live)) {
            if let Some((path, _)) = kept.doubtful.get(place) {
                self.store.delete(path)?;
                gone.push(kept.doubtful.remove(place).1);
            }
        }
        let Kept { manifests, doubtful, in_use, stored, .. } = kept;
        stored.look(&*self.store)?;
        let known = manifests.iter().chain(&*doubtful).map(|(_, manifest)| manifest);
        let named: Vec<&Manifest> =
            known.chain(stored.pinned.iter().flat_map(BTreeMap::values)).chain(&*in_use).collect();
        let runs = choose::unnamed(&named, stored.runs.iter().flatten(), self.generation);
        // What a sink keeps goes only with its job.
        let left = gone.iter().flat_map(|manifest| &manifest.jobs).any(|job| !live.contains(&job.uid));
        if left || stored.live.as_ref() != Some(live) {
            for path in choose::orphaned(&named, live, &self.store.list(SINK_AREA)?) {
                self.store.delete(&path)?;
            }
            stored.live = Some(live.clone());
        }
        for path in runs {
            self.store.delete(&path)?;
            if let Some(runs) = &mut stored.runs {
                runs.remove(&path);
            }
        }
        Ok(())
    }
}
