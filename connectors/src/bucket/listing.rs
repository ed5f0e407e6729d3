//! Listings: just enough XML to read the answers of the services, which are flat.

use chrono::DateTime;

use super::Object;

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<Object>,
    /// Where the next page begins; `None`: there is none.
    pub(super) next: Option<String>,
}

/// What the elements are called that tell of one object.
pub(super) struct Tags {
    pub(super) object: &'static str,
    pub(super) key: &'static str,
    pub(super) size: &'static str,
    pub(super) modified: &'static str,
}

/// The objects of a page.
pub(super) fn objects(xml: &str, tags: &Tags) -> Vec<Object> {
    let object = |text: &str| {
        let first = |tag| elements(text, tag).into_iter().next();
        let at =
            |text: String| DateTime::parse_from_rfc3339(&text).or_else(|_| DateTime::parse_from_rfc2822(&text)).ok();
        Some(Object {
            key: first(tags.key)?,
            size: first(tags.size).and_then(|size| size.parse().ok()).unwrap_or(0),
            modified_ms: first(tags.modified).and_then(at).map_or(0, |at| at.timestamp_millis()),
        })
    };
    insides(xml, tags.object).filter_map(object).collect()
}

/// The texts of all elements of a name.
pub(crate) fn elements(xml: &str, name: &str) -> Vec<String> {
    insides(xml, name).map(unescaped).collect()
}

/// What stands between the marks of all elements of a name.
fn insides<'a>(xml: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut rest = xml;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once(&open)?;
        let (inside, after) = after.split_once(&close)?;
        rest = after;
        Some(inside)
    })
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let known = after.split_once(';').and_then(|(name, after)| Some((entity(name)?, after)));
        match known {
            Some((letter, after)) => {
                plain.push(letter);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn entity(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}
