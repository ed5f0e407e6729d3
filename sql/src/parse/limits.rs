//! Keeps the depth of what `sqlparser` builds within what the stack can clone and drop.
//!
//! Its recursion limit bounds nesting, but a chain such as `a + b + c …` nests to the left in a loop, without bound.
//! The depth of a chain is the number of its loose operators (`AND`, `OR`, `UNION`) and of the tight ones between two
//! of them, summed over the open brackets; a comma starts a new chain.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::error::Result;

use super::fail::too_deep;

/// How deeply `sqlparser` may recurse.
pub(super) const DEPTH_MAX: usize = 100;

/// Operators in one chain and the chains around it, at the most.
const CHAIN_MAX: usize = 500;

/// How much more stack a set operation takes than an operator.
const SET_OPERATOR: usize = 4;

/// The operators of one chain.
#[derive(Clone, Copy, Default)]
struct Chain {
    loose: usize,
    /// Behind the last loose one.
    tight: usize,
    /// Between any two loose ones, at the most.
    tight_max: usize,
}

impl Chain {
    fn depth(&self) -> usize {
        self.loose + self.tight_max
    }

    fn loose(&mut self, weight: usize) {
        self.loose += weight;
        self.tight = 0;
    }

    fn tight(&mut self) {
        self.tight += 1;
        self.tight_max = self.tight_max.max(self.tight);
    }
}

/// Stack that `sqlparser` must find before each of its recursive steps, bytes. The crate's 128 KiB are less than what one
/// step from subquery to subquery takes without optimisation.
const STACK_MIN_BYTES: usize = 1 << 20;

/// Makes `sqlparser` and DataFusion take new stack early enough. A setting of the process, always the same.
pub(super) fn prepare() {
    recursive::set_minimum_stack_size(STACK_MIN_BYTES);
}

/// Refuses statements whose tree may grow too deep.
pub(super) fn check(text: &str, tokens: &[TokenWithSpan]) -> Result<()> {
    let mut around = Vec::new();
    let mut around_sum = 0;
    let mut here = Chain::default();
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                around_sum += here.depth();
                around.push(std::mem::take(&mut here));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                here = around.pop().unwrap_or_default();
                around_sum -= here.depth();
                // What has been closed stays a link: `f(x)[1][2]…`.
                here.tight();
            }
            Token::Comma => here = Chain::default(),
            other if is_loose(other) => here.loose(1),
            other if is_set_operator(other) => here.loose(SET_OPERATOR),
            other if is_tight(other) => here.tight(),
            _ => {}
        }
        if around_sum + here.depth() > CHAIN_MAX {
            let limit = format!("at most {CHAIN_MAX} operators can stand in one chain, with those around it");
            return Err(too_deep(text, token.span.start).with_detail(limit));
        }
    }
    Ok(())
}

/// Operators that bind less than all others.
fn is_loose(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::AND | Keyword::OR)
}

fn is_set_operator(token: &Token) -> bool {
    let Token::Word(word) = token else { return false };
    matches!(word.keyword, Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT)
}

/// Other tokens that can make the tree one level deeper.
fn is_tight(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::NOT
                | Keyword::IS
                | Keyword::NOTNULL
                | Keyword::LIKE
                | Keyword::BETWEEN
                | Keyword::COLLATE
                | Keyword::AT
                | Keyword::ARRAY
        ),
        Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::EscapedStringLiteral(_)
        | Token::Period
        | Token::SemiColon
        | Token::EOF => false,
        _ => true,
    }
}
