//! `EXECUTE STATEMENT SET`: several `INSERT`s as one job that reads each table once.

use std::sync::Arc;

use millstream_engine::ports::Boundedness;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{SqlError, SqlState, Target};

use super::{Notice, Outcome, RuntimeMode, Session};
use crate::catalog::{JobKind, JobRecord};

impl Session {
    pub(super) async fn statement_set(
        &mut self,
        inserts: Vec<(Arc<Relation>, BoundQuery)>,
    ) -> Result<Outcome, SqlError> {
        if self.settings.mode() == RuntimeMode::Batch {
            return self.statements_in_turn(&inserts).await;
        }
        let mut touches = Vec::new();
        let mut queries = Vec::with_capacity(inserts.len());
        let mut ends = true;
        for (target, query) in inserts {
            let RelationKind::ConnectorTable(table) = &target.kind else {
                let message = format!("a statement set cannot write to \"{}\"", target.name);
                return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
            };
            let sink = self.open_sink(table)?;
            touches.extend(query.depends_on.iter().copied().chain([target.id]));
            ends &= query.boundedness == Boundedness::Bounded;
            queries.push((query, Target::Sink(target.name.clone(), sink)));
        }
        let record = JobRecord { kind: JobKind::Insert, touches };
        let job = self.database.start_set("statement set", queries, record).await?;
        if ends {
            let status = job.finished().await?;
            return Ok(Outcome::done(format!("INSERT 0 {}", status.metrics.rows_out)));
        }
        let job = job.keep();
        Ok(Outcome::done("INSERT 0 0").with_notice(Notice::info(format!("job {job} started"))))
    }

    /// In batch there is no job: the statements run one after the other.
    async fn statements_in_turn(&mut self, inserts: &[(Arc<Relation>, BoundQuery)]) -> Result<Outcome, SqlError> {
        let (mut count, mut notices) = (0, Vec::new());
        for (target, query) in inserts {
            let mut outcome = self.insert(target, query).await?;
            if let super::Body::Done(tag) = &outcome.body {
                count += tag.rsplit(' ').next().and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0);
            }
            notices.append(&mut outcome.notices);
        }
        Ok(Outcome { notices, ..Outcome::done(format!("INSERT 0 {count}")) })
    }
}
