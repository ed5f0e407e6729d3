//! Rows from PostgreSQL's text and csv formats, as texts; [`super::values`] gives them their types.

use arrow::array::{StringArray, StringBuilder};
use millstream_sql::ast::{CopyFormat, CopyOptions};
use millstream_sql::{SqlError, SqlState};

/// `bad_copy_file_format`
const BAD_COPY_FILE_FORMAT: SqlState = SqlState("22P04");

/// `character_not_in_repertoire`
const NOT_UTF8: SqlState = SqlState("22021");

/// The texts of all rows, and where each row begins.
#[derive(Debug)]
pub(crate) struct Texts {
    /// A column each.
    pub(crate) columns: Vec<StringArray>,
    /// The line of each row, from 1.
    pub(crate) lines: Vec<u64>,
}

/// Takes all rows of `bytes` apart. `names`: the columns; `table`: for messages.
///
/// # Errors
/// 22P04 with the line where a row has too few or too many values; 22021 where a line is not UTF-8.
pub(crate) fn decode(bytes: &[u8], options: &CopyOptions, names: &[&str], table: &str) -> Result<Texts, SqlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        SqlError::new(NOT_UTF8, "invalid byte sequence for encoding \"UTF8\"")
            .with_detail(format!("COPY {table}, line {line}"))
    })?;
    let mut rows = Rows {
        table,
        names,
        columns: names.iter().map(|_| StringBuilder::new()).collect(),
        lines: Vec::new(),
        line: 1,
        next: 0,
        skip: options.header,
        match_header: options.match_header,
    };
    match options.format {
        CopyFormat::Csv => csv(text, options, &mut rows)?,
        CopyFormat::Text | CopyFormat::Json | CopyFormat::Parquet => lines(text, options, &mut rows)?,
    }
    Ok(Texts { columns: rows.columns.iter_mut().map(StringBuilder::finish).collect(), lines: rows.lines })
}

/// The rows so far.
struct Rows<'a> {
    table: &'a str,
    names: &'a [&'a str],
    columns: Vec<StringBuilder>,
    lines: Vec<u64>,
    /// The line where the row begins.
    line: u64,
    /// The column that the next value goes to.
    next: usize,
    /// The row is the header.
    skip: bool,
    /// Its names must be those of the columns.
    match_header: bool,
}

impl Rows<'_> {
    fn value(&mut self, value: Option<&str>) -> Result<(), SqlError> {
        if self.skip {
            return self.name(value);
        }
        let Some(column) = self.columns.get_mut(self.next) else {
            return Err(self.wrong("extra data after last expected column"));
        };
        column.append_option(value);
        self.next += 1;
        Ok(())
    }

    /// The row is over; the next one begins on line `next`.
    fn end(&mut self, next: u64) -> Result<(), SqlError> {
        if self.skip && self.match_header && self.next != self.names.len() {
            return Err(self.wrong_count());
        }
        if !std::mem::take(&mut self.skip) {
            if let Some(missing) = self.names.get(self.next) {
                return Err(self.wrong(&format!("missing data for column \"{missing}\"")));
            }
            self.lines.push(self.line);
        }
        (self.next, self.line) = (0, next);
        Ok(())
    }

    /// A name of the header.
    fn name(&mut self, found: Option<&str>) -> Result<(), SqlError> {
        if self.match_header {
            let Some(wanted) = self.names.get(self.next) else { return Err(self.wrong_count()) };
            if found != Some(*wanted) {
                let (number, found) = (self.next + 1, found.unwrap_or_default());
                let message = format!(
                    "column name mismatch in header line field {number}: got \"{found}\", expected \"{wanted}\""
                );
                return Err(self.wrong(&message));
            }
        }
        self.next += 1;
        Ok(())
    }

    fn wrong_count(&self) -> SqlError {
        self.wrong(&format!("wrong number of fields in header line: expected {}", self.names.len()))
    }

    fn wrong(&self, message: &str) -> SqlError {
        let detail = format!("COPY {}, line {}", self.table, self.line);
        SqlError::new(BAD_COPY_FILE_FORMAT, message).with_detail(detail)
    }
}

/// The text format: a row a line.
fn lines(text: &str, options: &CopyOptions, rows: &mut Rows<'_>) -> Result<(), SqlError> {
    let mut value = String::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        if line == "\\." {
            break;
        }
        let bytes = line.as_bytes();
        let (mut start, mut at) = (0, 0);
        while at <= bytes.len() {
            match bytes.get(at) {
                Some(b'\\') => at += 2,
                Some(byte) if *byte != options.delimiter => at += 1,
                // A backslash at the end of a line can lead behind it.
                Some(_) | None => {
                    take(line.get(start..at.min(bytes.len())).unwrap_or_default(), options, &mut value, rows)?;
                    at += 1;
                    start = at;
                }
            }
        }
        if start <= bytes.len() && at > bytes.len() + 1 {
            take(line.get(start..).unwrap_or_default(), options, &mut value, rows)?;
        }
        rows.end(number + 1)?;
    }
    Ok(())
}

/// One value of the text format.
fn take(raw: &str, options: &CopyOptions, value: &mut String, rows: &mut Rows<'_>) -> Result<(), SqlError> {
    if raw == options.null {
        return rows.value(None);
    }
    if !raw.contains('\\') {
        return rows.value(Some(raw));
    }
    unescape(raw, value);
    rows.value(Some(value))
}

/// Takes the backslashes out: `\t` and the like, `\101` and `\x41` for bytes, else the character behind.
fn unescape(raw: &str, value: &mut String) {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        let Some((&letter, behind)) = rest.split_first() else {
            bytes.push(b'\\');
            break;
        };
        rest = behind;
        match letter {
            b'b' => bytes.push(0x08),
            b'f' => bytes.push(0x0c),
            b'n' => bytes.push(b'\n'),
            b'r' => bytes.push(b'\r'),
            b't' => bytes.push(b'\t'),
            b'v' => bytes.push(0x0b),
            b'x' => rest = code(rest, 16, 2, b'x', &mut bytes),
            b'0'..=b'7' => {
                let whole = raw.as_bytes().get(raw.len() - rest.len() - 1..).unwrap_or_default();
                rest = code(whole, 8, 3, letter, &mut bytes);
            }
            other => bytes.push(other),
        }
    }
    value.clear();
    value.push_str(&String::from_utf8_lossy(&bytes));
}

/// Takes a byte written in digits; without a digit the letter itself. Returns what is behind.
fn code<'t>(rest: &'t [u8], radix: u32, most: usize, letter: u8, bytes: &mut Vec<u8>) -> &'t [u8] {
    let digits = rest.iter().take(most).take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let text = rest.get(..digits).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    match u32::from_str_radix(text, radix) {
        // Three octal digits can be more than a byte; PostgreSQL takes the low bits.
        Ok(value) => bytes.push(value.to_le_bytes()[0]),
        Err(_) => bytes.push(letter),
    }
    rest.get(digits..).unwrap_or_default()
}

/// The csv format: values may stand in quotes, with line ends in them.
fn csv(text: &str, options: &CopyOptions, rows: &mut Rows<'_>) -> Result<(), SqlError> {
    let bytes = text.as_bytes();
    let mut line = 1;
    let mut at = 0;
    let mut value = Vec::new();
    while at < bytes.len() {
        let rest = text.get(at..).unwrap_or_default();
        if rest == "\\." || rest.starts_with("\\.\n") || rest.starts_with("\\.\r\n") {
            break;
        }
        loop {
            value.clear();
            let quoted = csv_value(bytes, &mut at, &mut line, options, &mut value)
                .ok_or_else(|| rows.wrong("unterminated CSV quoted field"))?;
            // Cut at ASCII characters only, so it is UTF-8 still.
            let text = std::str::from_utf8(&value).unwrap_or_default();
            rows.value(if !quoted && text == options.null { None } else { Some(text) })?;
            if bytes.get(at) != Some(&options.delimiter) {
                break;
            }
            at += 1;
        }
        if bytes.get(at) == Some(&b'\r') {
            at += 1;
        }
        if bytes.get(at) == Some(&b'\n') {
            at += 1;
        }
        line += 1;
        rows.end(line)?;
    }
    Ok(())
}

/// Takes one value up to the delimiter or line end behind it. Whether it was in quotes; `None` where they do not end.
fn csv_value(bytes: &[u8], at: &mut usize, line: &mut u64, options: &CopyOptions, value: &mut Vec<u8>) -> Option<bool> {
    let CopyOptions { delimiter, quote, escape, .. } = options;
    let (mut quoted, mut inside) = (false, false);
    loop {
        let next = bytes.get(*at).copied();
        match next {
            None => return (!inside).then_some(quoted),
            Some(byte) if inside => {
                let behind = bytes.get(*at + 1).copied();
                if byte == *escape && behind.is_some_and(|behind| behind == *quote || behind == *escape) {
                    value.extend(behind);
                    *at += 2;
                    continue;
                }
                if byte == *quote {
                    inside = false;
                } else {
                    *line += u64::from(byte == b'\n');
                    value.push(byte);
                }
            }
            Some(byte) if byte == *quote => (quoted, inside) = (true, true),
            Some(byte) if byte == *delimiter || byte == b'\n' => return Some(quoted),
            Some(b'\r') if matches!(bytes.get(*at + 1), Some(b'\n') | None) => return Some(quoted),
            Some(byte) => value.push(byte),
        }
        *at += 1;
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
