//! [`StateStore`]: where checkpoints live, and [`MemoryStateStore`], which forgets with the process.
//!
//! A store holds small trees of immutable objects under paths such as `runs/7/0.run`. The engine calls it from threads of
//! its own, never on a shard, so that a store may block.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use parking_lot::Mutex;

use crate::error::Result;

/// Writes an object, once.
pub type WriteObject<'a> = &'a mut dyn FnMut(&mut dyn Write) -> Result<()>;

/// A place for immutable objects. What a call has put is there for every call after it, also after a crash.
pub trait StateStore: Send + Sync + fmt::Debug {
    /// Writes an object whole or not at all; replaces what is there.
    ///
    /// # Errors
    /// Where it cannot be made durable.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()>;

    /// As [`Self::put`], of what `write` writes: a long object need not be in memory.
    ///
    /// # Errors
    /// As [`Self::put`]; those of `write`.
    fn put_with(&self, path: &str, write: WriteObject<'_>) -> Result<()> {
        let mut bytes = Vec::new();
        write(&mut bytes)?;
        self.put(path, &bytes)
    }

    /// As [`Self::put`] where nothing is there; else changes nothing and gives false. Of two writers one wins.
    ///
    /// # Errors
    /// As [`Self::put`].
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool>;

    /// The object; `None` where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>>;

    /// The paths of all objects below `prefix`, which ends with `/`; sorted.
    ///
    /// # Errors
    /// Where the store cannot be listed.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes an object. Nothing happens where there is none.
    ///
    /// # Errors
    /// Where it cannot be removed.
    fn delete(&self, path: &str) -> Result<()>;

    /// The place for people, without secrets.
    fn describe(&self) -> String;
}

/// A store in memory.
#[derive(Default)]
pub struct MemoryStateStore {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl fmt::Debug for MemoryStateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStateStore")
    }
}

impl StateStore for MemoryStateStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.objects.lock().insert(path.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let mut objects = self.objects.lock();
        if objects.contains_key(path) {
            return Ok(false);
        }
        objects.insert(path.to_owned(), bytes.to_vec());
        Ok(true)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.objects.lock().get(path).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.objects.lock().keys().filter(|path| path.starts_with(prefix)).cloned().collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.objects.lock().remove(path);
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}
