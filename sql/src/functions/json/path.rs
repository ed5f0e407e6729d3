//! SQL/JSON paths: `[lax | strict] $.member['member'][index][*].*`. Filters and functions are not known.

use super::scan::{self, Kind};

/// A path.
#[derive(Debug)]
pub(super) struct Path {
    lax: bool,
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq)]
enum Step {
    Member(String),
    /// From 0; from the end where negative.
    Element(i64),
    All,
}

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'j> {
    One(&'j str),
    /// Of a path with a `*`.
    Many(Vec<&'j str>),
    Nothing,
    /// The text is no JSON, the path is none, or a strict path does not fit.
    Wrong,
}

impl Path {
    /// Reads a path; without a word in front it is strict, as in Flink.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mode, rest) = text.split_once(char::is_whitespace).unwrap_or(("", text));
        let (lax, rest) = match mode.to_ascii_lowercase().as_str() {
            "lax" => (true, rest.trim()),
            "strict" => (false, rest.trim()),
            _ => (false, text),
        };
        let mut rest = rest.strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let dotted = rest.strip_prefix('.');
            if let Some(inner) = dotted.unwrap_or(rest).strip_prefix('[') {
                let (step, after) = bracket(inner.trim_start())?;
                steps.push(step);
                rest = after.trim_start().strip_prefix(']')?;
            } else {
                let name = dotted?;
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, after) = name.split_at_checked(end)?;
                let name = name.trim().trim_matches('"');
                steps.push(match name {
                    "" => return None,
                    "*" => Step::All,
                    name => Step::Member(name.to_owned()),
                });
                rest = after;
            }
        }
        Some(Self { lax, steps })
    }

    /// Follows the path in a text.
    pub(super) fn find<'j>(&self, json: &'j str) -> Found<'j> {
        if scan::kind(json).is_none() {
            return Found::Wrong;
        }
        let mut found = vec![json.trim()];
        let mut several = false;
        for step in &self.steps {
            let mut next = Vec::new();
            for value in found {
                let members = members(value);
                match (step, members) {
                    (Step::Member(name), Some((Kind::Object, members))) => {
                        let same = |key: &str| {
                            let mut text = String::new();
                            scan::unquoted(key, &mut text).is_some() && text == *name
                        };
                        next.extend(members.iter().rev().find(|(key, _)| same(key)).map(|(_, value)| *value));
                    }
                    (Step::Element(index), Some((Kind::Array, members))) => {
                        let length = i64::try_from(members.len()).unwrap_or(i64::MAX);
                        let index = if *index < 0 { length + index } else { *index };
                        let element = usize::try_from(index).ok().and_then(|index| members.get(index));
                        next.extend(element.map(|(_, value)| *value));
                    }
                    (Step::All, Some((_, members))) => next.extend(members.iter().map(|(_, value)| *value)),
                    (Step::Member(_) | Step::Element(_) | Step::All, _) => {}
                }
            }
            several |= *step == Step::All;
            if next.is_empty() && !several {
                return if self.lax { Found::Nothing } else { Found::Wrong };
            }
            found = next;
        }
        match found.first() {
            _ if several => Found::Many(found),
            Some(one) => Found::One(one),
            None => Found::Nothing,
        }
    }
}

/// The inside of brackets: a quoted name, an index, or a star.
fn bracket(text: &str) -> Option<(Step, &str)> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text.strip_prefix(quote) {
            let (name, after) = inner.split_once(quote)?;
            return Some((Step::Member(name.to_owned()), after));
        }
    }
    let (inner, after) = text.split_at_checked(text.find(']')?)?;
    let step = if inner.trim() == "*" { Step::All } else { Step::Element(inner.trim().parse().ok()?) };
    Some((step, after))
}

/// The value of a member of an object, where it has it; of several of a name the last.
pub(in crate::functions) fn member<'j>(json: &'j str, name: &str) -> Option<&'j str> {
    let (Kind::Object, members) = members(json)? else { return None };
    let mut text = String::new();
    let mut same = |key: &str| {
        text.clear();
        scan::unquoted(key, &mut text).is_some() && text == name
    };
    members.iter().rev().find(|(key, _)| same(key)).map(|(_, value)| *value)
}

/// The element of an array with that number, from 1.
pub(in crate::functions) fn element(json: &str, number: i64) -> Option<&str> {
    let (Kind::Array, members) = members(json)? else { return None };
    let index = usize::try_from(number).ok()?.checked_sub(1)?;
    members.get(index).map(|(_, value)| *value)
}

/// The elements of an array.
pub(super) fn elements(json: &str) -> Option<Vec<&str>> {
    let (Kind::Array, members) = members(json)? else { return None };
    Some(members.into_iter().map(|(_, value)| value).collect())
}

type Members<'j> = (Kind, Vec<(&'j str, &'j str)>);

/// The keys (empty in an array) and values of an object or array; `None` for scalars.
fn members(json: &str) -> Option<Members<'_>> {
    let kind = scan::kind_of(json)?;
    if !matches!(kind, Kind::Object | Kind::Array) {
        return None;
    }
    let mut members = Vec::new();
    let mut at = scan::space(json, 1);
    while !matches!(json.as_bytes().get(at)?, b'}' | b']') {
        let mut key = "";
        if kind == Kind::Object {
            let end = scan::string(json, at)?;
            key = json.get(at..end)?;
            at = scan::space(json, scan::space(json, end) + 1);
        }
        let end = scan::skip(json, at)?;
        members.push((key, json.get(at..end)?));
        at = scan::space(json, end);
        if json.as_bytes().get(at) == Some(&b',') {
            at = scan::space(json, at + 1);
        }
    }
    Some((kind, members))
}
