//! Flink's materialized tables, which are materialized views here: always fresh, so that what is said of freshness holds.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::Statement;
use crate::error::SqlError;

use super::create_table::option;
use super::create_view::{ViewKind, view_head, view_of_query};
use super::cursor::Cursor;
use super::fail::Result;

/// `CREATE MATERIALIZED TABLE [IF NOT EXISTS] t [(columns)] [COMMENT 'text'] [PARTITIONED BY (…)] [WITH (…)]
/// [FRESHNESS = INTERVAL …] [REFRESH_MODE = FULL|CONTINUOUS] AS query`, from `MATERIALIZED` on.
pub(super) fn create(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    cursor.expect(&["MATERIALIZED", "TABLE"])?;
    let head = view_head(cursor)?;
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
    let kind = ViewKind { materialized: true, temporary: false, or_replace };
    Ok(Statement::CreateView(view_of_query(cursor, kind, head)?))
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
