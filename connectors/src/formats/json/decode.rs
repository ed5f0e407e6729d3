//! One pass over a JSON text that appends its values to the columns that are read.
//!
//! Values that nobody asked for are passed without being built. A value that does not fit its column is a fault, or null
//! under `json.ignore-parse-errors`.

use crate::formats::columns::{Column, RowColumn, Values};
use crate::formats::fault::{Fault, FaultKind, shown};
use crate::formats::names::{Found, Target};
use crate::formats::types::sql_name;

use super::cursor::{Cursor, RawString, Step, is_number, unescape};

/// What the options say about faults, and what became of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// A value that does not fit becomes null.
    pub(super) ignore_parse_errors: bool,
    /// A field that is not there is a fault.
    pub(super) fail_on_missing_field: bool,
    /// Whether a value of the running record became null for want of a fit.
    pub(super) nulled: bool,
}

/// Appends the object that comes next as a row of `row`.
///
/// # Errors
/// Where it is no object, or a value does not fit. The row is then half-built: cut it off.
pub(super) fn object(cursor: &mut Cursor<'_>, row: &mut RowColumn, policy: &mut Policy) -> Step<()> {
    cursor.expect(b'{')?;
    let base = row.rows();
    let mut set = 0;
    let mut previous = None;
    if cursor.peek() == Some(b'}') {
        cursor.at += 1;
    } else {
        loop {
            let found = key(cursor, row, previous)?;
            previous = found.id;
            cursor.expect(b':')?;
            match found.target {
                Target::Exact(slot) => set += usize::from(field(cursor, row, slot, base, policy)?),
                Target::Loose(slot) => {
                    row.loose.push((slot, cursor.at));
                    cursor.skip_value()?;
                }
                Target::Skip => cursor.skip_value()?,
            }
            match cursor.peek() {
                Some(b',') => cursor.at += 1,
                Some(b'}') => {
                    cursor.at += 1;
                    break;
                }
                Some(_) | None => return Err(cursor.unexpected("',' or '}'")),
            }
        }
    }
    if set < row.fields.len() {
        complete(cursor, row, base, policy)?;
    }
    row.end();
    Ok(())
}

/// The key that comes next.
#[inline]
fn key(cursor: &mut Cursor<'_>, row: &mut RowColumn, previous: Option<usize>) -> Step<Found> {
    if cursor.peek() != Some(b'"') {
        return Err(cursor.unexpected("a field name in quotes"));
    }
    let rest = cursor.rest().get(1..).unwrap_or_default();
    if let Some(found) = row.names.predict(previous, rest) {
        cursor.at += found.len + 2;
        return Ok(found);
    }
    let string = cursor.string()?;
    Ok(row.names.find(previous, string.raw, || {
        let mut text = Vec::new();
        match unescape(string.raw, &mut text) {
            Some(()) => String::from_utf8_lossy(&text).into_owned(),
            None => String::from_utf8_lossy(string.raw).into_owned(),
        }
    }))
}

/// Appends the value that comes next to field `slot`. False where the field had a value in this row already, which is
/// replaced.
#[inline]
fn field(cursor: &mut Cursor<'_>, row: &mut RowColumn, slot: usize, base: usize, policy: &mut Policy) -> Step<bool> {
    let Some(field) = row.fields.get_mut(slot) else {
        return Err(Fault::syntax(cursor.at, "a field name leads nowhere"));
    };
    let first = field.column.len() == base;
    if !first {
        field.column.truncate(base);
    }
    let start = cursor.at;
    if let Err(fault) = value(cursor, &mut field.column, policy) {
        if fault.kind == FaultKind::Syntax || !policy.ignore_parse_errors {
            return Err(fault.inside(&field.name));
        }
        field.column.truncate(base);
        cursor.at = start;
        cursor.skip_value()?;
        field.column.push_null();
        policy.nulled = true;
    }
    if !field.nullable && field.column.last_is_null() {
        return Err(Fault::value(start, "null in a NOT NULL column").inside(&field.name));
    }
    Ok(first)
}

/// Fills the fields that the object did not name exactly: from names that differ in case, else with null.
fn complete(cursor: &mut Cursor<'_>, row: &mut RowColumn, base: usize, policy: &mut Policy) -> Step<()> {
    let end = cursor.at;
    for (slot, at) in std::mem::take(&mut row.loose) {
        if row.fields.get(slot).is_some_and(|field| field.column.len() == base) {
            cursor.at = at;
            field(cursor, row, slot, base, policy)?;
        }
    }
    cursor.at = end;
    for field in &mut row.fields {
        if field.column.len() > base {
            continue;
        }
        if policy.fail_on_missing_field {
            return Err(Fault::value(end, "the field is missing").inside(&field.name));
        }
        if !field.nullable {
            return Err(Fault::value(end, "the field is missing, and the column is NOT NULL").inside(&field.name));
        }
        field.column.push_null();
    }
    Ok(())
}

/// Appends the value that comes next to `column`. After a fault the column may hold a piece of it: cut it off.
#[inline]
fn value(cursor: &mut Cursor<'_>, column: &mut Column, policy: &mut Policy) -> Step<()> {
    match cursor.peek() {
        Some(b'"') => {
            let start = cursor.at;
            let string = cursor.string()?;
            string_value(string, start, column)
        }
        Some(b'{') => object_value(cursor, column, policy),
        Some(b'[') => array_value(cursor, column, policy),
        Some(_) => word_value(cursor, column),
        None => Err(cursor.unexpected("a value")),
    }
}

fn string_value(string: RawString<'_>, start: usize, column: &mut Column) -> Step<()> {
    if !string.escaped {
        if column.push_text(string.raw) {
            return Ok(());
        }
        return Err(misfit(column, start, &[b"\"", string.raw, b"\""].concat()));
    }
    let mut text = Vec::with_capacity(string.raw.len());
    if unescape(string.raw, &mut text).is_none() {
        return Err(Fault::syntax(start, format!("invalid JSON: unknown escape in \"{}\"", shown(string.raw))));
    }
    if column.push_text(&text) { Ok(()) } else { Err(misfit(column, start, &[b"\"", string.raw, b"\""].concat())) }
}

fn word_value(cursor: &mut Cursor<'_>, column: &mut Column) -> Step<()> {
    if cursor.null() {
        column.push_null();
        return Ok(());
    }
    if let Values::Int64(values) = &mut column.values
        && let Some(value) = cursor.whole_number()
    {
        values.push(value);
        column.set();
        return Ok(());
    }
    let start = cursor.at;
    let word = cursor.word();
    if matches!(word.first(), Some(b'-' | b'0'..=b'9')) && column.push_number(word) {
        return Ok(());
    }
    let literal = match word {
        b"null" => {
            column.push_null();
            return Ok(());
        }
        b"true" | b"false" => true,
        number if is_number(number) => false,
        _ => {
            cursor.at = start;
            return Err(cursor.unexpected("a value"));
        }
    };
    let fits = match &column.values {
        Values::Utf8(_) => column.push_text(word),
        Values::Boolean(_) => literal && column.push_text(word),
        _ => false,
    };
    if fits { Ok(()) } else { Err(misfit(column, start, word)) }
}

fn object_value(cursor: &mut Cursor<'_>, column: &mut Column, policy: &mut Policy) -> Step<()> {
    let rows = column.len();
    match &mut column.values {
        Values::Row(row) => {
            row.begin(rows);
            object(cursor, row, policy)?;
        }
        Values::Map(offsets, entries) => {
            cursor.at += 1;
            let mut first = true;
            while next_item(cursor, b'}', &mut first)? {
                entry(cursor, entries, policy)?;
            }
            offsets.push(end_offset(entries.0.len(), cursor)?);
        }
        _ => return other_value(cursor, column),
    }
    column.set();
    Ok(())
}

fn array_value(cursor: &mut Cursor<'_>, column: &mut Column, policy: &mut Policy) -> Step<()> {
    let Values::List(offsets, item) = &mut column.values else {
        return other_value(cursor, column);
    };
    cursor.at += 1;
    let mut first = true;
    while next_item(cursor, b']', &mut first)? {
        lenient(cursor, item, policy)?;
    }
    offsets.push(end_offset(item.len(), cursor)?);
    column.set();
    Ok(())
}

/// Appends an item of an ARRAY or a value of a MAP, null where it does not fit and faults are ignored.
fn lenient(cursor: &mut Cursor<'_>, column: &mut Column, policy: &mut Policy) -> Step<()> {
    let (start, rows) = (cursor.at, column.len());
    match value(cursor, column, policy) {
        Err(fault) if fault.kind == FaultKind::Value && policy.ignore_parse_errors => {
            column.truncate(rows);
            cursor.at = start;
            cursor.skip_value()?;
            column.push_null();
            policy.nulled = true;
            Ok(())
        }
        other => other,
    }
}

fn entry(cursor: &mut Cursor<'_>, entries: &mut (Column, Column), policy: &mut Policy) -> Step<()> {
    if cursor.peek() != Some(b'"') {
        return Err(cursor.unexpected("a key in quotes"));
    }
    let start = cursor.at;
    let key = cursor.string()?;
    string_value(key, start, &mut entries.0)?;
    cursor.expect(b':')?;
    lenient(cursor, &mut entries.1, policy)
}

/// An object or array where the column is neither: its text for a STRING, else a fault.
fn other_value(cursor: &mut Cursor<'_>, column: &mut Column) -> Step<()> {
    let start = cursor.at;
    cursor.skip_value()?;
    let text = cursor.since(start);
    if matches!(column.values, Values::Utf8(_)) && column.push_text(text) {
        return Ok(());
    }
    Err(misfit(column, start, text))
}

/// Passes the comma before the next item; false, and the bracket passed, where there is none.
fn next_item(cursor: &mut Cursor<'_>, close: u8, first: &mut bool) -> Step<bool> {
    match cursor.peek() {
        Some(byte) if byte == close => {
            cursor.at += 1;
            return Ok(false);
        }
        Some(b',') if !*first => {
            cursor.at += 1;
            cursor.peek();
        }
        Some(_) if *first => {}
        Some(_) | None => return Err(cursor.unexpected(&format!("',' or '{}'", char::from(close)))),
    }
    *first = false;
    Ok(true)
}

fn end_offset(len: usize, cursor: &Cursor<'_>) -> Step<i32> {
    i32::try_from(len).map_err(|_| Fault::value(cursor.at, "too many items for one batch"))
}

fn misfit(column: &Column, at: usize, found: &[u8]) -> Box<Fault> {
    Fault::value(at, format!("expected {}, found {}", sql_name(column.data_type()), shown(found)))
}
