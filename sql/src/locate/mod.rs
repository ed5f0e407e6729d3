//! [`locate`]: the place in a statement that an error came from which does not say so itself.
//!
//! Neither DataFusion's planner nor the evaluation of values keeps places. So what failed is looked at once more, when it has
//! failed: where binding fails, for the smallest expression without which it does not fail so ([`bisect`]); else for the
//! smallest constant expression that fails by itself ([`constants`]), for the literal that the message quotes ([`literals`]),
//! and for the only operation of the statement that can fail so ([`operations`]). Where nothing fits or several do, the
//! error stays without a place: a wrong one is worse.

mod bisect;
mod constants;
mod literals;
mod operations;

use std::time::{Duration, Instant};

use datafusion::sql::sqlparser::tokenizer::Span;

use crate::ast::ParsedStatement;
use crate::bound::BindContext;
use crate::error::SqlError;
use crate::parse::place;

/// Bytes of text above which a statement is not looked at.
pub const LOCATED_BYTES_MAX: usize = 64 << 10;

/// How long it may take.
const TIME_MAX: Duration = Duration::from_millis(300);

/// The error with its place in the text of the statement, where it has none and one is found. `context`: what the statement
/// was bound in. It binds and evaluates parts of the statement again, and so takes up to a third of a second.
pub fn locate(error: SqlError, statement: &ParsedStatement, context: &BindContext) -> SqlError {
    if !is_of_text(&error) || statement.text.len() > LOCATED_BYTES_MAX {
        return error;
    }
    let search = Search { error: &error, context, ends: Instant::now() + TIME_MAX };
    let place = span(&search, statement).and_then(|span| place::position(&statement.text, span.start));
    match place {
        Some(position) => error.at(position),
        None => error,
    }
}

/// Whether it is an error of what a statement says, or of the values it met, that has no place.
fn is_of_text(error: &SqlError) -> bool {
    let class = error.parts().state.0.get(..2).unwrap_or_default();
    error.parts().position.is_none() && matches!(class, "0A" | "22" | "42" | "54")
}

fn span(search: &Search<'_>, statement: &ParsedStatement) -> Option<Span> {
    if search.fails_so(crate::api::bind(statement, search.context).err().as_ref()) {
        return bisect::smallest(search, statement);
    }
    let mut ast = statement.ast.clone();
    constants::failing(search, &mut ast)
        .or_else(|| literals::quoted(&search.error.parts().message, ast.parts_mut()))
        .or_else(|| operations::only(search.error.parts().state, &mut ast))
}

/// What is looked for.
struct Search<'a> {
    error: &'a SqlError,
    context: &'a BindContext,
    /// When to give up.
    ends: Instant,
}

impl Search<'_> {
    /// Whether something failed in the way that is looked for.
    fn fails_so(&self, other: Option<&SqlError>) -> bool {
        other.is_some_and(|other| other.parts().state == self.error.parts().state)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }
}
