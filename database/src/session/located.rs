//! Places for the errors of statements that come without one, found when a statement has failed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use millstream_sql::ast::ParsedStatement;
use millstream_sql::bound::BindContext;
use millstream_sql::{LOCATED_BYTES_MAX, SqlError, locate};

use super::{Body, Outcome, Rows, Session};
use crate::batch::QueryThreads;

/// After which an error goes out without its place.
const TIME_MAX: Duration = Duration::from_secs(1);

/// Finds the places of one statement's errors.
#[derive(Clone)]
struct Places {
    /// `None` where it is too long to look for them.
    statement: Option<Arc<ParsedStatement>>,
    context: Arc<BindContext>,
    threads: QueryThreads,
}

impl Places {
    /// The error with its place. What is evaluated for it is given up with the query threads, as any query is.
    async fn locate(&self, error: SqlError) -> SqlError {
        let statement = match &self.statement {
            Some(statement) if error.parts().position.is_none() => Arc::clone(statement),
            Some(_) | None => return error,
        };
        let (context, without) = (Arc::clone(&self.context), error.clone());
        let found = self.threads.run(async move { Ok(locate(error, &statement, &context)) });
        match tokio::time::timeout(TIME_MAX, AssertUnwindSafe(found).catch_unwind()).await {
            Ok(Ok(Ok(located))) => located,
            // Too slow, panicked, or at the end of the server.
            Err(_) | Ok(Err(_) | Ok(Err(_))) => without,
        }
    }

    /// The rows, whose errors get their places.
    fn in_rows(self, rows: &mut Rows) {
        let batches = std::mem::replace(&mut rows.batches, futures::stream::empty().boxed());
        let located = batches.then(move |batch| {
            // Batches go through as they are.
            let places = batch.is_err().then(|| self.clone());
            async move {
                match (batch, places) {
                    (Err(error), Some(places)) => Err(places.locate(error).await),
                    (batch, _) => batch,
                }
            }
        });
        rows.batches = located.boxed();
    }
}

impl Session {
    /// What a statement gave, with places in its errors and in those of its rows.
    pub(super) async fn located_outcome(
        &mut self,
        statement: &ParsedStatement,
        outcome: Result<Outcome, SqlError>,
    ) -> Result<Outcome, SqlError> {
        let binding = self.binding.take();
        let places = || Some(self.places(statement, binding?));
        match outcome {
            Ok(mut outcome) => {
                let rows = match &mut outcome.body {
                    Body::Rows(rows) | Body::Subscription(rows) => Some(rows),
                    Body::CopyOut(copy) => Some(&mut copy.rows),
                    Body::CopyIn(_) | Body::Done(_) => None,
                };
                if let Some((rows, places)) = rows.and_then(|rows| Some((rows, places()?))) {
                    places.in_rows(rows);
                }
                Ok(outcome)
            }
            Err(error) => match places() {
                Some(places) => Err(places.locate(error).await),
                None => Err(error),
            },
        }
    }

    /// The error of a statement that was only bound, with its place.
    pub(super) async fn located(&mut self, statement: &ParsedStatement, error: SqlError) -> SqlError {
        match self.binding.take() {
            Some(context) => self.places(statement, context).locate(error).await,
            None => error,
        }
    }

    fn places(&self, statement: &ParsedStatement, context: Arc<BindContext>) -> Places {
        let statement = (statement.text.len() <= LOCATED_BYTES_MAX).then(|| Arc::new(statement.clone()));
        Places { statement, context, threads: self.database.batch().threads().clone() }
    }
}
