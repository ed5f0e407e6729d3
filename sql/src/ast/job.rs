//! Statements about jobs that run, and about what is kept of them.

/// Stops or starts a job, or keeps its state under a name. `J` names a job: as written, or its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobControl<J> {
    /// `CANCEL JOB id`: for good.
    Cancel(J),
    /// `STOP JOB id [WITH SAVEPOINT 'name']`: until it is started.
    Stop {
        /// Which.
        job: J,
        /// Keeps its state under this name.
        savepoint: Option<String>,
    },
    /// `START JOB id [FROM SAVEPOINT 'name']`
    Start {
        /// Which.
        job: J,
        /// Goes on from this state rather than from the last checkpoint.
        savepoint: Option<String>,
    },
    /// `CREATE SAVEPOINT 'name' FOR JOB id`
    CreateSavepoint {
        /// Of which job, and of all that it is connected with.
        job: J,
        /// Under which name.
        name: String,
    },
    /// `DROP SAVEPOINT [IF EXISTS] 'name'`
    DropSavepoint {
        /// Which.
        name: String,
        /// It need not exist.
        if_exists: bool,
    },
}

impl<J> JobControl<J> {
    /// The same with another name of the job.
    ///
    /// # Errors
    /// What `job` reports.
    pub fn map_job<K, E>(&self, job: impl FnOnce(&J) -> Result<K, E>) -> Result<JobControl<K>, E> {
        Ok(match self {
            Self::Cancel(id) => JobControl::Cancel(job(id)?),
            Self::Stop { job: id, savepoint } => JobControl::Stop { job: job(id)?, savepoint: savepoint.clone() },
            Self::Start { job: id, savepoint } => JobControl::Start { job: job(id)?, savepoint: savepoint.clone() },
            Self::CreateSavepoint { job: id, name } => {
                JobControl::CreateSavepoint { job: job(id)?, name: name.clone() }
            }
            Self::DropSavepoint { name, if_exists } => {
                JobControl::DropSavepoint { name: name.clone(), if_exists: *if_exists }
            }
        })
    }
}
