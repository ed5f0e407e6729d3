//! Persisted form 1 of a claim: what the opening of a store has found. JSON.
//!
//! A claim names the manifests that there were when its generation began: what a server that was shut out writes of an earlier
//! generation afterwards is none of them, and counts for nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{EngineError, Result};

const VERSION: u32 = 1;

/// What an opening has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    version: u32,
    /// The paths of all manifests of earlier generations that count.
    pub manifests: BTreeSet<String>,
}

impl Claim {
    /// A claim over these manifests.
    pub fn new(manifests: BTreeSet<String>) -> Self {
        Self { version: VERSION, manifests }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn encode(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| EngineError::Internal(format!("a claim cannot be written: {error}")))
    }

    /// The claim of these bytes.
    ///
    /// # Errors
    /// Where they are damaged or of a later version. The error names `path`.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |why: String| EngineError::io(format_args!("the claim \"{path}\" is damaged"), why);
        let claim: Self = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if claim.version != VERSION {
            return Err(damaged(format!("it is of version {}, which this release does not know", claim.version)));
        }
        Ok(claim)
    }
}
