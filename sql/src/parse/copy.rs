//! `COPY`: PostgreSQL's statement, with JSON and Parquet as further formats of files.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Copy, CopyCompression, CopyEnd, CopyExisting, CopyFormat, CopyOptions, CopyWhat, Statement};
use crate::error::{SqlError, SqlState};
use crate::files::without_settings;

use super::cursor::Cursor;
use super::fail::{Fail, Result};

/// `COPY t [(columns)] FROM|TO end [options]`, `COPY (query) TO end [options]`
pub(super) fn copy(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["COPY"])?;
    let what = if *cursor.peek(0) == Token::LParen {
        cursor.need(&Token::LParen)?;
        let query = cursor.query()?;
        cursor.need(&Token::RParen)?;
        CopyWhat::Query(query)
    } else {
        let name = cursor.name()?;
        let listed = *cursor.peek(0) == Token::LParen;
        CopyWhat::Table(name, if listed { cursor.list(Cursor::ident)? } else { Vec::new() })
    };
    let to = cursor.accept(&["TO"]);
    if !to && (matches!(what, CopyWhat::Query(_)) || !cursor.accept(&["FROM"])) {
        return cursor.unexpected(if matches!(what, CopyWhat::Query(_)) { "TO" } else { "FROM or TO" });
    }
    if cursor.ahead(&["PROGRAM"]) {
        return cursor.refused(SqlError::unsupported("COPY with a program is not supported"));
    }
    let position = cursor.position();
    let end = match to {
        true if cursor.accept(&["STDOUT"]) => CopyEnd::Client,
        false if cursor.accept(&["STDIN"]) => CopyEnd::Client,
        _ => CopyEnd::File(cursor.string()?),
    };
    let mut given = Given::default();
    options(cursor, &mut given)?;
    if !to && cursor.ahead(&["WHERE"]) {
        return cursor.refused(SqlError::unsupported("COPY … WHERE is not supported"));
    }
    let options = given.finish(to, &end).map_err(|error| Fail::Refused(error.at(position)))?;
    Ok(Statement::Copy(Copy { what, to, end, position, options }))
}

/// What the options say.
#[derive(Default)]
struct Given {
    format: Option<CopyFormat>,
    header: bool,
    match_header: bool,
    delimiter: Option<u8>,
    null: Option<String>,
    quote: Option<u8>,
    escape: Option<u8>,
    compression: Option<CopyCompression>,
    partition_by: Vec<String>,
    existing: CopyExisting,
}

/// Options in parentheses, or in PostgreSQL's older form as words one behind the other.
fn options(cursor: &mut Cursor<'_>, given: &mut Given) -> Result<()> {
    cursor.accept(&["WITH"]);
    if *cursor.peek(0) != Token::LParen {
        while !matches!(cursor.peek(0), Token::EOF) && !cursor.ahead(&["WHERE"]) {
            option(cursor, given)?;
        }
        return Ok(());
    }
    cursor.need(&Token::LParen)?;
    option(cursor, given)?;
    while cursor.take(&Token::Comma) {
        option(cursor, given)?;
    }
    cursor.need(&Token::RParen)
}

fn option(cursor: &mut Cursor<'_>, given: &mut Given) -> Result<()> {
    if cursor.accept(&["FORMAT"]) {
        given.format = Some(format(cursor)?);
    } else if cursor.accept(&["CSV"]) {
        given.format = Some(CopyFormat::Csv);
    } else if cursor.accept(&["HEADER"]) {
        given.match_header = cursor.ahead(&["MATCH"]);
        given.header = header(cursor)?;
    } else if cursor.accept(&["DELIMITER"]) {
        given.delimiter = Some(character(cursor, "delimiter")?);
    } else if cursor.accept(&["NULL"]) {
        cursor.accept(&["AS"]);
        given.null = Some(cursor.string()?);
    } else if cursor.accept(&["QUOTE"]) {
        given.quote = Some(character(cursor, "quote")?);
    } else if cursor.accept(&["ESCAPE"]) {
        given.escape = Some(character(cursor, "escape")?);
    } else if cursor.accept(&["COMPRESSION"]) {
        given.compression = Some(compression(cursor)?);
    } else if cursor.accept(&["PARTITION_BY"]) {
        let columns =
            if *cursor.peek(0) == Token::LParen { cursor.list(Cursor::ident)? } else { vec![cursor.ident()?] };
        given.partition_by = columns.into_iter().map(|column| column.value).collect();
    } else if cursor.accept(&["OVERWRITE"]) {
        given.existing = if header(cursor)? { CopyExisting::Overwrite } else { CopyExisting::Refuse };
    } else if cursor.accept(&["APPEND"]) || cursor.accept(&["OVERWRITE_OR_IGNORE"]) {
        given.existing = if header(cursor)? { CopyExisting::Append } else { CopyExisting::Refuse };
    } else if cursor.ahead(&["ENCODING"]) {
        encoding(cursor)?;
    } else if cursor.ahead(&["BINARY"]) {
        return cursor.refused(SqlError::unsupported("COPY in binary format is not supported"));
    } else if ["FORCE", "FORCE_QUOTE", "FORCE_NULL", "FORCE_NOT_NULL", "FREEZE", "ON_ERROR", "DEFAULT"]
        .iter()
        .any(|word| cursor.ahead(&[word]))
    {
        return cursor.refused(SqlError::unsupported("this option of COPY is not supported"));
    } else {
        return cursor.unexpected("an option of COPY");
    }
    Ok(())
}

fn format(cursor: &mut Cursor<'_>) -> Result<CopyFormat> {
    let position = cursor.position();
    let name = match cursor.peek(0) {
        Token::SingleQuotedString(_) => cursor.string()?,
        _ => cursor.ident()?.value,
    };
    match name.to_ascii_lowercase().as_str() {
        "text" => Ok(CopyFormat::Text),
        "csv" => Ok(CopyFormat::Csv),
        "json" => Ok(CopyFormat::Json),
        "parquet" => Ok(CopyFormat::Parquet),
        _ => {
            let message = format!("COPY format \"{name}\" not recognized");
            let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
            let error = error.with_hint("the formats are text, csv, json and parquet");
            Err(Fail::Refused(error.at(position)))
        }
    }
}

fn compression(cursor: &mut Cursor<'_>) -> Result<CopyCompression> {
    let position = cursor.position();
    let name = match cursor.peek(0) {
        Token::SingleQuotedString(_) => cursor.string()?,
        _ => cursor.ident()?.value,
    };
    match name.to_ascii_lowercase().as_str() {
        "none" | "uncompressed" => Ok(CopyCompression::None),
        "snappy" => Ok(CopyCompression::Snappy),
        "zstd" => Ok(CopyCompression::Zstd),
        "gzip" => Ok(CopyCompression::Gzip),
        _ => {
            let message = format!("COPY compression \"{name}\" not recognized");
            let error = SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message);
            let error = error.with_hint("the compressions are none, snappy, zstd and gzip");
            Err(Fail::Refused(error.at(position)))
        }
    }
}

/// `[true|false|on|off|1|0|match]`, true where nothing stands.
fn header(cursor: &mut Cursor<'_>) -> Result<bool> {
    for (word, on) in [("TRUE", true), ("ON", true), ("MATCH", true), ("FALSE", false), ("OFF", false)] {
        if cursor.accept(&[word]) {
            return Ok(on);
        }
    }
    if let Token::Number(number, _) = cursor.peek(0) {
        let on = number == "1";
        cursor.parser.advance_token();
        return Ok(on);
    }
    Ok(true)
}

/// `[AS] 'c'`: one byte.
fn character(cursor: &mut Cursor<'_>, name: &str) -> Result<u8> {
    cursor.accept(&["AS"]);
    let position = cursor.position();
    let text = cursor.string()?;
    let text = if text == "\\t" { "\t".to_owned() } else { text };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => {
            let message = format!("COPY {name} must be a single one-byte character");
            let error = SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, message);
            Err(Fail::Refused(error.at(position)))
        }
    }
}

fn encoding(cursor: &mut Cursor<'_>) -> Result<()> {
    cursor.expect(&["ENCODING"])?;
    let position = cursor.position();
    let name = cursor.string()?;
    if ["utf8", "utf-8", "unicode"].iter().any(|known| known.eq_ignore_ascii_case(&name)) {
        return Ok(());
    }
    let error = SqlError::unsupported(format!("COPY in encoding \"{name}\" is not supported"));
    Err(Fail::Refused(error.with_hint("the encoding is UTF8").at(position)))
}

impl Given {
    /// The options with what is usual for the format.
    fn finish(self, to: bool, end: &CopyEnd) -> std::result::Result<CopyOptions, SqlError> {
        let format = match (self.format, end) {
            (Some(format), _) => format,
            (None, CopyEnd::File(path)) => format_of(path),
            (None, CopyEnd::Client) => CopyFormat::Text,
        };
        let rows = matches!(format, CopyFormat::Text | CopyFormat::Csv);
        if *end == CopyEnd::Client {
            let is_text = rows || (to && format == CopyFormat::Json);
            if !is_text {
                let message = "COPY to and from the client is in text or csv format only";
                return Err(SqlError::unsupported(message).with_hint("json goes to the client only"));
            }
            if self.compression.is_some() {
                return Err(SqlError::unsupported("COPY to and from the client is not compressed"));
            }
        }
        let folder = !self.partition_by.is_empty() || self.existing != CopyExisting::Refuse;
        if folder && (!to || *end == CopyEnd::Client) {
            let message = "PARTITION_BY, OVERWRITE and APPEND go with COPY … TO a directory only";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        if self.compression == Some(CopyCompression::Gzip) && format == CopyFormat::Parquet {
            let error = SqlError::unsupported("COPY writes no Parquet files with gzip");
            return Err(error.with_hint("the compressions of Parquet are none, snappy and zstd"));
        }
        if self.compression.is_some() && !to {
            let error = SqlError::unsupported("COPY … FROM takes no compression");
            return Err(error.with_hint("the name of the file tells it; a Parquet file tells it itself"));
        }
        if (!rows && (self.header || self.delimiter.is_some() || self.null.is_some()))
            || (format != CopyFormat::Csv && (self.quote.is_some() || self.escape.is_some()))
        {
            let message = "COPY has an option that its format does not take";
            return Err(
                SqlError::unsupported(message).with_hint("QUOTE and ESCAPE go with csv, the others with text too")
            );
        }
        let csv = format == CopyFormat::Csv;
        let quote = self.quote.unwrap_or(b'"');
        let options = CopyOptions {
            format,
            header: self.header,
            match_header: self.match_header,
            delimiter: self.delimiter.unwrap_or(if csv { b',' } else { b'\t' }),
            null: self.null.unwrap_or_else(|| if csv { String::new() } else { "\\N".to_owned() }),
            quote,
            escape: self.escape.unwrap_or(quote),
            compression: self.compression,
            partition_by: self.partition_by,
            existing: self.existing,
        };
        if csv && options.delimiter == options.quote {
            let message = "COPY delimiter and quote must be different";
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
        }
        Ok(options)
    }
}

/// What the names of compressed files end in.
const PACKED: [&str; 10] = [".gz", ".gzip", ".zst", ".zstd", ".deflate", ".zz", ".snappy", ".sz", ".bz2", ".xz"];

/// What the name of a file says; text where it says nothing.
fn format_of(path: &str) -> CopyFormat {
    let name = without_settings(path).to_ascii_lowercase();
    let packed = PACKED.into_iter().find_map(|ending| name.strip_suffix(ending));
    match packed.unwrap_or(&name).rsplit('.').next() {
        Some("parquet") => CopyFormat::Parquet,
        Some("csv") => CopyFormat::Csv,
        Some("json" | "jsonl" | "ndjson") => CopyFormat::Json,
        Some(_) | None => CopyFormat::Text,
    }
}
