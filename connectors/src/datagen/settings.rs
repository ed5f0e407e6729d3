//! The options `fields.<column>.…` of one table, and which of them something has read: what nothing reads is an error.

use std::collections::BTreeSet;

use millstream_engine::ports::OptionValues;
use millstream_engine::{EngineError, Result};

/// See the module.
pub(super) struct Settings<'a> {
    options: &'a OptionValues,
    used: BTreeSet<String>,
    /// Every column and field, as options name it, with its type for messages.
    paths: Vec<(String, String)>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(options: &'a OptionValues) -> Self {
        Self { options, used: BTreeSet::new(), paths: Vec::new() }
    }

    /// Says that there is a column (`a`) or a field in it (`a.b`).
    pub(super) fn add_path(&mut self, path: &str, of_type: String) {
        self.paths.push((path.to_owned(), of_type));
    }

    /// The name of the option `what` of a column.
    pub(super) fn key(&mut self, path: &str, what: &str) -> String {
        let key = format!("fields.{path}.{what}");
        self.used.insert(key.clone());
        key
    }

    pub(super) fn text(&mut self, path: &str, what: &str) -> Option<&'a str> {
        let key = self.key(path, what);
        self.options.get(&key)
    }

    pub(super) fn integer(&mut self, path: &str, what: &str, default: i64) -> Result<i64> {
        let key = self.key(path, what);
        self.options.integer(&key, default)
    }

    pub(super) fn boolean(&mut self, path: &str, what: &str) -> Result<bool> {
        let key = self.key(path, what);
        self.options.boolean(&key, false)
    }

    pub(super) fn duration_us(&mut self, path: &str, what: &str) -> Result<i64> {
        let key = self.key(path, what);
        self.options.duration_us(&key, 0)
    }

    pub(super) fn float(&mut self, path: &str, what: &str, default: f64) -> Result<f64> {
        let key = self.key(path, what);
        let Some(text) = self.options.get(&key) else { return Ok(default) };
        let parsed = text.trim().parse().ok().filter(|value: &f64| value.is_finite());
        parsed.ok_or_else(|| EngineError::config(format!("option '{key}' takes a number, not '{text}'")))
    }

    /// A whole number of `least ..= most`.
    pub(super) fn within(&mut self, path: &str, what: &str, default: i64, range: (i64, i64)) -> Result<i64> {
        let value = self.integer(path, what, default)?;
        let (least, most) = range;
        if (least..=most).contains(&value) {
            return Ok(value);
        }
        let key = self.key(path, what);
        Err(EngineError::config(format!("option '{key}' is {value}; it must be from {least} to {most}")))
    }

    /// # Errors
    /// At an option that nothing has read: it names no column, or one of a type that it says nothing about.
    pub(super) fn all_used(&self) -> Result<()> {
        let unused = self.options.0.keys().find(|key| key.starts_with("fields.") && !self.used.contains(*key));
        let Some(key) = unused else { return Ok(()) };
        let named = key.strip_prefix("fields.").and_then(|rest| rest.rsplit_once('.')).map_or("", |(path, _)| path);
        if let Some((path, of_type)) = self.paths.iter().find(|(path, _)| path == named) {
            let message = format!("option '{key}' says nothing about \"{path}\", which is made as {of_type}");
            return Err(EngineError::config(message));
        }
        let near = self.paths.iter().map(|(path, _)| (strsim::damerau_levenshtein(path, named), path)).min();
        let hint = near.filter(|(far, _)| *far <= 3).map(|(_, path)| format!("did you mean \"{path}\"?"));
        Err(EngineError::Config { message: format!("option '{key}' names no column of the table"), hint })
    }
}
