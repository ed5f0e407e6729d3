//! `ALTER TABLE`, `ALTER VIEW` and `ALTER MATERIALIZED VIEW`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{AlterAction, AlterTable, AlterView, ColumnPlace, CreateTable, Statement};
use crate::error::SqlError;

use super::create_table::{element, empty, option};
use super::cursor::Cursor;
use super::fail::Result;
use super::materialized_table::refuse_refresh;

/// `ALTER TABLE [IF EXISTS] t …`, `ALTER VIEW v …`, `ALTER MATERIALIZED VIEW v AS …`
pub(super) fn alter(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["ALTER"])?;
    if cursor.accept(&["VIEW"]) {
        return view(cursor);
    }
    if cursor.accept(&["MATERIALIZED", "VIEW"]) || cursor.accept(&["MATERIALIZED", "TABLE"]) {
        return materialized_view(cursor);
    }
    cursor.expect(&["TABLE"])?;
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let name = cursor.name()?;
    let actions = if cursor.accept(&["RENAME"]) {
        vec![rename(cursor)?]
    } else if cursor.accept(&["SET"]) {
        vec![AlterAction::Set(cursor.list(option)?)]
    } else if cursor.accept(&["RESET"]) {
        vec![AlterAction::Reset(cursor.list(Cursor::string)?)]
    } else if cursor.accept(&["ADD"]) {
        elements(cursor, false)?
    } else if cursor.accept(&["MODIFY"]) {
        elements(cursor, true)?
    } else if cursor.accept(&["DROP"]) {
        drop(cursor)?
    } else {
        return cursor.unexpected("RENAME, SET, RESET, ADD, MODIFY or DROP");
    };
    Ok(Statement::AlterTable(AlterTable { name, if_exists, actions }))
}

/// From the name of the view on.
fn view(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let name = cursor.name()?;
    if cursor.accept(&["RENAME"]) {
        cursor.expect(&["TO"])?;
        let to = cursor.ident()?;
        return Ok(Statement::AlterView(AlterView::Rename { name, to, if_exists }));
    }
    let (query, query_text) = new_query(cursor)?;
    Ok(Statement::AlterView(AlterView::Query { name, materialized: false, query, query_text }))
}

/// From the name of the materialised view on.
fn materialized_view(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let name = cursor.name()?;
    refuse_refresh(cursor)?;
    if !cursor.ahead(&["AS"]) {
        let error = SqlError::unsupported("ALTER MATERIALIZED VIEW can only give the view another query");
        return cursor.refused(error.with_hint("write ALTER MATERIALIZED VIEW v AS SELECT …"));
    }
    let (query, query_text) = new_query(cursor)?;
    Ok(Statement::AlterView(AlterView::Query { name, materialized: true, query, query_text }))
}

/// `AS query`, and the text of the query.
fn new_query(cursor: &mut Cursor<'_>) -> Result<(Box<sp::Query>, String)> {
    cursor.expect(&["AS"])?;
    let start = cursor.byte();
    let query = cursor.query()?;
    Ok((query, cursor.text_from(start).to_owned()))
}

/// `RENAME TO t`, `RENAME [COLUMN] a TO b`
fn rename(cursor: &mut Cursor<'_>) -> Result<AlterAction> {
    if cursor.accept(&["TO"]) {
        return Ok(AlterAction::Rename(cursor.ident()?));
    }
    if !matches!(cursor.peek(1), Token::Word(word) if word.value.eq_ignore_ascii_case("TO")) {
        cursor.accept(&["COLUMN"]);
    }
    let from = cursor.ident()?;
    cursor.expect(&["TO"])?;
    Ok(AlterAction::RenameColumn(from, cursor.ident()?))
}

/// What is added or modified: one element, or several in parentheses.
fn elements(cursor: &mut Cursor<'_>, modify: bool) -> Result<Vec<AlterAction>> {
    if *cursor.peek(0) != Token::LParen {
        return Ok(vec![placed(cursor, modify)?]);
    }
    cursor.list(|cursor| placed(cursor, modify))
}

/// `[COLUMN] column definition [FIRST | AFTER column]`, a watermark or a primary key.
fn placed(cursor: &mut Cursor<'_>, modify: bool) -> Result<AlterAction> {
    if cursor.ahead(&["COLUMN"]) && matches!(cursor.peek(1), Token::Word(_)) {
        cursor.accept(&["COLUMN"]);
        cursor.accept(&["IF", "NOT", "EXISTS"]);
    }
    let mut table: CreateTable = empty();
    element(cursor, &mut table)?;
    let place = if cursor.accept(&["FIRST"]) {
        ColumnPlace::First
    } else if cursor.accept(&["AFTER"]) {
        ColumnPlace::After(cursor.ident()?)
    } else {
        ColumnPlace::Same
    };
    let CreateTable { mut columns, watermark, primary_key, .. } = table;
    Ok(AlterAction::Put {
        modify,
        column: columns.pop().map(Box::new),
        watermark: watermark.map(Box::new),
        primary_key,
        place,
    })
}

/// `DROP column`, `DROP (a, b)`, `DROP COLUMN a`, `DROP PRIMARY KEY`, `DROP CONSTRAINT c`, `DROP WATERMARK`
fn drop(cursor: &mut Cursor<'_>) -> Result<Vec<AlterAction>> {
    if *cursor.peek(0) == Token::LParen {
        return Ok(cursor.list(Cursor::ident)?.into_iter().map(AlterAction::DropColumn).collect());
    }
    if cursor.accept(&["PRIMARY", "KEY"]) {
        return Ok(vec![AlterAction::DropPrimaryKey]);
    }
    if cursor.ahead(&["CONSTRAINT"]) && matches!(cursor.peek(1), Token::Word(_)) {
        cursor.accept(&["CONSTRAINT"]);
        cursor.ident()?;
        return Ok(vec![AlterAction::DropPrimaryKey]);
    }
    if cursor.ahead(&["WATERMARK"]) && *cursor.peek(1) == Token::EOF {
        cursor.accept(&["WATERMARK"]);
        return Ok(vec![AlterAction::DropWatermark]);
    }
    if matches!(cursor.peek(1), Token::Word(_)) {
        cursor.accept(&["COLUMN"]);
    }
    Ok(vec![AlterAction::DropColumn(cursor.ident()?)])
}
