//! Compiled regular expressions: [`Matcher`].

use std::cell::RefCell;
use std::ops::Range;

use datafusion::common::{DataFusionError, Result};
use regex::{CaptureLocations, Regex};

use super::support::Text;

/// Steps back that one search may take in an expression with look-around or back references. Others need none.
const STEPS_MAX: usize = 1_000_000;

/// The bytes of a match, and those of one of its groups, if it takes part.
type Found = (Range<usize>, Option<Range<usize>>);

/// A regular expression.
pub(super) enum Matcher {
    /// One that is searched for in time that grows with the text alone, with room for the places of its groups.
    Linear(Regex, CaptureLocations),
    /// One with look-around, back references, atomic groups or possessive repetition, as Java has them.
    Looking(fancy_regex::Regex),
}

impl Matcher {
    /// # Errors
    /// Where the text is no regular expression.
    pub(super) fn new(text: &str) -> Result<Self> {
        let error = match Regex::new(text) {
            Ok(regex) if !has_possessive(text) => {
                let places = regex.capture_locations();
                return Ok(Self::Linear(regex, places));
            }
            Ok(_) => regex::Error::Syntax("a repetition of a repetition".to_owned()),
            Err(error) => error,
        };
        let looking = fancy_regex::RegexBuilder::new(text).backtrack_limit(STEPS_MAX).build();
        looking
            .map(Self::Looking)
            .map_err(|_| DataFusionError::Execution(format!("invalid regular expression '{text}': {error}")))
    }

    /// Whether the text is a regular expression that needs steps back.
    pub(super) fn is_looking(text: &str) -> bool {
        matches!(Self::new(text), Ok(Self::Looking(_)))
    }

    /// Number of groups, the whole match among them.
    pub(super) fn groups(&self) -> usize {
        match self {
            Self::Linear(regex, _) => regex.captures_len(),
            Self::Looking(regex) => regex.captures_len(),
        }
    }

    /// Whether it is found in a text.
    ///
    /// # Errors
    /// Where that takes too many steps, as with all the others.
    pub(super) fn is_match(&self, text: &str) -> Result<bool> {
        match self {
            Self::Linear(regex, _) => Ok(regex.is_match(text)),
            Self::Looking(regex) => regex.is_match(text).map_err(exhausted),
        }
    }

    /// The first match from a byte on.
    pub(super) fn find_at(&self, text: &str, from: usize) -> Result<Option<Range<usize>>> {
        match self {
            Self::Linear(regex, _) => Ok(regex.find_at(text, from).map(|found| found.range())),
            Self::Looking(regex) => {
                regex.find_from_pos(text, from).map(|found| found.map(|found| found.range())).map_err(exhausted)
            }
        }
    }

    /// The first match from a byte on, and one of its groups.
    pub(super) fn group_at(&mut self, text: &str, from: usize, group: usize) -> Result<Option<Found>> {
        match self {
            Self::Linear(regex, places) => Ok(regex
                .captures_read_at(places, text, from)
                .map(|found| (found.range(), places.get(group).map(|(start, end)| start..end)))),
            Self::Looking(regex) => {
                let found = regex.captures_from_pos(text, from).map_err(exhausted)?;
                Ok(found.and_then(|found| Some((found.get(0)?.range(), found.get(group).map(|part| part.range())))))
            }
        }
    }

    /// Hands over each match from a byte on with one of its groups, until `visit` tells to stop.
    pub(super) fn each(
        &mut self,
        text: &str,
        mut from: usize,
        group: usize,
        mut visit: impl FnMut(Range<usize>, Option<Range<usize>>) -> bool,
    ) -> Result<()> {
        let mut last_end = None;
        while from <= text.len() {
            let Some((found, part)) = self.group_at(text, from, group)? else { break };
            // An empty match right behind another is none.
            let again = found.is_empty() && last_end == Some(found.start);
            from = if found.is_empty() { next_character(text, found.end) } else { found.end };
            if again {
                continue;
            }
            last_end = Some(found.end);
            if !visit(found, part) {
                break;
            }
        }
        Ok(())
    }

    /// The matches replaced by `new`, whose `$1` and `${name}` are groups; `limit`: how many, all for 0.
    pub(super) fn replace(&self, text: &str, limit: usize, new: &str) -> Result<String> {
        match self {
            Self::Linear(regex, _) => Ok(regex.replacen(text, limit, new).into_owned()),
            Self::Looking(regex) => {
                regex.try_replacen(text, limit, new).map(std::borrow::Cow::into_owned).map_err(exhausted)
            }
        }
    }

    /// Whether each of its groups takes part in every match.
    pub(super) fn has_all_groups(&self) -> bool {
        match self {
            Self::Linear(regex, _) => regex.static_captures_len() == Some(regex.captures_len()),
            Self::Looking(_) => false,
        }
    }
}

/// Whether a repetition is marked as one that gives nothing back, `a++`, which the linear kind takes for a repetition of another.
fn has_possessive(text: &str) -> bool {
    let (mut in_brackets, mut repeats) = (false, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if repeats && character == '+' {
            return true;
        }
        repeats = !in_brackets && matches!(character, '*' | '+' | '?' | '}');
        match character {
            '\\' => drop(characters.next()),
            '[' => in_brackets = true,
            ']' => in_brackets = false,
            // A group's kind is no repetition.
            '(' if !in_brackets && characters.as_str().starts_with('?') => drop(characters.next()),
            _ => {}
        }
    }
    false
}

fn next_character(text: &str, at: usize) -> usize {
    at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}

fn exhausted(error: fancy_regex::Error) -> DataFusionError {
    DataFusionError::Execution(format!("a regular expression took more than {STEPS_MAX} steps back: {error}"))
}

thread_local! {
    /// The last expression of this thread, compiled: it is nearly always the next one too.
    static COMPILED: RefCell<Option<(String, Matcher)>> = const { RefCell::new(None) };
}

/// Hands the rows of a function's regular expressions to `visit`, compiled once for as long as they are the same. What is no
/// expression gives null, as Flink has it.
///
/// # Errors
/// What `visit` gives.
pub(super) fn with_regex(
    regexes: &Text,
    rows: usize,
    mut visit: impl FnMut(usize, Option<&mut Matcher>) -> Result<()>,
) -> Result<()> {
    COMPILED.with_borrow_mut(|compiled| {
        (0..rows).try_for_each(|row| visit(row, regexes.get(row).and_then(|regex| compile(compiled, regex).ok())))
    })
}

/// As [`with_regex`], where what is no expression is an error.
///
/// # Errors
/// As [`Matcher::new`]; what `visit` gives.
pub(super) fn with_valid_regex(
    regexes: &Text,
    rows: usize,
    mut visit: impl FnMut(usize, Option<&mut Matcher>) -> Result<()>,
) -> Result<()> {
    COMPILED.with_borrow_mut(|compiled| {
        (0..rows).try_for_each(|row| visit(row, regexes.get(row).map(|regex| compile(compiled, regex)).transpose()?))
    })
}

fn compile<'c>(compiled: &'c mut Option<(String, Matcher)>, text: &str) -> Result<&'c mut Matcher> {
    if compiled.as_ref().is_none_or(|(known, _)| known != text) {
        *compiled = Some((text.to_owned(), Matcher::new(text)?));
    }
    match compiled {
        Some((_, matcher)) => Ok(matcher),
        None => Err(DataFusionError::Internal("a regular expression was lost".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::Matcher;

    #[test]
    fn looks_around_where_it_must() {
        assert!(!Matcher::is_looking("a+b"));
        assert!(Matcher::is_looking("a(?=b)"));
        assert!(!Matcher::is_looking("a("));
        for (regex, possessive) in [("a++", true), ("a{2}+", true), ("[*+]+", false), (r"\++", false), ("a+?b", false)]
        {
            assert_eq!(Matcher::is_looking(regex), possessive, "{regex}");
        }
        let mut doubled = Matcher::new(r"(\w)\1").unwrap();
        let mut found = Vec::new();
        doubled
            .each("aabbc", 0, 1, |whole, part| {
                found.push((whole, part));
                true
            })
            .unwrap();
        assert_eq!(found, [(0..2, Some(0..1)), (2..4, Some(2..3))]);
    }

    #[test]
    fn empty_matches_are_those_of_the_crate() {
        let mut found = 0;
        Matcher::new("x*")
            .unwrap()
            .each("axxé", 0, 0, |_, _| {
                found += 1;
                true
            })
            .unwrap();
        assert_eq!(found, regex::Regex::new("x*").unwrap().find_iter("axxé").count());
    }

    #[test]
    fn too_many_steps_are_an_error() {
        let endless = Matcher::new("^((a+)+(?=a|b))+c").unwrap();
        assert!(endless.is_match(&"a".repeat(60)).is_err());
    }
}
