//! Statements around rows: `INSERT`, `UPDATE`, `DELETE`, `SUBSCRIBE`, `EXPLAIN`.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Change, Changes, Insert, OnConflict, Statement, SubscribeTo};
use crate::error::{SqlError, SqlState};
use crate::query::option;

use super::cursor::Cursor;
use super::fail::{Fail, Result};
use super::hint::OPTIONS_MARK;
use super::statement::statement;
use super::{show, words};

/// `INSERT INTO t [/*+ OPTIONS(…) */] [PARTITION (a = 1, …)] [(columns)] query`
pub(super) fn insert(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["INSERT"])?;
    if cursor.ahead(&["OVERWRITE"]) {
        let error = SqlError::unsupported("INSERT OVERWRITE is not supported");
        return cursor
            .refused(error.with_hint("TRUNCATE TABLE empties a table of Millstream's own; files are only added to"));
    }
    cursor.expect(&["INTO"])?;
    cursor.accept(&["TABLE"]);
    let table = cursor.name()?;
    let options = options(cursor)?;
    let partition = if cursor.accept(&["PARTITION"]) { cursor.list(show::partition_value)? } else { Vec::new() };
    let listed = *cursor.peek(0) == Token::LParen && !cursor.query_ahead();
    let columns = if listed { cursor.list(Cursor::ident)? } else { Vec::new() };
    if cursor.ahead(&["DEFAULT", "VALUES"]) {
        return cursor.refused(SqlError::unsupported("INSERT … DEFAULT VALUES is not supported"));
    }
    let query = cursor.query()?;
    let on_conflict = if cursor.accept(&["ON", "CONFLICT"]) { Some(on_conflict(cursor)?) } else { None };
    no_returning(cursor)?;
    Ok(Statement::Insert(Insert { table, options, columns, partition, query, on_conflict }))
}

/// The options of a table, as [`OPTIONS_MARK`] has them.
fn options(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String)>> {
    let mark = Token::SingleQuotedString(OPTIONS_MARK.to_owned());
    let begin = cursor.position();
    if *cursor.peek(0) != Token::LParen || *cursor.peek(1) != mark {
        return Ok(Vec::new());
    }
    let written = cursor.list(Cursor::expr)?;
    let options = written.iter().skip(1).map(option).collect::<Option<Vec<_>>>();
    let refused = || SqlError::new(SqlState::SYNTAX_ERROR, "OPTIONS takes pairs 'key' = 'value'").at(begin);
    Ok(options.ok_or_else(refused)?)
}

/// `EXECUTE STATEMENT SET BEGIN INSERT …; … END`, `BEGIN STATEMENT SET; INSERT …; … END`; without its end, where a client
/// sends each statement by itself, its beginning.
pub(super) fn statement_set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.accept(&["EXECUTE"]) {
        cursor.expect(&["STATEMENT", "SET", "BEGIN"])?;
    } else {
        cursor.expect(&["BEGIN", "STATEMENT", "SET"])?;
        if *cursor.peek(0) == Token::EOF {
            return Ok(Statement::OpenSet(Vec::new()));
        }
        cursor.need(&Token::SemiColon)?;
    }
    inserts_to_end(cursor)
}

/// `INSERT …; … END`: what stands behind the beginning of a statement set.
fn inserts_to_end(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let mut inserts = Vec::new();
    while !cursor.accept(&["END"]) {
        if *cursor.peek(0) == Token::EOF {
            return Ok(Statement::OpenSet(inserts));
        }
        if !cursor.ahead(&["INSERT"]) {
            return cursor.unexpected("INSERT or END");
        }
        let position = cursor.position();
        match insert(cursor)? {
            Statement::Insert(Insert { on_conflict: None, .. }) if inserts.len() >= SET_MAX => {
                let message = format!("a statement set can have {SET_MAX} statements");
                return Err(Fail::Refused(SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, message).at(position)));
            }
            Statement::Insert(insert @ Insert { on_conflict: None, .. }) => inserts.push(insert),
            _ => {
                let error = SqlError::unsupported("ON CONFLICT in a statement set is not supported");
                return Err(Fail::Refused(error.at(position)));
            }
        }
        if *cursor.peek(0) != Token::EOF {
            cursor.need(&Token::SemiColon)?;
        }
    }
    if inserts.is_empty() {
        return cursor.unexpected("INSERT");
    }
    Ok(Statement::StatementSet(inserts))
}

/// `INSERT`s in a statement set.
const SET_MAX: usize = 1_000;

fn no_returning(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.ahead(&["RETURNING"]) {
        return cursor.refused(SqlError::unsupported("RETURNING is not supported"));
    }
    Ok(())
}

/// `[(columns)] DO NOTHING | DO UPDATE SET …`
fn on_conflict(cursor: &mut Cursor<'_>) -> Result<OnConflict> {
    let columns = if *cursor.peek(0) == Token::LParen { cursor.list(Cursor::ident)? } else { Vec::new() };
    cursor.expect(&["DO"])?;
    if cursor.accept(&["NOTHING"]) {
        return Ok(OnConflict { columns, update: None });
    }
    cursor.expect(&["UPDATE"])?;
    Ok(OnConflict { columns, update: Some(changes(cursor)?) })
}

/// `SET column = expression, … [WHERE condition]`
fn changes(cursor: &mut Cursor<'_>) -> Result<Changes> {
    cursor.expect(&["SET"])?;
    let assignments = cursor.separated(|cursor| {
        let column = cursor.ident()?;
        cursor.need(&Token::Eq)?;
        Ok((column, cursor.expr()?))
    })?;
    Ok(Changes { assignments, selection: selection(cursor)? })
}

fn selection(cursor: &mut Cursor<'_>) -> Result<Option<datafusion::sql::sqlparser::ast::Expr>> {
    if cursor.accept(&["WHERE"]) { Ok(Some(cursor.expr()?)) } else { Ok(None) }
}

/// `UPDATE table [AS alias] SET …`
pub(super) fn update(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["UPDATE"])?;
    let table = cursor.name()?;
    let alias = alias(cursor, "SET")?;
    let changes = changes(cursor)?;
    no_returning(cursor)?;
    Ok(Statement::Change(Change { table, alias, changes, delete: false, truncate: false }))
}

/// `DELETE FROM table [AS alias] [WHERE …]`
pub(super) fn delete(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DELETE"])?;
    cursor.expect(&["FROM"])?;
    let table = cursor.name()?;
    let alias = alias(cursor, "WHERE")?;
    let changes = Changes { assignments: Vec::new(), selection: selection(cursor)? };
    no_returning(cursor)?;
    Ok(Statement::Change(Change { table, alias, changes, delete: true, truncate: false }))
}

/// The name of a table in a statement, before the word that comes next.
fn alias(cursor: &mut Cursor<'_>, next: &str) -> Result<Option<datafusion::sql::sqlparser::ast::Ident>> {
    let said = cursor.accept(&["AS"]);
    let word = matches!(cursor.peek(0), Token::Word(_)) && !cursor.ahead(&[next]) && !cursor.ahead(&["RETURNING"]);
    if said || word { Ok(Some(cursor.ident()?)) } else { Ok(None) }
}

/// `SUBSCRIBE [TO] view | (query) | query`
pub(super) fn subscribe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["SUBSCRIBE"])?;
    cursor.accept(&["TO"]);
    let to =
        if cursor.query_ahead() { SubscribeTo::Query(cursor.query()?) } else { SubscribeTo::Relation(cursor.name()?) };
    Ok(Statement::Subscribe(to))
}

/// `EXPLAIN [words | (options)] statement`, also of `STATEMENT SET BEGIN INSERT …; … END`.
pub(super) fn explain(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["EXPLAIN"])?;
    let mut options = Vec::new();
    if *cursor.peek(0) == Token::LParen && !cursor.query_ahead() {
        options = cursor.list(explain_option)?.into_iter().flatten().collect();
    } else {
        let starts = [
            "INSERT",
            "CREATE",
            "ALTER",
            "SUBSCRIBE",
            "EXPLAIN",
            "DROP",
            "SET",
            "SHOW",
            "UPDATE",
            "DELETE",
            "STATEMENT",
            "EXECUTE",
        ];
        while !cursor.query_ahead() && !cursor.ahead_any(&starts) {
            options.push(option_word(cursor)?);
            cursor.take(&Token::Comma);
        }
    }
    if cursor.ahead(&["EXPLAIN"]) {
        return cursor.unexpected("a statement to explain");
    }
    let explained = if cursor.accept(&["STATEMENT"]) {
        cursor.expect(&["SET", "BEGIN"])?;
        inserts_to_end(cursor)?
    } else {
        statement(cursor)?
    };
    Ok(Statement::Explain { statement: Box::new(explained), options })
}

/// One word, upper case.
fn option_word(cursor: &mut Cursor<'_>) -> Result<String> {
    let word = match cursor.peek(0) {
        Token::Word(word) if word.quote_style.is_none() => word.value.to_ascii_uppercase(),
        _ => return cursor.unexpected("a statement to explain"),
    };
    cursor.parser.advance_token();
    Ok(word)
}

/// `NAME [value]` as PostgreSQL writes options; `None` where it is switched off.
fn explain_option(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    let name = option_word(cursor)?;
    if matches!(cursor.peek(0), Token::Comma | Token::RParen) {
        return Ok(Some(name));
    }
    let on = ["TRUE", "ON", "1"].iter().any(|word| is_value(cursor.peek(0), word));
    let off = ["FALSE", "OFF", "0"].iter().any(|word| is_value(cursor.peek(0), word));
    if on || off {
        cursor.parser.advance_token();
        return Ok(on.then_some(name));
    }
    Ok(Some(format!("{name} {}", option_word(cursor)?)))
}

fn is_value(token: &Token, word: &str) -> bool {
    words::spells(token, word) || matches!(token, Token::Number(number, _) if number == word)
}
