//! Field names of a record: which one leads to which column, and in what order they came last time.
//!
//! The records of a file mostly have the same keys in the same order. After each key the table remembers the one that
//! followed, so that the next record needs one byte comparison a key.

use std::collections::HashMap;

/// Keys remembered at the most: a file whose keys never repeat must not grow without bound.
const KNOWN_MAX: usize = 1_024;

/// Where the value behind a key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Into the field of exactly this name.
    Exact(usize),
    /// Into the only field whose name differs in case alone, unless the exact name comes too.
    Loose(usize),
    /// Nowhere.
    Skip,
}

/// The names of the fields of one ROW or record.
#[derive(Debug, Default)]
pub(crate) struct FieldNames {
    exact: HashMap<String, Option<usize>>,
    /// By lower-case name; `None` where several fields differ only in case, or the field is not read.
    folded: HashMap<String, Option<usize>>,
    known: Vec<Known>,
    by_raw: HashMap<Box<[u8]>, usize>,
    first: usize,
}

#[derive(Debug)]
struct Known {
    /// The key as it stands in the record, escapes and all, with its closing quote.
    quoted: Box<[u8]>,
    /// The first bytes of that, at most eight, and which bits of a word they are.
    head: u64,
    head_mask: u64,
    target: Target,
    /// The key that followed last.
    next: usize,
}

impl Known {
    fn new(raw: &[u8], target: Target, next: usize) -> Self {
        let quoted: Box<[u8]> = raw.iter().copied().chain([b'"']).collect();
        let mut head = [0; 8];
        head.iter_mut().zip(&quoted).for_each(|(to, &from)| *to = from);
        let head_mask = u64::MAX >> (64 - 8 * quoted.len().min(8));
        Self { quoted, head: u64::from_le_bytes(head), head_mask, target, next }
    }

    /// Whether this key is at the start of `rest`, with its closing quote.
    #[inline]
    fn leads(&self, rest: &[u8]) -> bool {
        match rest.first_chunk() {
            // Most keys differ, or agree, in their first word: no call is needed then.
            Some(&word) if u64::from_le_bytes(word) & self.head_mask != self.head => false,
            Some(_) if self.quoted.len() <= 8 => true,
            Some(_) | None => rest.starts_with(&self.quoted),
        }
    }
}

/// A key that was found: where its value goes, and the handle to pass as `previous` for the next one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    /// Where the value goes.
    pub(crate) target: Target,
    /// Bytes of the key.
    pub(crate) len: usize,
    /// Handle of the key.
    pub(crate) id: Option<usize>,
}

impl FieldNames {
    /// Adds a declared field; `slot` where it is read.
    pub(crate) fn declare(&mut self, name: &str, slot: Option<usize>) {
        self.exact.insert(name.to_owned(), slot);
        self.folded.entry(name.to_lowercase()).and_modify(|other| *other = None).or_insert(slot);
    }

    /// Whether the key that followed `previous` last time is at the start of `rest`, up to its closing quote.
    #[inline]
    pub(crate) fn predict(&self, previous: Option<usize>, rest: &[u8]) -> Option<Found> {
        let id = match previous {
            None => self.first,
            Some(previous) => self.known.get(previous)?.next,
        };
        let known = self.known.get(id)?;
        known.leads(rest).then(|| Found { target: known.target, len: known.quoted.len() - 1, id: Some(id) })
    }

    /// The key `raw` (as it stands in the record), whose text without escapes `text` gives when it is needed.
    pub(crate) fn find(&mut self, previous: Option<usize>, raw: &[u8], text: impl FnOnce() -> String) -> Found {
        let id = match self.by_raw.get(raw) {
            Some(&id) => id,
            None => {
                let target = self.resolve(&text());
                if self.known.len() >= KNOWN_MAX {
                    return Found { target, len: raw.len(), id: None };
                }
                let id = self.known.len();
                self.known.push(Known::new(raw, target, id));
                self.by_raw.insert(raw.into(), id);
                id
            }
        };
        match previous.and_then(|previous| self.known.get_mut(previous)) {
            Some(previous) => previous.next = id,
            None => self.first = id,
        }
        let target = self.known.get(id).map_or(Target::Skip, |known| known.target);
        Found { target, len: raw.len(), id: Some(id) }
    }

    /// Where the value of a field called `name` goes.
    pub(crate) fn resolve(&self, name: &str) -> Target {
        match self.exact.get(name) {
            Some(Some(slot)) => Target::Exact(*slot),
            Some(None) => Target::Skip,
            None => match self.folded.get(&name.to_lowercase()) {
                Some(Some(slot)) => Target::Loose(*slot),
                Some(None) | None => Target::Skip,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_names_come_first() {
        let mut names = FieldNames::default();
        names.declare("dateTime", Some(0));
        names.declare("a", Some(1));
        names.declare("A", None);
        assert_eq!(names.resolve("dateTime"), Target::Exact(0));
        assert_eq!(names.resolve("datetime"), Target::Loose(0));
        assert_eq!(names.resolve("a"), Target::Exact(1));
        assert_eq!(names.resolve("A"), Target::Skip);
        assert_eq!(names.resolve("other"), Target::Skip);
    }

    #[test]
    fn the_order_of_keys_is_remembered() {
        let mut names = FieldNames::default();
        names.declare("x", Some(0));
        let first = names.find(None, b"x", || "x".to_owned());
        names.find(first.id, b"y", || "y".to_owned());
        let again = names.predict(None, b"x\":1").unwrap();
        assert_eq!((again.target, again.len), (Target::Exact(0), 1));
        assert_eq!(names.predict(again.id, b"y\":2").unwrap().target, Target::Skip);
        assert!(names.predict(again.id, b"yy\":2").is_none());
        for key in ["seven77", "eight888", "longer-than-two-words"] {
            let found = names.find(None, key.as_bytes(), || key.to_owned());
            for behind in ["", ":", ":1,\"next\":2"] {
                let predicted = names.predict(None, format!("{key}\"{behind}").as_bytes()).unwrap();
                assert_eq!((predicted.id, predicted.len), (found.id, key.len()), "{key} {behind}");
                assert!(names.predict(None, format!("{key}s\"{behind}").as_bytes()).is_none());
            }
            let (shorter, _) = key.split_at(key.len() - 1);
            assert!(names.predict(None, format!("{shorter}\":1,\"next\":2").as_bytes()).is_none());
        }
    }

    #[test]
    fn keys_without_end_are_not_all_remembered() {
        let mut names = FieldNames::default();
        for key in 0..KNOWN_MAX * 2 {
            let key = key.to_string();
            names.find(None, key.as_bytes(), || key.clone());
        }
        assert_eq!(names.known.len(), KNOWN_MAX);
    }
}
