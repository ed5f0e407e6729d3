//! Directories of partitions in Hive's style, `dt=2015-07-15/hm=00%3A01`: their names and what names say.

use std::fmt::Write as _;
use std::path::Path;

/// Stands for null and for the empty text.
pub(super) const DEFAULT_NAME: &str = "__DEFAULT_PARTITION__";

/// The same in files that Hive and most others write.
pub(super) const HIVE_DEFAULT_NAME: &str = "__HIVE_DEFAULT_PARTITION__";

/// The directory of one partition, relative to the table's: `name=value` for each column, `None` for null.
pub(super) fn directory<'a>(parts: impl Iterator<Item = (&'a str, Option<&'a str>)>, default_name: &str) -> String {
    let mut path = String::new();
    for (name, value) in parts {
        if !path.is_empty() {
            path.push('/');
        }
        escape(name, &mut path);
        path.push('=');
        match value {
            Some(value) if !value.is_empty() => escape(value, &mut path),
            Some(_) | None => path.push_str(default_name),
        }
    }
    path
}

/// The value of partition column `name` in the directories above a file; `Some(None)` is null, `None`: no such directory.
pub(super) fn value(path: &Path, name: &str, default_name: &str) -> Option<Option<String>> {
    path.parent()?.components().rev().find_map(|component| {
        let (key, value) = component.as_os_str().to_str()?.split_once('=')?;
        (unescape(key) == name)
            .then(|| if value == default_name || value == HIVE_DEFAULT_NAME { None } else { Some(unescape(value)) })
    })
}

/// Appends a text with everything percent-encoded that Hive encodes.
fn escape(text: &str, into: &mut String) {
    for char in text.chars() {
        let special = char.is_ascii_control()
            || matches!(char, '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^');
        // A name of dots alone would lead elsewhere.
        if special || (char == '.' && text.chars().all(|char| char == '.')) {
            let _ = write!(into, "%{:02X}", u32::from(char));
        } else {
            into.push(char);
        }
    }
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) if byte == b'%' => {
                bytes.push(code);
                rest = tail.get(2..).unwrap_or_default();
            }
            Some(_) | None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_values() {
        for text in ["2015-07-15", "00:01", "a/b=c%", "..", "ä ö", "1%3"] {
            let path = directory([("dt", Some(text)), ("h=m", None)].into_iter(), DEFAULT_NAME);
            assert_eq!(path.split('/').count(), 2, "{path}");
            let file = Path::new("/data").join(path).join("part-0");
            assert_eq!(value(&file, "dt", DEFAULT_NAME), Some(Some(text.to_owned())));
            assert_eq!(value(&file, "h=m", DEFAULT_NAME), Some(None));
            assert_eq!(value(&file, "other", DEFAULT_NAME), None);
        }
    }
}
