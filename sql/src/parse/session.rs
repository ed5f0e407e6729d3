//! Statements about the session: `SET`, `RESET`, transactions.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Show, Statement};
use crate::error::SqlError;

use super::cursor::Cursor;
use super::fail::Result;

/// `SET [SESSION|LOCAL] name {=|TO} value`, `SET 'name' = 'value'`, `SET TIME ZONE value`; alone, it shows all.
pub(super) fn set(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["SET"])?;
    if *cursor.peek(0) == Token::EOF {
        return Ok(Statement::Show(Show::All));
    }
    if cursor.accept(&["TRANSACTION"]) || cursor.accept(&["SESSION", "CHARACTERISTICS"]) {
        skip(cursor);
        return Ok(Statement::Acknowledge("SET"));
    }
    if (cursor.ahead(&["SESSION"]) || cursor.ahead(&["LOCAL"])) && !assigned(cursor.peek(1)) {
        cursor.parser.advance_token();
    }
    if cursor.accept(&["TIME", "ZONE"]) {
        let value = if cursor.accept(&["LOCAL"]) { None } else { value(cursor)? };
        return Ok(Statement::Set { name: "TimeZone".to_owned(), value });
    }
    if cursor.accept(&["NAMES"]) {
        return Ok(Statement::Set { name: "client_encoding".to_owned(), value: value(cursor)? });
    }
    let name = setting(cursor)?;
    if !cursor.take(&Token::Eq) {
        cursor.expect(&["TO"])?;
    }
    Ok(Statement::Set { name, value: value(cursor)? })
}

/// Whether a name of a setting ends here.
fn assigned(token: &Token) -> bool {
    matches!(token, Token::Eq | Token::EOF) || super::words::spells(token, "TO")
}

/// The name of a setting: a string, a quoted name, or words with dots and dashes between them.
pub(super) fn setting(cursor: &mut Cursor<'_>) -> Result<String> {
    if matches!(cursor.peek(0), Token::SingleQuotedString(_)) {
        return cursor.string();
    }
    let mut name = cursor.ident()?.value;
    while matches!(cursor.peek(0), Token::Period | Token::Minus) {
        name.push(if cursor.take(&Token::Period) { '.' } else { '-' });
        cursor.take(&Token::Minus);
        name.push_str(&cursor.ident()?.value);
    }
    Ok(name)
}

/// A value or several; `None` for `DEFAULT`.
fn value(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept(&["DEFAULT"]) {
        return Ok(None);
    }
    Ok(Some(cursor.separated(one_value)?.join(", ")))
}

/// A value: a string, a number, a word.
pub(super) fn one_value(cursor: &mut Cursor<'_>) -> Result<String> {
    let minus = cursor.take(&Token::Minus);
    let start = cursor.byte();
    match cursor.peek(0) {
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::DollarQuotedString(_) if !minus => {
            cursor.string()
        }
        Token::Number(..) => {
            cursor.parser.advance_token();
            Ok(format!("{}{}", if minus { "-" } else { "" }, cursor.text_from(start)))
        }
        Token::Word(_) if !minus => setting(cursor),
        _ => cursor.unexpected("a value"),
    }
}

/// `RESET name`, `RESET 'name'`, `RESET ALL`, `RESET`
pub(super) fn reset(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["RESET"])?;
    if *cursor.peek(0) == Token::EOF || cursor.accept(&["ALL"]) {
        return Ok(Statement::Reset(None));
    }
    if cursor.accept(&["TIME", "ZONE"]) {
        return Ok(Statement::Reset(Some("TimeZone".to_owned())));
    }
    Ok(Statement::Reset(Some(setting(cursor)?)))
}

/// `BEGIN`, `START TRANSACTION`, `COMMIT`, `END`, `ROLLBACK`, `ABORT` with what may follow.
pub(super) fn transaction(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.ahead(&["ROLLBACK", "TO"]) || cursor.ahead(&["ROLLBACK", "TRANSACTION", "TO"]) {
        return cursor.refused(SqlError::unsupported("savepoints are not supported"));
    }
    let tag = if cursor.accept(&["BEGIN"]) {
        "BEGIN"
    } else if cursor.accept(&["START"]) {
        cursor.expect(&["TRANSACTION"])?;
        "START TRANSACTION"
    } else if cursor.accept(&["COMMIT"]) || cursor.accept(&["END"]) {
        "COMMIT"
    } else {
        cursor.parser.advance_token();
        "ROLLBACK"
    };
    if !cursor.accept(&["TRANSACTION"]) {
        cursor.accept(&["WORK"]);
    }
    modes(cursor)?;
    Ok(Statement::Transaction(tag))
}

/// `ISOLATION LEVEL …`, `READ ONLY`, `[NOT] DEFERRABLE`, `AND [NO] CHAIN`: words with commas between them.
fn modes(cursor: &mut Cursor<'_>) -> Result<()> {
    let known = [
        "ISOLATION",
        "LEVEL",
        "SERIALIZABLE",
        "REPEATABLE",
        "READ",
        "COMMITTED",
        "UNCOMMITTED",
        "WRITE",
        "ONLY",
        "NOT",
        "DEFERRABLE",
        "AND",
        "NO",
        "CHAIN",
    ];
    while known.iter().any(|word| cursor.accept(&[word])) || cursor.take(&Token::Comma) {}
    cursor.end()
}

/// `DISCARD ALL`, `UNLISTEN …`: what a driver says when it gives a connection back.
pub(super) fn acknowledge(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let tag = if cursor.accept(&["DISCARD"]) {
        match ["ALL", "PLANS", "SEQUENCES", "TEMP", "TEMPORARY"].iter().find(|word| cursor.ahead(&[word])) {
            Some(&"ALL") => "DISCARD ALL",
            Some(&"PLANS") => "DISCARD PLANS",
            Some(&"SEQUENCES") => "DISCARD SEQUENCES",
            Some(_) => "DISCARD TEMP",
            None => return cursor.unexpected("ALL"),
        }
    } else {
        cursor.parser.advance_token();
        "UNLISTEN"
    };
    if !cursor.take(&Token::Mul) {
        cursor.ident()?;
    }
    Ok(Statement::Acknowledge(tag))
}

/// Takes the rest of a statement whose words do not matter.
fn skip(cursor: &mut Cursor<'_>) {
    while *cursor.peek(0) != Token::EOF {
        cursor.parser.advance_token();
    }
}
