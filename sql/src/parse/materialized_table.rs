//! Flink's materialized tables, which are materialized views here: always fresh, so that what is said of freshness holds.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{CreateView, Statement};
use crate::error::SqlError;

use super::create_table::option;
use super::create_view::{comment, view_column};
use super::cursor::Cursor;
use super::fail::Result;

/// `CREATE MATERIALIZED TABLE [IF NOT EXISTS] t [(columns)] [COMMENT 'text'] [PARTITIONED BY (…)] [WITH (…)]
/// [FRESHNESS = INTERVAL …] [REFRESH_MODE = FULL|CONTINUOUS] AS query`, from `MATERIALIZED` on.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    cursor.expect(&["MATERIALIZED", "TABLE"])?;
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    let listed = if *cursor.peek(0) == Token::LParen { cursor.list(view_column)? } else { Vec::new() };
    let (columns, column_comments) = listed.into_iter().unzip();
    let comment = comment(cursor)?;
    // Partitions and options are for the files that Flink keeps the rows in.
    if cursor.accept(&["PARTITIONED", "BY"]) {
        cursor.list(Cursor::ident)?;
    }
    if cursor.accept(&["WITH"]) {
        cursor.list(option)?;
    }
    if cursor.accept(&["FRESHNESS"]) {
        cursor.need(&Token::Eq)?;
        cursor.expr()?;
    }
    if cursor.accept(&["REFRESH_MODE"]) {
        cursor.need(&Token::Eq)?;
        if !cursor.accept(&["CONTINUOUS"]) {
            cursor.expect(&["FULL"])?;
        }
    }
    cursor.expect(&["AS"])?;
    let start = cursor.byte();
    let query = cursor.query()?;
    let query_text = cursor.text_from(start).to_owned();
    Ok(Statement::CreateView(CreateView {
        name,
        materialized: true,
        temporary: false,
        or_replace,
        if_not_exists,
        columns,
        column_comments,
        comment,
        query,
        query_text,
    }))
}

/// `ALTER MATERIALIZED TABLE t {SUSPEND | RESUME | REFRESH …}`, from the name's end on: what has no meaning for a view that
/// is always fresh.
pub(super) fn refuse_refresh(cursor: &Cursor<'_>) -> Result<()> {
    for (word, instead) in [
        ("SUSPEND", "STOP JOB stops its job until START JOB; SHOW JOBS lists the numbers"),
        ("RESUME", "START JOB starts its job again; SHOW JOBS lists the numbers"),
        ("REFRESH", "a materialized table is always fresh"),
    ] {
        if cursor.ahead(&[word]) {
            let error = SqlError::unsupported(format!("ALTER MATERIALIZED TABLE … {word} is not supported"));
            return cursor.refused(error.with_hint(instead));
        }
    }
    Ok(())
}
