//! Persisted forms 1 and 2 of a manifest: what makes runs a checkpoint. JSON, then a line with its XXH3 checksum.
//!
//! A manifest lists everything that recovery needs besides the rows: which jobs, how far their sources have been read, which
//! prepared transactions of sinks may not be committed yet, and the runs with the rows. It is written last: a checkpoint
//! without one is none. Form 1 has no epochs of runs: all runs are of the manifest's own.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{EngineError, Result};

/// The version that is written.
const VERSION: u32 = 2;

/// A complete checkpoint of some jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this form.
    pub version: u32,
    /// Which opening of the store wrote it.
    pub generation: u64,
    /// Grows within a generation.
    pub sequence: u64,
    /// The epoch whose barrier it was.
    pub epoch: u64,
    /// When it was begun: microseconds since 1970.
    pub created_us: i64,
    /// Number of shards that wrote it.
    pub shards: usize,
    /// Number of key groups.
    pub key_groups: u32,
    /// The jobs.
    pub jobs: Vec<JobRecord>,
    /// The runs, those that are applied first before the others.
    pub runs: Vec<RunRecord>,
}

/// A job or internal table at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its uid.
    pub uid: String,
    /// Its name, for people.
    pub name: String,
    /// Hash of its plan.
    pub plan: String,
    /// Number of the last insert into the table that is part of it.
    pub inserted: u64,
    /// The epoch of the first run that has rows of it: what earlier ones have is of another time.
    #[serde(default)]
    pub base_epoch: u64,
    /// Its operators, by shard.
    pub nodes: Vec<NodeRecord>,
}

/// One operator on one shard at a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its id.
    pub operator: String,
    /// The shard.
    pub shard: usize,
    /// Nothing comes out of it any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
    /// The timer that it waits for: microseconds since 1970, processing time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timer_us: Option<i64>,
    /// Of a view or its reader: how far its event time has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_us: Option<i64>,
    /// Of a view or its reader: whether it holds no watermark back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub idle: bool,
    /// Of a source: its splits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub splits: Vec<SplitRecord>,
    /// Of a sink: what is prepared and may not be committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
}

/// A split of a source at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRecord {
    /// Its id.
    pub id: String,
    /// Where reading continues, as the connector's own text. `None`: it has not begun.
    pub offset: Option<String>,
    /// It has been read to its end.
    pub ended: bool,
    /// Its watermark in microseconds.
    pub watermark_us: i64,
    /// It holds no watermark back.
    pub idle: bool,
}

/// A run that is part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its path in the store.
    pub path: String,
    /// The shard that wrote it.
    pub shard: usize,
    /// The epoch of the checkpoint that wrote it.
    #[serde(default)]
    pub epoch: u64,
    /// Its size.
    pub bytes: u64,
}

impl Manifest {
    /// A manifest without jobs.
    pub fn new(generation: u64, epoch: u64, created_us: i64, shards: usize) -> Self {
        let key_groups = crate::operators::key_group::KEY_GROUPS;
        let (jobs, runs) = (Vec::new(), Vec::new());
        Self { version: VERSION, generation, sequence: 0, epoch, created_us, shards, key_groups, jobs, runs }
    }

    /// Its bytes.
    ///
    /// # Errors
    /// Never, but for a bug.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| EngineError::Internal(format!("a manifest cannot be written: {error}")))?;
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(format!("\n{sum:016x}\n").as_bytes());
        Ok(bytes)
    }

    /// The manifest of these bytes.
    ///
    /// # Errors
    /// Where they are torn, changed or of a later version. The error names `path`.
    pub fn decode(path: &str, bytes: &[u8]) -> Result<Self> {
        let damaged = |why: &str| EngineError::io(format_args!("the checkpoint manifest \"{path}\" is damaged"), why);
        let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8"))?;
        let (json, sum) = text.trim_end_matches('\n').rsplit_once('\n').ok_or_else(|| damaged("it is cut off"))?;
        if u64::from_str_radix(sum, 16).ok() != Some(xxh3_64(json.as_bytes())) {
            return Err(damaged("its checksum is another one"));
        }
        let manifest: Self = serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        if !(1..=VERSION).contains(&manifest.version) {
            return Err(damaged(&format!("it is of version {}, which this release does not know", manifest.version)));
        }
        Ok(manifest)
    }

    /// Whether it is of the form that is written now.
    pub fn is_current(&self) -> bool {
        self.version == VERSION
    }

    /// Whether both are the same checkpoint of the store.
    pub fn is(&self, other: &Self) -> bool {
        (self.generation, self.sequence) == (other.generation, other.sequence)
    }

    /// The job of this uid.
    pub fn job(&self, uid: &str) -> Option<&JobRecord> {
        self.jobs.iter().find(|job| job.uid == uid)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !*flag
}
