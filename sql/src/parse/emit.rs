//! The `EMIT` clause at the end of a query: when the results of its windows come out.
//!
//! ```text
//! EMIT item [[,|AND] item …]
//! item: ON WINDOW CLOSE | ON UPDATE | EVERY interval | ALLOW LATENESS interval
//! ```
//! `ALLOW LATENESS` may stand alone as well. `sqlparser` has no place for the clause, so it stands among the query's
//! settings, under the names of [`keys`]; [`crate::query`] takes it out again.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::error::{SqlError, SqlState};

use super::cursor::Cursor;
use super::fail::{Fail, Result};
use super::words;

/// The names of the settings. Their spans are that of the clause.
pub(crate) mod keys {
    /// Whether there are results before the close: the word `UPDATE`, or an interval.
    pub(crate) const EARLY: &str = "emit.early";
    /// Results come out at the close only: said, and the default.
    pub(crate) const CLOSE: &str = "emit.close";
    /// The allowed lateness: an interval.
    pub(crate) const LATENESS: &str = "emit.lateness";
}

const EXCLUDED: &str = "EMIT ON UPDATE and EMIT ON WINDOW CLOSE exclude one another";

/// Whether the word that was just taken begins the clause, and is no alias.
pub(super) fn begun(parser: &Parser<'_>) -> bool {
    let word = &parser.get_current_token().token;
    let follows = |next: &[&[&str]]| next.iter().any(|next| words::ahead(parser, next));
    (words::spells(word, "EMIT") && follows(&[&["ON", "WINDOW"], &["ON", "UPDATE"], &["EVERY"], &["ALLOW"]]))
        || (words::spells(word, "ALLOW") && follows(&[&["LATENESS"]]))
}

/// Takes the clause, where it comes next, into the query.
pub(super) fn clause(cursor: &mut Cursor<'_>, query: &mut sp::Query) -> Result<()> {
    if !cursor.ahead(&["EMIT"]) && !cursor.ahead(&["ALLOW", "LATENESS"]) {
        return Ok(());
    }
    let span = cursor.parser.peek_token_ref().span;
    let position = cursor.position();
    cursor.accept(&["EMIT"]);
    let mut settings: Vec<sp::Setting> = Vec::new();
    loop {
        let (key, value) = item(cursor)?;
        let known = |name: &str| settings.iter().any(|setting| setting.key.value == name);
        let wrong = match key {
            _ if known(key) => Some("EMIT says the same thing twice"),
            keys::CLOSE if is_update(&settings) => Some(EXCLUDED),
            keys::EARLY if known(keys::CLOSE) && is_word(&value) => Some(EXCLUDED),
            _ => None,
        };
        if let Some(message) = wrong {
            let error = SqlError::new(SqlState::SYNTAX_ERROR, message);
            return Err(Fail::Refused(error.at(position)));
        }
        settings.push(sp::Setting { key: sp::Ident { value: key.to_owned(), quote_style: None, span }, value });
        let more = cursor.take(&Token::Comma) || cursor.accept(&["AND"]);
        if !more && !cursor.ahead_any(&["ON", "EVERY", "ALLOW"]) {
            break;
        }
    }
    query.settings = Some(settings);
    Ok(())
}

/// `EMIT ON UPDATE` was said.
fn is_update(settings: &[sp::Setting]) -> bool {
    settings.iter().any(|setting| setting.key.value == keys::EARLY && is_word(&setting.value))
}

fn is_word(value: &sp::Expr) -> bool {
    matches!(value, sp::Expr::Identifier(_))
}

fn item(cursor: &mut Cursor<'_>) -> Result<(&'static str, sp::Expr)> {
    let word = |text: &str| sp::Expr::Identifier(sp::Ident::new(text));
    if cursor.accept(&["ON", "WINDOW", "CLOSE"]) {
        return Ok((keys::CLOSE, word("CLOSE")));
    }
    if cursor.accept(&["ON", "UPDATE"]) {
        return Ok((keys::EARLY, word("UPDATE")));
    }
    if cursor.accept(&["EVERY"]) {
        return Ok((keys::EARLY, cursor.expr()?));
    }
    if cursor.accept(&["ALLOW", "LATENESS"]) {
        return Ok((keys::LATENESS, cursor.expr()?));
    }
    cursor.unexpected("ON WINDOW CLOSE, ON UPDATE, EVERY or ALLOW LATENESS")
}
