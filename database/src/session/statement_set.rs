//! `EXECUTE STATEMENT SET`: several `INSERT`s as one job that reads each table once.

use std::sync::Arc;

use millstream_engine::ports::Boundedness;
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{SqlError, SqlState};

use super::job::JobPlan;
use super::{Notice, Outcome, RuntimeMode, Session, Wording};

impl Session {
    pub(super) async fn statement_set(
        &mut self,
        inserts: Vec<(Arc<Relation>, BoundQuery)>,
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        if self.settings.mode() == RuntimeMode::Batch {
            return self.statements_in_turn(&inserts, wording).await;
        }
        if let Some((target, _)) = inserts.iter().find(|(target, _)| !is_connector_table(target)) {
            let message = format!("a statement set cannot write to \"{}\"", target.name);
            return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, message));
        }
        let ends = inserts.iter().all(|(_, query)| query.boundedness == Boundedness::Bounded);
        let mut plan = JobPlan::of_set(inserts);
        plan.lasting = !ends && !self.touches_temporary(&plan.record);
        let (job, dataflow) = self.database.start_job(plan.clone()).await?;
        drop(dataflow);
        if ends {
            let status = job.finished().await?;
            return Ok(Outcome::done(format!("INSERT 0 {}", status.metrics.rows_out)));
        }
        let job = self.keep_job(job, plan, wording).await?;
        Ok(Outcome::done("INSERT 0 0").with_notice(Notice::info(format!("job {job} started"))))
    }

    /// In batch there is no job: the statements run one after the other.
    async fn statements_in_turn(
        &mut self,
        inserts: &[(Arc<Relation>, BoundQuery)],
        wording: &Wording<'_>,
    ) -> Result<Outcome, SqlError> {
        let (mut count, mut notices) = (0, Vec::new());
        for (target, query) in inserts {
            let mut outcome = self.insert(target, query, wording).await?;
            if let super::Body::Done(tag) = &outcome.body {
                count += tag.rsplit(' ').next().and_then(|rows| rows.parse::<u64>().ok()).unwrap_or(0);
            }
            notices.append(&mut outcome.notices);
        }
        Ok(Outcome { notices, ..Outcome::done(format!("INSERT 0 {count}")) })
    }
}

fn is_connector_table(relation: &Relation) -> bool {
    matches!(relation.kind, RelationKind::ConnectorTable(_))
}
