//! The records of the catalog's log, version 1: JSON objects, each with a `record` field that says what happened.
//!
//! A statement is kept as it was written, with the number that it got and the settings that it was bound under. What
//! exists is what is left when all records have been applied in order: [`CatalogState`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Settings by name.
pub(crate) type StoredSettings = BTreeMap<String, String>;

/// Something that happened to the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub(crate) enum CatalogRecord {
    /// A table or view was made, or a view of that number was replaced.
    Relation(RelationEntry),
    /// A function was made or replaced.
    Function(FunctionEntry),
    /// A job of an `INSERT` was started.
    Job(JobEntry),
    /// These are gone.
    Dropped {
        /// Numbers.
        relations: Vec<u64>,
        /// Lower-case names.
        functions: Vec<String>,
    },
    /// A job was stopped for good.
    JobEnded {
        /// Its number.
        job: u64,
    },
    /// A job failed and is not tried again until somebody starts it.
    JobFailed {
        /// Its number.
        job: u64,
        /// Why it failed.
        error: String,
    },
    /// A job was stopped for the time being, or started again.
    JobStopped {
        /// Its number.
        job: u64,
        /// Stopped, rather than started.
        stopped: bool,
    },
    /// A database or catalog was made, or has another comment.
    Namespace(NamespaceEntry),
    /// Databases or catalogs are gone, and what was in them before.
    NamespacesDropped {
        /// Their names.
        names: Vec<String>,
    },
    /// A statement writes to a table of a connector what is to become visible as a whole at its end.
    Writing {
        /// What the sink tells it apart by.
        run: String,
        /// The table.
        relation: u64,
    },
    /// It has done so, or nothing of it is left.
    Written {
        /// As it was told.
        run: String,
    },
    /// The catalog was made.
    Identity {
        /// Tells it apart from all other catalogs.
        id: String,
    },
    /// Its checkpoints are made in a store from now on.
    Checkpoints {
        /// The store for people.
        store: String,
    },
    /// Numbers up to these have been given away.
    Numbers {
        /// Of relations.
        relation: u64,
        /// Of jobs.
        job: u64,
    },
}

/// A database, or a catalog, whose name ends in a dot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NamespaceEntry {
    /// `db`, `cat.db` or `cat.`.
    pub(crate) name: String,
    /// Its comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
}

/// A table or view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RelationEntry {
    /// Its number.
    pub(crate) id: u64,
    /// The statement that made it.
    pub(crate) statement: String,
    /// What the statement was bound under.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: StoredSettings,
    /// The job that keeps it up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<u64>,
    /// That job was stopped for good.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stopped: bool,
    /// Why that job failed, where it is not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FunctionEntry {
    /// Its name in lower case.
    pub(crate) name: String,
    /// The statement that made it.
    pub(crate) statement: String,
    /// What the statement was bound under.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: StoredSettings,
}

/// A job of an `INSERT` that does not end by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobEntry {
    /// Its number.
    pub(crate) id: u64,
    /// The `INSERT`.
    pub(crate) statement: String,
    /// What the statement was bound under.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: StoredSettings,
    /// It was stopped, and may be started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stopped: bool,
    /// Why it failed, where it is not tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

/// What exists.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct CatalogState {
    /// Tells the catalog apart from all others. `None`: of a release before that, or a new one.
    pub(crate) identity: Option<String>,
    /// Where its checkpoints are made.
    pub(crate) store: Option<String>,
    /// Databases and catalogs.
    pub(crate) namespaces: Vec<NamespaceEntry>,
    /// In the order in which they were made: a function may be used by every relation, and calls others.
    pub(crate) functions: Vec<FunctionEntry>,
    /// In the order in which they were made: one that was changed later may read what was made after it.
    pub(crate) relations: Vec<RelationEntry>,
    /// In the order in which they were started.
    pub(crate) jobs: Vec<JobEntry>,
    /// Statements that write, with their tables.
    pub(crate) writing: Vec<(String, u64)>,
    /// The greatest number that a relation has had.
    pub(crate) last_relation: u64,
    /// The greatest number that a job has had.
    pub(crate) last_job: u64,
}

impl CatalogState {
    /// Brings the state up to date with something that happened.
    pub(crate) fn apply(&mut self, record: CatalogRecord) {
        match record {
            CatalogRecord::Relation(entry) => {
                self.last_relation = self.last_relation.max(entry.id);
                self.last_job = self.last_job.max(entry.job.unwrap_or(0));
                match self.relations.iter_mut().find(|other| other.id == entry.id) {
                    Some(other) => {
                        let (job, stopped, failed) = (entry.job.or(other.job), other.stopped, other.failed.take());
                        *other = RelationEntry { job, stopped, failed, ..entry }
                    }
                    None => self.relations.push(entry),
                }
            }
            CatalogRecord::Function(entry) => match self.functions.iter_mut().find(|other| other.name == entry.name) {
                Some(other) => *other = entry,
                None => self.functions.push(entry),
            },
            CatalogRecord::Job(entry) => {
                self.last_job = self.last_job.max(entry.id);
                self.jobs.retain(|other| other.id != entry.id);
                self.jobs.push(entry);
            }
            CatalogRecord::Dropped { relations, functions } => {
                self.relations.retain(|entry| !relations.contains(&entry.id));
                self.writing.retain(|(_, relation)| !relations.contains(relation));
                self.functions.retain(|entry| !functions.contains(&entry.name));
            }
            CatalogRecord::JobEnded { job } => {
                self.jobs.retain(|entry| entry.id != job);
                self.note_job(job, true, None);
            }
            CatalogRecord::JobFailed { job, error } => self.note_job(job, false, Some(error)),
            CatalogRecord::JobStopped { job, stopped } => self.note_job(job, stopped, None),
            CatalogRecord::Namespace(entry) => {
                self.namespaces.retain(|other| other.name != entry.name);
                self.namespaces.push(entry);
            }
            CatalogRecord::NamespacesDropped { names } => self.namespaces.retain(|entry| !names.contains(&entry.name)),
            CatalogRecord::Writing { run, relation } => self.writing.push((run, relation)),
            CatalogRecord::Written { run } => self.writing.retain(|(of, _)| *of != run),
            CatalogRecord::Identity { id } => self.identity = Some(id),
            CatalogRecord::Checkpoints { store } => self.store = Some(store),
            CatalogRecord::Numbers { relation, job } => {
                self.last_relation = self.last_relation.max(relation);
                self.last_job = self.last_job.max(job);
            }
        }
    }

    /// Notes what became of a job.
    fn note_job(&mut self, job: u64, stopped: bool, failed: Option<String>) {
        for entry in self.jobs.iter_mut().filter(|entry| entry.id == job) {
            (entry.stopped, entry.failed) = (stopped, failed.clone());
        }
        for entry in self.relations.iter_mut().filter(|entry| entry.job == Some(job)) {
            (entry.stopped, entry.failed) = (stopped, failed.clone());
        }
    }

    /// Number of objects.
    pub(crate) fn len(&self) -> usize {
        self.namespaces.len() + self.functions.len() + self.relations.len() + self.jobs.len() + self.writing.len()
    }

    /// The shortest list of records that leads to this state.
    pub(crate) fn records(&self) -> Vec<CatalogRecord> {
        let numbers = CatalogRecord::Numbers { relation: self.last_relation, job: self.last_job };
        let identity = self.identity.iter().map(|id| CatalogRecord::Identity { id: id.clone() });
        let store = self.store.iter().map(|store| CatalogRecord::Checkpoints { store: store.clone() });
        let namespaces = self.namespaces.iter().cloned().map(CatalogRecord::Namespace);
        let functions = self.functions.iter().cloned().map(CatalogRecord::Function);
        let relations = self.relations.iter().cloned().map(CatalogRecord::Relation);
        let jobs = self.jobs.iter().cloned().map(CatalogRecord::Job);
        let writing = self.writing.iter().map(|(run, relation)| (run.clone(), *relation));
        let writing = writing.map(|(run, relation)| CatalogRecord::Writing { run, relation });
        let made = identity.chain(store).chain(std::iter::once(numbers));
        made.chain(namespaces).chain(functions).chain(relations).chain(jobs).chain(writing).collect()
    }
}

/// A record as bytes.
///
/// # Errors
/// Never for records of ours.
pub(super) fn encode(record: &CatalogRecord) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(record)
}

/// The record that bytes stand for.
///
/// # Errors
/// Where a later version wrote it.
pub(super) fn decode(bytes: &[u8]) -> Result<CatalogRecord, serde_json::Error> {
    serde_json::from_slice(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use super::{CatalogRecord, CatalogState, FunctionEntry, JobEntry, NamespaceEntry, RelationEntry, decode, encode};

    fn relation(id: u64, job: Option<u64>) -> CatalogRecord {
        let statement = format!("CREATE TABLE t{id} (a INT)");
        CatalogRecord::Relation(RelationEntry { id, statement, settings: [].into(), job, stopped: false, failed: None })
    }

    fn namespace(name: &str) -> CatalogRecord {
        CatalogRecord::Namespace(NamespaceEntry { name: name.to_owned(), comment: Some("x".to_owned()) })
    }

    pub(crate) fn history() -> Vec<CatalogRecord> {
        let settings: super::StoredSettings = [("sql.semantics".to_owned(), "flink".to_owned())].into();
        let function = |text: &str| {
            let (name, statement) = ("f".to_owned(), text.to_owned());
            CatalogRecord::Function(FunctionEntry { name, statement, settings: settings.clone() })
        };
        let statement = "INSERT INTO s SELECT 1".to_owned();
        let job = JobEntry { id: 7, statement, settings: settings.clone(), stopped: false, failed: None };
        vec![
            relation(1, None),
            function("first"),
            relation(2, Some(6)),
            relation(3, None),
            CatalogRecord::Job(job),
            function("second"),
            relation(1, None),
            CatalogRecord::Dropped { relations: vec![3], functions: vec![] },
            CatalogRecord::JobEnded { job: 6 },
            CatalogRecord::JobStopped { job: 7, stopped: true },
            CatalogRecord::JobFailed { job: 7, error: "broken".to_owned() },
            namespace("d"),
            namespace("c."),
            CatalogRecord::NamespacesDropped { names: vec!["c.".to_owned()] },
            CatalogRecord::Writing { run: "a".to_owned(), relation: 1 },
            CatalogRecord::Writing { run: "b".to_owned(), relation: 2 },
            CatalogRecord::Written { run: "a".to_owned() },
        ]
    }

    fn folded(records: impl IntoIterator<Item = CatalogRecord>) -> CatalogState {
        records.into_iter().fold(CatalogState::default(), |mut state, record| {
            state.apply(record);
            state
        })
    }

    #[test]
    fn what_is_left_is_what_exists() {
        let state = folded(history());
        assert_eq!(state.relations.iter().map(|entry| entry.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(state.functions.iter().map(|entry| entry.statement.as_str()).collect::<Vec<_>>(), ["second"]);
        assert_eq!(state.jobs.len(), 1);
        assert!(state.relations[1].stopped && !state.jobs[0].stopped);
        assert_eq!(state.jobs[0].failed.as_deref(), Some("broken"));
        assert_eq!((state.last_relation, state.last_job, state.len()), (3, 7, 6));
        assert_eq!(state.writing, [("b".to_owned(), 2)]);
        assert_eq!(state.namespaces.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["d"]);
        assert_eq!(folded(state.records()), state);
    }

    #[test]
    fn records_of_version_1_are_read_for_ever() {
        let texts = history().iter().map(|record| encode(record).unwrap()).collect::<Vec<_>>();
        let back: Vec<CatalogRecord> = texts.iter().map(|text| decode(text).unwrap()).collect();
        assert_eq!(back, history());
        let fixture = r#"{"record":"relation","id":2,"statement":"CREATE TABLE t2 (a INT)","job":6,"later":true}"#;
        assert_eq!(decode(fixture.as_bytes()).unwrap(), relation(2, Some(6)));
        assert!(decode(br#"{"record":"of another time"}"#).is_err());
    }
}
