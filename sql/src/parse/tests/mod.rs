//! The parser on text: what statements become, what errors say and where, and that no input is too odd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod errors;
mod nexmark;
mod soup;
mod statements;

use crate::ast::Statement;

/// The only statement of a text.
fn one(text: &str) -> Statement {
    let mut statements = super::script(text).unwrap_or_else(|error| panic!("{text}\n{:?}", error.parts()));
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).ast
}
