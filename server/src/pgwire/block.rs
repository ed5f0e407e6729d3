//! The transaction block of a connection. There are no transactions: statements take effect one by one, and `ROLLBACK` undoes
//! none of them. A client that relies on it is warned.

use millstream_sql::ast::{Effect, ParsedStatement, Statement};
use millstream_sql::{SqlError, SqlState};
use pgwire::messages::response::TransactionStatus;

use crate::session::Notice;

/// Where a connection is between `BEGIN` and the end of the block.
pub(super) struct Block {
    pub(super) status: TransactionStatus,
    /// A statement of the block has changed something.
    changed: bool,
}

impl Block {
    /// No block is open.
    pub(super) fn new() -> Self {
        Self { status: TransactionStatus::Idle, changed: false }
    }

    /// A statement has failed.
    pub(super) fn fail(&mut self) {
        if self.status == TransactionStatus::Transaction {
            self.status = TransactionStatus::Error;
        }
    }

    /// Whether the statement may run now: after an error in a block only its end may.
    ///
    /// # Errors
    /// 25P02 where it may not.
    pub(super) fn check(&self, statement: &ParsedStatement) -> Result<(), SqlError> {
        let ends = matches!(statement.ast, Statement::Transaction(_));
        if self.status != TransactionStatus::Error || ends {
            return Ok(());
        }
        let message = "current transaction is aborted, commands ignored until end of transaction block";
        Err(SqlError::new(SqlState("25P02"), message))
    }

    /// A word that begins or ends a block was carried out. Its tag as the client is to see it, and a warning where the block
    /// is given up and something was changed in it.
    pub(super) fn word(&mut self, word: &str, tag: String) -> (String, Option<Notice>) {
        let failed = self.status == TransactionStatus::Error;
        match word {
            "BEGIN" | "START TRANSACTION" => {
                *self = Self { status: TransactionStatus::Transaction, changed: false };
                (tag, None)
            }
            _ => {
                let undoes = failed || word == "ROLLBACK";
                let warning = (undoes && self.changed).then(|| {
                    Notice::warning("statements take effect one by one: those before ROLLBACK were not undone")
                });
                *self = Self::new();
                (if failed { "ROLLBACK".to_owned() } else { tag }, warning)
            }
        }
    }

    /// A statement was carried out.
    pub(super) fn note(&mut self, statement: &Statement) {
        self.changed |= self.status != TransactionStatus::Idle && statement.effect() != Effect::Nothing;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn run(script: &str) -> Vec<(String, bool)> {
        let mut block = Block::new();
        let mut ends = Vec::new();
        for statement in millstream_sql::parse(script).unwrap() {
            match &statement.ast {
                Statement::Transaction(word) => {
                    let (tag, warning) = block.word(word, (*word).to_owned());
                    ends.push((tag, warning.is_some()));
                }
                other => block.note(other),
            }
        }
        ends
    }

    #[test]
    fn giving_up_a_block_warns_of_what_stays() {
        let ends = |script| run(script).pop().unwrap();
        assert_eq!(ends("BEGIN; INSERT INTO t VALUES (1); ROLLBACK"), ("ROLLBACK".to_owned(), true));
        assert_eq!(ends("BEGIN; COPY t TO 'f.csv'; ABORT"), ("ROLLBACK".to_owned(), true));
        assert_eq!(ends("BEGIN; SELECT 1; ROLLBACK"), ("ROLLBACK".to_owned(), false));
        assert_eq!(ends("INSERT INTO t VALUES (1); BEGIN; ROLLBACK"), ("ROLLBACK".to_owned(), false));
        assert_eq!(ends("BEGIN; INSERT INTO t VALUES (1); COMMIT"), ("COMMIT".to_owned(), false));
    }

    #[test]
    fn a_failed_block_is_given_up_at_its_commit() {
        let mut block = Block::new();
        block.word("BEGIN", "BEGIN".to_owned());
        let statements = millstream_sql::parse("INSERT INTO t VALUES (1)").unwrap();
        statements.iter().for_each(|statement| block.note(&statement.ast));
        block.fail();
        assert!(statements.iter().all(|statement| block.check(statement).is_err()));
        let (tag, warning) = block.word("COMMIT", "COMMIT".to_owned());
        assert_eq!((tag.as_str(), warning.is_some()), ("ROLLBACK", true));
    }
}
