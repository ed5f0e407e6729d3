//! Where checkpoints are kept: [`open`] makes a store out of a URL.

mod directory;

use std::path::PathBuf;
use std::sync::Arc;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{MemoryStateStore, StateStore};

pub use directory::DirectoryStore;
pub(crate) use directory::sync_directory;

/// The store of a URL: a path or `file://` for a directory, which is made, and `memory:` for one that forgets.
///
/// # Errors
/// Where the URL is of another kind, or the directory cannot be made or written.
pub fn open(url: &str) -> Result<Arc<dyn StateStore>> {
    if url == "memory:" || url == "memory://" {
        return Ok(Arc::new(MemoryStateStore::default()));
    }
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(Arc::new(DirectoryStore::open(PathBuf::from(path))?));
    }
    match url.split_once("://") {
        Some((scheme, _)) => Err(EngineError::Config {
            message: format!("state URL \"{url}\" has the scheme \"{scheme}\", which is not supported"),
            hint: Some("use a directory".to_owned()),
        }),
        None => Ok(Arc::new(DirectoryStore::open(PathBuf::from(url))?)),
    }
}

#[cfg(test)]
mod tests;
