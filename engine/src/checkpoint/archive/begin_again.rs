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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use super::Archive;
    use crate::checkpoint::archive::owner::tests::save;
    use crate::checkpoint::format_manifest::Manifest;
    use crate::error::{EngineError, Result};
    use crate::ports::{MemoryStateStore, StateStore};

    /// A store that does not answer when manifest 2 is written; `arrives`: it is there all the same.
    #[derive(Debug)]
    struct Silent {
        inner: MemoryStateStore,
        arrives: bool,
    }

    impl StateStore for Silent {
        fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
            self.inner.put(path, bytes)
        }

        fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
            if path.ends_with("-000000000002.json") && bytes.len() > 100 {
                if self.arrives {
                    self.inner.put_if_absent(path, bytes)?;
                }
                return Err(EngineError::io("the store", "no answer"));
            }
            self.inner.put_if_absent(path, bytes)
        }

        fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
            self.inner.get(path)
        }

        fn list(&self, prefix: &str) -> Result<Vec<String>> {
            self.inner.list(prefix)
        }

        fn delete(&self, path: &str) -> Result<()> {
            self.inner.delete(path)
        }

        fn describe(&self) -> String {
            "silent".into()
        }
    }

    #[test]
    fn what_was_not_answered_counts_if_it_is_there_and_never_comes_late() {
        for arrives in [false, true] {
            let silent = Arc::new(Silent { inner: MemoryStateStore::default(), arrives });
            let store: Arc<dyn StateStore> = Arc::<Silent>::clone(&silent);
            let uids = ["a".to_owned()];
            let archive = Archive::open(Arc::clone(&store), None).unwrap();
            save(&archive, "a", 1).unwrap();
            save(&archive, "a", 2).unwrap_err();
            archive.begin_again(&uids, 3).unwrap();
            let newest = if arrives { 2 } else { 1 };
            assert_eq!(archive.recover(&uids).unwrap()["a"].epoch, newest);
            // The write comes late.
            let path = store.list("manifests/").unwrap().pop().unwrap();
            assert!(!silent.inner.put_if_absent(&path, &Manifest::new(1, 9, 0, 1).encode().unwrap()).unwrap());
            // One that was being written meanwhile counts for nobody; those of others and later ones do.
            assert!(save(&archive, "a", 3).unwrap_err().to_string().contains("started again"));
            save(&archive, "b", 3).unwrap();
            assert_eq!(archive.recover(&uids).unwrap()["a"].epoch, newest);
            archive.begin_again(&uids, 3).unwrap();
            drop(archive);
            let archive = Archive::open(Arc::clone(&store), None).unwrap();
            assert_eq!(archive.recover(&uids).unwrap()["a"].epoch, newest);
            save(&archive, "a", 4).unwrap();
            assert_eq!(archive.recover(&uids).unwrap()["a"].epoch, 4);
        }
    }
}
