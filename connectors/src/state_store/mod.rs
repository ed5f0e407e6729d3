//! Where checkpoints are kept: [`open`] makes a store out of a URL.

mod directory;
mod remote;
mod unbuffered;

use std::path::PathBuf;
use std::sync::Arc;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{MemoryStateStore, StateStore};

pub use directory::DirectoryStore;
pub(crate) use directory::sync_directory;
use remote::RemoteStore;

use crate::bucket::StoreUrl;

/// The store of a URL: a path or `file://` for a directory, which is made; `s3://bucket/prefix` and what speaks that language,
/// `gs://` and `az://` for object stores; and `memory:` for one that forgets.
///
/// Object stores take settings as parameters, `?endpoint=…&region=…`, and from the environment: `AWS_ACCESS_KEY_ID`,
/// `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT_URL`; for `gs` HMAC keys in `GS_ACCESS_KEY_ID` and
/// `GS_SECRET_ACCESS_KEY`; for `az` `AZURE_STORAGE_ACCOUNT` with `AZURE_STORAGE_KEY` or `AZURE_STORAGE_SAS_TOKEN`.
///
/// # Errors
/// Where the URL is of another kind, settings are missing, or the directory cannot be made or written.
pub fn open(url: &str) -> Result<Arc<dyn StateStore>> {
    if url == "memory:" || url == "memory://" {
        return Ok(Arc::new(MemoryStateStore::default()));
    }
    if let Some(path) = url.strip_prefix("file://") {
        return Ok(Arc::new(DirectoryStore::open(PathBuf::from(path))?));
    }
    if StoreUrl::is_one(url) {
        return Ok(Arc::new(RemoteStore::open(&StoreUrl::parse(url)?, &|name| std::env::var(name).ok())?));
    }
    match url.split_once("://") {
        Some((scheme, _)) => Err(EngineError::Config {
            message: format!("state URL \"{url}\" has the scheme \"{scheme}\", which is not supported"),
            hint: Some("use a directory, s3://, gs:// or az://".to_owned()),
        }),
        None => Ok(Arc::new(DirectoryStore::open(PathBuf::from(url))?)),
    }
}

#[cfg(test)]
mod tests;
