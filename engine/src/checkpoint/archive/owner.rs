//! Whose store it is, and what must be in it: a store of somebody else is not touched, and one of which something is missing is
//! not taken for one that never had it.

use super::read_manifest;
use crate::error::{EngineError, Result};
use crate::ports::StateStore;

/// The object that says whose store it is.
const OWNER: &str = "owner";
/// The object that says which manifest is the newest.
const NEWEST: &str = "newest";

/// Who opens a store.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Tells it apart from all others.
    pub id: String,
    /// It has opened this store before.
    pub returns: bool,
    /// Whether the job of a uid writes to the outside: from an earlier checkpoint than its last it would write again what is there.
    pub writes: fn(&str) -> bool,
}

impl Owner {
    /// Makes the store its own.
    ///
    /// # Errors
    /// Where it is somebody else's, or what it had is gone, or it does not answer.
    pub(super) fn take(&self, store: &dyn StateStore) -> Result<()> {
        let found = match store.get(OWNER)? {
            None if self.returns => {
                return Err(EngineError::Config {
                    message: format!("the checkpoints are gone from {}", store.describe()),
                    hint: Some("put them back; with another --state-url all jobs begin anew and write again".into()),
                });
            }
            None if store.put_if_absent(OWNER, self.id.as_bytes())? => return Ok(()),
            None => store.get(OWNER)?,
            found => found,
        };
        if found.is_some_and(|id| id == self.id.as_bytes()) {
            return Ok(());
        }
        Err(EngineError::Config {
            message: format!("the checkpoints in {} belong to another data directory", store.describe()),
            hint: Some("start with that --data-dir, or with another --state-url".into()),
        })
    }

    /// Checks that the newest manifest is there and can be read, before anything is changed. It may be missing where nothing goes
    /// wrong by that.
    ///
    /// # Errors
    /// Where it is missing, and there is no other one or one that has a job that writes to the outside.
    pub(super) fn check_newest(&self, store: &dyn StateStore) -> Result<()> {
        let Some(newest) = store.get(NEWEST)?.filter(|newest| !newest.is_empty()) else { return Ok(()) };
        let newest = String::from_utf8_lossy(&newest).into_owned();
        let mut earlier = Vec::new();
        for path in store.list("manifests/")? {
            // One that is damaged is as good as none.
            let Ok(Some(manifest)) = read_manifest(store, &path) else { continue };
            if path >= newest {
                return Ok(());
            }
            earlier.push(manifest);
        }
        let message = format!("checkpoint \"{newest}\" is missing from {} or damaged", store.describe());
        let writes = earlier.iter().flat_map(|of| &of.jobs).any(|job| (self.writes)(&job.uid));
        if writes || earlier.is_empty() {
            return Err(goes_back(message));
        }
        tracing::warn!("{message}; the one before is used");
        Ok(())
    }

    /// An error where one of these jobs must not go back to a checkpoint before its last one, which cannot be read.
    ///
    /// # Errors
    /// See above.
    pub(super) fn check_back(&self, uids: &[String], damage: &EngineError) -> Result<()> {
        let writes = uids.iter().any(|uid| (self.writes)(uid));
        if writes { Err(goes_back(damage.to_string())) } else { Ok(()) }
    }
}

fn goes_back(message: String) -> EngineError {
    EngineError::Config {
        message: format!(
            "{message}; from the checkpoint before it, jobs would write again what they have written since"
        ),
        hint: Some(format!("put it back, or delete it and the object \"{NEWEST}\" to let them do so")),
    }
}

/// Notes which manifest is the newest.
///
/// # Errors
/// Where the store does not take it.
pub(super) fn note_newest(store: &dyn StateStore, path: Option<&str>) -> Result<()> {
    store.put(NEWEST, path.unwrap_or_default().as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use super::{NEWEST, Owner};
    use crate::checkpoint::archive::Archive;
    use crate::checkpoint::format_manifest::{JobRecord, Manifest};
    use crate::error::Result;
    use crate::ports::{MemoryStateStore, StateStore};

    fn owner(id: &str, returns: bool) -> Option<Owner> {
        Some(Owner { id: id.to_owned(), returns, writes: |uid| uid.starts_with("insert-") })
    }

    /// Makes a checkpoint of one job without state.
    pub(in crate::checkpoint::archive) fn save(archive: &Archive, uid: &str, epoch: u64) -> Result<u64> {
        let (uid, name, plan) = (uid.to_owned(), String::new(), String::new());
        let mut manifest = Manifest::new(1, epoch, 0, 1);
        manifest.jobs = vec![JobRecord { uid, name, plan, inserted: 0, base_epoch: 0, nodes: Vec::new() }];
        archive.save(manifest, Vec::new())
    }

    #[test]
    fn a_store_is_one_owners() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let open = |id, returns| Archive::open(Arc::clone(&store), owner(id, returns));
        let generation = open("a", false).unwrap().generation();
        assert!(open("b", false).unwrap_err().to_string().contains("another data directory"));
        // Who is refused has not shut the owner out.
        assert_eq!(open("a", true).unwrap().generation(), generation + 1);
        store.delete("owner").unwrap();
        assert!(open("a", true).unwrap_err().to_string().contains("are gone"));
    }

    #[test]
    fn what_has_been_written_is_not_written_again_because_the_last_checkpoint_is_missing() {
        for (uid, goes_back) in [("view-1", true), ("insert-1", false)] {
            let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
            let open = || Archive::open(Arc::clone(&store), owner("a", false));
            let archive = open().unwrap();
            save(&archive, uid, 1).unwrap();
            save(&archive, uid, 2).unwrap();
            drop(archive);
            let newest = String::from_utf8(store.get(NEWEST).unwrap().unwrap()).unwrap();
            let manifest = store.get(&newest).unwrap().unwrap();
            store.delete(&newest).unwrap();
            match open() {
                Ok(archive) => assert!(goes_back && archive.last_epoch() == 1),
                Err(error) => assert!(!goes_back && error.to_string().contains(&newest), "{error}"),
            }
            if !goes_back {
                store.put(&newest, &manifest).unwrap();
                assert_eq!(open().unwrap().last_epoch(), 2);
            }
        }
    }

    #[test]
    fn a_checkpoint_of_jobs_that_are_gone_is_not_missed() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let open = || Archive::open(Arc::clone(&store), owner("a", false));
        let archive = open().unwrap();
        save(&archive, "insert-1", 1).unwrap();
        archive.clean(&[].into(), 1).unwrap();
        drop(archive);
        assert_eq!(store.list("manifests/").unwrap(), Vec::<String>::new());
        assert_eq!(open().unwrap().last_epoch(), 0);
    }
}
