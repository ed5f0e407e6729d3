//! Statements about jobs: `CANCEL`, `STOP` and `START JOB`, savepoints.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{JobControl, Statement};

use super::cursor::Cursor;
use super::fail::Result;

/// `CANCEL JOB id`
pub(super) fn cancel(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["CANCEL", "JOB"])?;
    Ok(Statement::Job(JobControl::Cancel(number(cursor)?)))
}

/// `STOP JOB id [WITH SAVEPOINT 'name']`
pub(super) fn stop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["STOP", "JOB"])?;
    let job = number(cursor)?;
    let savepoint = if cursor.accept(&["WITH", "SAVEPOINT"]) { Some(cursor.string()?) } else { None };
    Ok(Statement::Job(JobControl::Stop { job, savepoint }))
}

/// `START JOB id [FROM SAVEPOINT 'name']`
pub(super) fn start(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["START", "JOB"])?;
    let job = number(cursor)?;
    let savepoint = if cursor.accept(&["FROM", "SAVEPOINT"]) { Some(cursor.string()?) } else { None };
    Ok(Statement::Job(JobControl::Start { job, savepoint }))
}

/// `CREATE SAVEPOINT 'name' FOR JOB id`
pub(super) fn create_savepoint(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["SAVEPOINT"])?;
    let name = cursor.string()?;
    cursor.expect(&["FOR", "JOB"])?;
    Ok(Statement::Job(JobControl::CreateSavepoint { job: number(cursor)?, name }))
}

/// `DROP SAVEPOINT [IF EXISTS] 'name'`
pub(super) fn drop_savepoint(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DROP", "SAVEPOINT"])?;
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    Ok(Statement::Job(JobControl::DropSavepoint { name: cursor.string()?, if_exists }))
}

/// The id of a job; what it is is looked at when the statement is bound.
pub(super) fn number(cursor: &mut Cursor<'_>) -> Result<String> {
    let start = cursor.byte();
    match cursor.peek(0) {
        Token::SingleQuotedString(_) => cursor.string(),
        Token::Minus | Token::Number(..) | Token::Word(_) => {
            cursor.take(&Token::Minus);
            cursor.parser.advance_token();
            Ok(cursor.text_from(start).to_owned())
        }
        _ => cursor.unexpected("the number of a job"),
    }
}
