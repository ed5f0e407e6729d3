//! URLs: `PARSE_URL`, and the coding of form fields, `URL_ENCODE` and `URL_DECODE`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::coding::push_hex;
use super::support::Kind::Text;
use super::support::{Args, shaped, some};

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    vec![shaped("parse_url", "PARSE_URL(url, part [, key])", some(2, &[Text, Text, Text], Text), parse_url)]
}

/// Spaces become `+`, all but letters, digits and `.-*_` become `%` and two digits a byte.
pub(super) fn encode(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    Ok(args.write(|row, out| {
        for byte in texts.get(row)?.bytes() {
            match byte {
                b' ' => out.push('+'),
                b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                _ => {
                    out.push('%');
                    push_hex(out, &[byte], false);
                }
            }
        }
        Some(())
    }))
}

/// The reverse of [`encode`]; null where it is not in that form.
pub(super) fn decode(args: &Args) -> Result<ArrayRef> {
    let texts = args.text(0)?;
    let mut buffer = Vec::new();
    Ok(args.write(|row, out| {
        buffer.clear();
        let mut rest = texts.get(row)?.bytes();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        while let Some(byte) = rest.next() {
            buffer.push(match byte {
                b'+' => b' ',
                b'%' => u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?,
                other => other,
            });
        }
        out.push_str(std::str::from_utf8(&buffer).ok()?);
        Some(())
    }))
}

/// The parts of a URL, as Java names them.
#[derive(Debug, Default)]
struct Parts<'t> {
    protocol: &'t str,
    authority: &'t str,
    userinfo: Option<&'t str>,
    host: &'t str,
    path: &'t str,
    /// Path and query.
    file: &'t str,
    query: Option<&'t str>,
    reference: Option<&'t str>,
}

fn parts(url: &str) -> Option<Parts<'_>> {
    let (protocol, rest) = url.split_once(':')?;
    let valid = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.');
    if protocol.is_empty() || !protocol.chars().all(valid) {
        return None;
    }
    let (rest, reference) = match rest.split_once('#') {
        Some((rest, reference)) => (rest, Some(reference)),
        None => (rest, None),
    };
    let (authority, file) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len()))?,
        None => ("", rest),
    };
    let (userinfo, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let host = match place.find(']') {
        Some(end) if place.starts_with('[') => place.get(..=end)?,
        _ => place.split(':').next().unwrap_or(place),
    };
    let (path, query) = match file.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (file, None),
    };
    Some(Parts { protocol, authority, userinfo, host, path, file, query, reference })
}

fn parse_url(args: &Args) -> Result<ArrayRef> {
    let (urls, names) = (args.text(0)?, args.text(1)?);
    let keys = if args.len() > 2 { Some(args.text(2)?) } else { None };
    Ok(args.pick(|row| {
        let parts = parts(urls.get(row)?)?;
        let name = names.get(row)?;
        if let Some(keys) = &keys {
            let key = keys.get(row)?;
            let mut fields = parts.query.filter(|_| name == "QUERY")?.split('&');
            return fields
                .find_map(|field| field.split_once('=').filter(|(known, _)| *known == key).map(|(_, value)| value));
        }
        match name {
            "HOST" => Some(parts.host).filter(|host| !host.is_empty()),
            "PATH" => Some(parts.path),
            "QUERY" => parts.query,
            "REF" => parts.reference,
            "PROTOCOL" => Some(parts.protocol),
            "FILE" => Some(parts.file),
            "AUTHORITY" => Some(parts.authority).filter(|authority| !authority.is_empty()),
            "USERINFO" => parts.userinfo,
            _ => None,
        }
    }))
}
