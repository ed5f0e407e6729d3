//! [`Decision`]: up to where a statement can be stopped without a trace. From there on it is carried out to its end, whatever the
//! client or `statement_timeout` asks for: an error is the promise that nothing has happened.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::ScalarValue;
use millstream_sql::SqlError;
use millstream_sql::ast::ParsedStatement;

use super::{Body, Outcome, Session, limit_rows, timed_out};

/// Whether the statement of a session that is under way can no longer be undone.
#[derive(Debug, Clone, Default)]
pub struct Decision(Arc<AtomicBool>);

impl Decision {
    /// Whether the statement must be waited for.
    pub fn is_made(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn make(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// What has been done so far can be undone.
    pub(super) fn revoke(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Session {
    /// What tells whether the statement under way can still be stopped.
    pub fn decision(&self) -> Decision {
        self.decision.clone()
    }

    /// Carries out one statement that is no part of a statement set.
    pub(super) async fn execute_whole(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Result<Outcome, SqlError> {
        let decision = self.decision();
        decision.revoke();
        let Some(limit) = self.settings.statement_timeout() else {
            return self.carry_out(statement, parameters).await;
        };
        let deadline = tokio::time::Instant::now() + limit;
        let mut work = pin!(self.carry_out(statement, parameters));
        let outcome = match tokio::time::timeout_at(deadline, &mut work).await {
            Ok(outcome) => outcome,
            Err(_) if decision.is_made() => work.await,
            Err(_) => Err(timed_out(limit)),
        };
        let mut outcome = outcome?;
        match &mut outcome.body {
            Body::Rows(rows) | Body::Subscription(rows) => limit_rows(rows, deadline, limit),
            Body::CopyOut(copy) => limit_rows(&mut copy.rows, deadline, limit),
            Body::CopyIn(_) | Body::Done(_) => (),
        }
        Ok(outcome)
    }
}
