//! `PREPARE`, `EXECUTE`, `DEALLOCATE`, `DECLARE … CURSOR`, `FETCH`, `MOVE` and `CLOSE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Kept, ParsedStatement, Statement};
use crate::error::SqlError;

use super::cursor::Cursor;
use super::fail::{Fail, Result};

/// `PREPARE name [(type, …)] AS statement`
pub(super) fn prepare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["PREPARE"])?;
    let name = cursor.ident()?.value;
    let mut types = Vec::new();
    if *cursor.peek(0) == Token::LParen {
        types = cursor.list(Cursor::data_type)?;
    }
    cursor.expect(&["AS"])?;
    let mut statement = rest(cursor, false)?;
    statement.parameters = types.into_iter().map(|kind| Some(kind.arrow)).collect();
    Ok(Statement::Kept(Kept::Prepare { name, statement: Box::new(statement) }))
}

/// `EXECUTE name [(value, …)]`
pub(super) fn execute(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["EXECUTE"])?;
    let name = cursor.ident()?.value;
    let mut values = None;
    if *cursor.peek(0) == Token::LParen {
        let start = cursor.byte();
        cursor.list(Cursor::expr)?;
        let written = cursor.text_from(start).trim_end();
        let written = written.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).unwrap_or_default();
        values = Some(Box::new(parsed(format!("SELECT {written}"), 0)?));
    }
    Ok(Statement::Kept(Kept::Execute { name, values }))
}

/// `DEALLOCATE [PREPARE] {name | ALL}`
pub(super) fn deallocate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DEALLOCATE"])?;
    cursor.accept(&["PREPARE"]);
    Ok(Statement::Kept(Kept::Deallocate(one_or_all(cursor)?)))
}

/// `CLOSE {name | ALL}`
pub(super) fn close(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["CLOSE"])?;
    Ok(Statement::Kept(Kept::Close(one_or_all(cursor)?)))
}

fn one_or_all(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept(&["ALL"]) { Ok(None) } else { Ok(Some(cursor.ident()?.value)) }
}

/// `DECLARE name [BINARY] [INSENSITIVE | ASENSITIVE] [[NO] SCROLL] CURSOR [{WITH | WITHOUT} HOLD] FOR query`
pub(super) fn declare(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DECLARE"])?;
    let name = cursor.ident()?.value;
    if cursor.ahead(&["SCROLL"]) {
        let error = SqlError::unsupported("a cursor reads forward only: SCROLL is not supported");
        return cursor.refused(error);
    }
    while ["BINARY", "INSENSITIVE", "ASENSITIVE"].iter().any(|word| cursor.accept(&[word]))
        || cursor.accept(&["NO", "SCROLL"])
    {}
    cursor.expect(&["CURSOR"])?;
    let hold = cursor.accept(&["WITH", "HOLD"]);
    if !hold {
        cursor.accept(&["WITHOUT", "HOLD"]);
    }
    cursor.expect(&["FOR"])?;
    let query = Box::new(rest(cursor, true)?);
    Ok(Statement::Kept(Kept::Declare { name, hold, query }))
}

/// `FETCH [NEXT | FORWARD] [n | ALL] [FROM | IN] name`, and `MOVE`
pub(super) fn fetch(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let moves = cursor.accept(&["MOVE"]);
    if !moves {
        cursor.expect(&["FETCH"])?;
    }
    let backward = ["PRIOR", "FIRST", "LAST", "ABSOLUTE", "RELATIVE", "BACKWARD"];
    if backward.iter().any(|word| cursor.ahead(&[word])) || *cursor.peek(0) == Token::Minus {
        return cursor.refused(SqlError::unsupported("a cursor reads forward only"));
    }
    let mut rows = Some(1);
    if !cursor.accept(&["NEXT"]) {
        cursor.accept(&["FORWARD"]);
        if cursor.accept(&["ALL"]) {
            rows = None;
        } else if let Token::Number(number, _) = cursor.peek(0) {
            let Ok(number) = number.parse() else { return cursor.unexpected("a number of rows") };
            rows = Some(number);
            cursor.parser.advance_token();
        }
    }
    if !cursor.accept(&["FROM"]) {
        cursor.accept(&["IN"]);
    }
    let name = cursor.ident()?.value;
    Ok(Statement::Kept(Kept::Fetch { name, rows, moves }))
}

/// The statement that the rest of the text is.
fn rest(cursor: &mut Cursor<'_>, query: bool) -> Result<ParsedStatement> {
    if query && !cursor.query_ahead() {
        return cursor.unexpected("a query");
    }
    let (start, position) = (cursor.byte(), cursor.position());
    while *cursor.peek(0) != Token::EOF {
        cursor.parser.advance_token();
    }
    parsed(cursor.text_from(start).to_owned(), position.saturating_sub(1))
}

/// The one statement of a text that stands behind so many characters.
fn parsed(text: String, before: usize) -> Result<ParsedStatement> {
    let mut statements = super::script(&text).map_err(|error| Fail::Refused(error.moved(before)))?;
    match (statements.pop(), statements.pop()) {
        (Some(statement), None) if !matches!(statement.ast, Statement::Kept(_)) => {
            Ok(ParsedStatement { offset: before, ..statement })
        }
        _ => Err(Fail::Refused(SqlError::unsupported("this statement cannot be prepared").at(before + 1))),
    }
}
