//! The forms of `ASOF JOIN` that `sqlparser` does not know, put into tokens that it does.
//!
//! It parses `ASOF JOIN r MATCH_CONDITION (…) ON …` alone. `ASOF [INNER | LEFT [OUTER]] JOIN` with or without a match condition
//! (and `LEFT ASOF JOIN`) is marked by the word `GLOBAL` before the join, which no other join has here:
//! `GLOBAL ASOF JOIN` is a left join with a match condition, `GLOBAL [LEFT] JOIN` has its match condition in `ON`.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::words::spells;

/// The tokens of a statement with its ASOF joins marked.
pub(super) fn marked(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| spells(&token.token, "ASOF")) {
        return tokens;
    }
    let seen = tokens.iter().enumerate().filter(|(_, token)| !matches!(token.token, Token::Whitespace(_)));
    let seen: Vec<usize> = seen.map(|(index, _)| index).collect();
    let mut removed = Vec::new();
    for place in 0..seen.len() {
        rewrite(&mut tokens, &seen, place, &mut removed);
    }
    let mut index = 0..;
    tokens.retain(|_| index.next().is_none_or(|index| !removed.contains(&index)));
    tokens
}

/// Rewrites the join whose word `ASOF` is at `place`, where there is one. `seen`: the tokens that are no space.
fn rewrite(tokens: &mut [TokenWithSpan], seen: &[usize], place: usize, removed: &mut Vec<usize>) {
    let at = |place: usize| seen.get(place).copied();
    let is = |tokens: &[TokenWithSpan], place: usize, word: &str| {
        at(place).and_then(|index| tokens.get(index)).is_some_and(|token| spells(&token.token, word))
    };
    if !is(tokens, place, "ASOF") {
        return;
    }
    let before = place.checked_sub(1).filter(|before| is(tokens, *before, "LEFT"));
    let (mut join, mut left, mut inner) = (place + 1, None, None);
    if is(tokens, join, "LEFT") {
        left = Some(join);
        join += 1;
    } else if is(tokens, join, "INNER") {
        inner = Some(join);
        join += 1;
    }
    let outer = (left.is_some() && is(tokens, join, "OUTER")).then_some(join);
    join += usize::from(outer.is_some());
    if !is(tokens, join, "JOIN") {
        return;
    }
    let matches = has_match_condition(tokens, seen.get(join..).unwrap_or_default());
    let mut write = |place: usize, word: &str| {
        if let Some(token) = at(place).and_then(|index| tokens.get_mut(index)) {
            token.token = Token::make_keyword(word);
        }
    };
    match (matches, before, left) {
        (true, None, None) => removed.extend(inner.and_then(at)),
        (true, Some(before), None) => write(before, "GLOBAL"),
        (true, _, Some(left)) => {
            write(place, "GLOBAL");
            write(left, "ASOF");
            removed.extend(outer.and_then(at));
        }
        (false, Some(before), None) => {
            write(before, "GLOBAL");
            write(place, "LEFT");
        }
        (false, ..) => write(place, "GLOBAL"),
    }
}

/// Whether a match condition comes before the condition of the join that begins here.
fn has_match_condition(tokens: &[TokenWithSpan], rest: &[usize]) -> bool {
    let mut depth = 0_usize;
    for token in rest.iter().filter_map(|index| tokens.get(*index)).map(|token| &token.token) {
        match token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return false,
            Token::RParen => depth -= 1,
            Token::SemiColon => return false,
            other if depth == 0 && spells(other, "MATCH_CONDITION") => return true,
            other if depth == 0 && ["ON", "USING", "WHERE"].iter().any(|word| spells(other, word)) => return false,
            _ => {}
        }
    }
    false
}
