//! [`RemoteStore`]: a state store in a bucket of an object store.

use std::fmt;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::StateStore;

use crate::bucket::{Bucket, StoreUrl};

#[cfg(test)]
mod tests;

/// See the module.
pub(super) struct RemoteStore {
    bucket: Bucket,
    /// Before all paths; empty, or ends with `/`.
    prefix: String,
}

impl RemoteStore {
    /// The store of a URL. Asks nothing yet.
    ///
    /// # Errors
    /// Where settings are missing.
    pub(super) fn open(url: &StoreUrl, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        Ok(Self { bucket: Bucket::with_settings(url, env)?, prefix: url.prefix() })
    }

    fn checked(&self, path: &str) -> Result<String> {
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if inside {
            Ok(format!("{}{path}", self.prefix))
        } else {
            Err(EngineError::Internal(format!("\"{path}\" is no path of a state store")))
        }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.bucket.name(), self.prefix)
    }
}

impl fmt::Debug for RemoteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteStore").field(&self.name()).finish()
    }
}

impl StateStore for RemoteStore {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.bucket.put(&self.checked(path)?, bytes)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        self.bucket.put_if_absent(&self.checked(path)?, bytes)
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.bucket.get(&self.checked(path)?)?.map(Into::into))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found = self.bucket.list(&format!("{}{prefix}", self.prefix))?;
        let path = |key: &str| key.strip_prefix(&self.prefix).map(str::to_owned);
        Ok(found.iter().filter_map(|object| path(&object.key)).collect())
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.bucket.delete(&self.checked(path)?)
    }

    fn describe(&self) -> String {
        format!("\"{}\"", self.name())
    }
}
