//! Starting jobs again in the process that has made checkpoints of them. What they are about to go on from must stay their newest
//! checkpoint until there is one of their new run: sinks drop what was prepared after it. So none that is being written yet becomes
//! complete, and it is found out which of those are there whose writing was not answered.

use super::{Archive, Kept};
use crate::checkpoint::format_manifest::Manifest;
use crate::error::Result;

/// What stands where a manifest might have come late. It is no manifest: who finds it leaves it out.
const VOID: &[u8] = b"void";

impl Archive {
    /// These jobs begin again: checkpoints of them up to this epoch that are not complete by now never will be.
    ///
    /// # Errors
    /// Where the store does not answer: then they must not begin.
    pub fn begin_again(&self, uids: &[String], epoch: u64) -> Result<()> {
        let mut kept = self.kept.lock();
        for uid in uids {
            kept.begun.insert(uid.clone(), epoch);
        }
        let is_theirs = |manifest: &Manifest| uids.iter().any(|uid| manifest.job(uid).is_some());
        let mut place = 0;
        while let Some((path, manifest)) = kept.doubtful.get(place).cloned() {
            if !is_theirs(&manifest) || self.store.put_if_absent(&path, VOID)? {
                place += 1;
                continue;
            }
            // Something is there: all of it, a part, or what an earlier call of this has put.
            let found = self.store.get(&path)?.and_then(|bytes| Manifest::decode(&path, &bytes).ok());
            match found {
                None => place += 1,
                Some(found) => {
                    kept.doubtful.remove(place);
                    let after = kept.manifests.partition_point(|(of, _)| *of < path);
                    kept.manifests.insert(after, (path, found));
                }
            }
        }
        Ok(())
    }
}

impl Kept {
    /// Whether a job of a checkpoint that is not complete has begun again since.
    pub(super) fn is_void(&self, manifest: &Manifest) -> bool {
        manifest.jobs.iter().any(|job| self.begun.get(&job.uid).is_some_and(|begun| manifest.epoch <= *begun))
    }
}
