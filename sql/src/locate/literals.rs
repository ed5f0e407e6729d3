//! The literal that a message quotes.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::VisitorMut;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::ast::Part;

/// Numbers with fewer digits stand in messages for other reasons.
const DIGITS_MIN: usize = 3;

/// Where the only literal stands that a message quotes: a text in quotes, or a number as a word.
pub(super) fn quoted(message: &str, parts: Vec<Part<'_>>) -> Option<Span> {
    let mut literals = Literals { message, found: Vec::new() };
    for mut part in parts {
        let ControlFlow::Continue(()) = part.visit(&mut literals);
    }
    match literals.found.as_slice() {
        [only] => Some(*only),
        _ => None,
    }
}

struct Literals<'a> {
    message: &'a str,
    found: Vec<Span>,
}

impl VisitorMut for Literals<'_> {
    type Break = Infallible;

    fn post_visit_value(&mut self, value: &mut sp::ValueWithSpan) -> ControlFlow<Infallible> {
        let quotes = match &value.value {
            sp::Value::Number(number, _) => has_number(self.message, number),
            sp::Value::SingleQuotedString(text)
            | sp::Value::EscapedStringLiteral(text)
            | sp::Value::NationalStringLiteral(text)
            | sp::Value::UnicodeStringLiteral(text) => has_text(self.message, text),
            sp::Value::DollarQuotedString(text) => has_text(self.message, &text.value),
            _ => false,
        };
        if quotes && value.span != Span::empty() {
            self.found.push(value.span);
        }
        ControlFlow::Continue(())
    }
}

fn has_text(message: &str, text: &str) -> bool {
    ['"', '\''].iter().any(|quote| message.contains(&format!("{quote}{text}{quote}")))
}

fn has_number(message: &str, number: &str) -> bool {
    number.len() >= DIGITS_MIN
        && message.match_indices(number).any(|(start, _)| {
            let before = message.get(..start).and_then(|before| before.chars().next_back());
            let behind = message.get(start + number.len()..).and_then(|behind| behind.chars().next());
            ![before, behind].into_iter().flatten().any(|beside| beside.is_ascii_alphanumeric())
        })
}
