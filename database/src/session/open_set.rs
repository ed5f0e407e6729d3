//! A statement set that comes statement by statement, as psql and other clients send a script: its `INSERT`s are kept until its
//! `END`, and then run as one.

use datafusion::scalar::ScalarValue;
use millstream_sql::ast::{ParsedStatement, Statement};
use millstream_sql::{SqlError, SqlState};

use super::{Notice, Outcome, Session};

/// A statement set whose end is still to come.
pub(super) struct OpenSet {
    /// The text up to `BEGIN`.
    begins: String,
    /// Its statements.
    kept: Vec<String>,
    /// It is not run: its plan is asked for.
    pub(super) explains: bool,
}

/// Statements that are kept.
const KEPT_MAX: usize = 1_000;

impl Session {
    /// What becomes of a statement that begins a statement set or comes before its end; `None` where it is no part of one.
    pub(super) async fn in_open_set(
        &mut self,
        statement: &ParsedStatement,
        parameters: &[ScalarValue],
    ) -> Option<Result<Outcome, SqlError>> {
        let opens = match &statement.ast {
            Statement::Explain { statement, .. } => matches!(**statement, Statement::OpenSet(_)),
            other => matches!(other, Statement::OpenSet(_)),
        };
        match (&statement.ast, self.open_set.is_some()) {
            (_, false) if opens => Some(self.open(statement).await),
            (_, false) => None,
            (Statement::Insert(_), true) => Some(self.keep(statement).await),
            (Statement::Transaction("ROLLBACK"), true) => {
                self.open_set = None;
                Some(Ok(Outcome::done("ROLLBACK")))
            }
            (Statement::Transaction("COMMIT"), true) => {
                let set = self.open_set.take()?;
                Some(self.close(&set, parameters).await)
            }
            _ => {
                let message = "only INSERT and END can follow in a statement set";
                let error = SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, message);
                Some(Err(error.with_hint("END runs the set, ROLLBACK gives it up")))
            }
        }
    }

    async fn open(&mut self, statement: &ParsedStatement) -> Result<Outcome, SqlError> {
        self.bind(statement).await?;
        // Behind the word that begins it; without one the set is still empty.
        let text = statement.text.trim_end_matches(|last: char| last == ';' || last.is_whitespace());
        let upper = text.to_ascii_uppercase();
        let begin = upper.find("BEGIN").unwrap_or(0);
        let first = upper.get(begin..).and_then(|rest| rest.find("INSERT")).and_then(|start| text.get(begin + start..));
        let explains = matches!(statement.ast, Statement::Explain { .. });
        let begins = text.get(..begin + "BEGIN".len()).filter(|_| explains);
        self.open_set = Some(OpenSet {
            begins: begins.unwrap_or("EXECUTE STATEMENT SET BEGIN").to_owned(),
            kept: first.map(str::to_owned).into_iter().collect(),
            explains,
        });
        let what = if explains { "its plan comes at END" } else { "its statements run at END" };
        Ok(Outcome::done("BEGIN").with_notice(Notice::info(format!("statement set begun: {what}"))))
    }

    async fn keep(&mut self, statement: &ParsedStatement) -> Result<Outcome, SqlError> {
        self.bind(statement).await?;
        let kept = self.open_set.as_mut().map(|set| &mut set.kept);
        let Some(kept) = kept.filter(|kept| kept.len() < KEPT_MAX) else {
            let message = format!("a statement set can have {KEPT_MAX} statements");
            return Err(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message));
        };
        kept.push(statement.text.clone());
        Ok(Outcome::done("INSERT 0 0").with_notice(Notice::info("kept until the END of the statement set".to_owned())))
    }

    async fn close(&mut self, set: &OpenSet, parameters: &[ScalarValue]) -> Result<Outcome, SqlError> {
        let text = format!("{}\n{};\nEND", set.begins, set.kept.join(";\n"));
        match millstream_sql::parse(&text)?.as_slice() {
            [whole] if !set.kept.is_empty() => self.execute_whole(whole, parameters).await,
            _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "the statement set has no statements")),
        }
    }
}
