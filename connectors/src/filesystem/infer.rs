//! What files hold that nobody declared: a schema from their beginning, for queries that name files as tables.
//!
//! Only CSV and JSON; a Parquet file tells its own schema. Which files there are is [`super::listing`]'s to say.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::csv::reader::Format as CsvShape;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::json::reader::infer_json_schema;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionValues, TableSpec};
use millstream_engine::rejects::Rejects;

use super::compressed;
use super::listing::Location;
use super::{partition, table};
use crate::formats::{Format, Progress};

/// Bytes of a file that are looked at.
const SAMPLE_BYTES: u64 = 4 << 20;

/// Files whose beginning is looked at: columns that only others have are not seen.
const FILES_MAX: usize = 16;

/// The files that a path stands for, in order of their names: a file, a directory with all below it, or a pattern.
/// `None`: nothing is there.
///
/// # Errors
/// Where something cannot be read, or the path is no local one.
pub fn find_files(path: &str) -> Result<Option<Vec<PathBuf>>> {
    let location = Location { path: table::local_path(path)?, pattern: None };
    let found = location.find()?;
    Ok(found.map(|files| files.into_iter().map(|file| file.path).collect()))
}

/// The columns that the directories `name=value` between a path and its files stand for, with types that fit all values.
pub fn partition_columns(path: &str, files: &[PathBuf]) -> Fields {
    let mut values: BTreeMap<(usize, String), Vec<Option<String>>> = BTreeMap::new();
    let Ok(base) = table::local_path(path) else { return Fields::empty() };
    let plain =
        |component: &std::path::Component<'_>| !component.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let above = base.components().take_while(plain).count();
    for file in files {
        let below = file.components().skip(above);
        for (place, component) in below.enumerate() {
            let Some((name, _)) = component.as_os_str().to_str().and_then(|part| part.split_once('=')) else {
                continue;
            };
            if let Some(value) = partition::value(file, name, partition::HIVE_DEFAULT_NAME) {
                values.entry((place, name.to_owned())).or_default().push(value);
            }
        }
    }
    let whole = values.into_iter().filter(|(_, found)| found.len() == files.len());
    whole.map(|((_, name), found)| Field::new(name, type_of(&found), true)).collect()
}

/// The partitions of a table of files that has some: the part of their directories that names them, in order.
///
/// # Errors
/// Where the table's path cannot be read.
pub fn partitions(spec: &TableSpec) -> Result<Vec<String>> {
    let files = table::FileTable::new(spec)?.location.list_present()?;
    let names: Vec<&str> = spec
        .partitioned_by
        .iter()
        .filter_map(|index| spec.schema.fields().get(*index))
        .map(|field| field.name().as_str())
        .collect();
    let of_file = |file: &Path| -> String {
        let parts = file.components().filter_map(|component| component.as_os_str().to_str());
        let named = parts.filter(|part| part.split_once('=').is_some_and(|(name, _)| names.contains(&name)));
        named.collect::<Vec<_>>().join("/")
    };
    let found: std::collections::BTreeSet<String> = files.iter().map(|file| of_file(&file.path)).collect();
    Ok(found.into_iter().filter(|partition| !partition.is_empty()).collect())
}

fn type_of(values: &[Option<String>]) -> DataType {
    let all = |fits: fn(&str) -> bool| values.iter().flatten().all(|text| fits(text));
    if values.iter().flatten().next().is_none() {
        DataType::Utf8
    } else if all(|text| text.parse::<i64>().is_ok_and(|value| value.to_string() == text)) {
        DataType::Int64
    } else if all(|text| text.len() == 10 && text.parse::<chrono::NaiveDate>().is_ok()) {
        DataType::Date32
    } else {
        DataType::Utf8
    }
}

/// The columns of CSV files, and the options to read them with: `csv.header` and `csv.field-delimiter` are set where
/// `options` do not have them. The first line names the columns unless `csv.header` is `false`.
///
/// # Errors
/// Where a file cannot be read or is no CSV.
pub fn infer_csv(files: &[PathBuf], options: &OptionValues) -> Result<(Fields, OptionValues)> {
    let mut options = options.clone();
    options.0.entry("csv.header".to_owned()).or_insert_with(|| "true".to_owned());
    let header = options.boolean("csv.header", true)?;
    let mut columns: Vec<Field> = Vec::new();
    for file in files.iter().take(if header { FILES_MAX } else { 1 }) {
        let sample = sample(file)?;
        if !options.0.contains_key("csv.field-delimiter") {
            options.0.insert("csv.field-delimiter".to_owned(), delimiter(&sample).to_string());
        }
        let fields = csv_columns(file, &sample, header, &options)?;
        merge(&mut columns, fields);
    }
    Ok((columns.into(), options))
}

/// The columns of files of JSON objects.
///
/// # Errors
/// Where a file cannot be read or is no JSON.
pub fn infer_json(files: &[PathBuf]) -> Result<Fields> {
    let mut columns: Vec<Field> = Vec::new();
    for file in files.iter().take(FILES_MAX) {
        let sample = sample(file)?;
        if sample.trim_ascii_start().first() == Some(&b'[') {
            return Err(EngineError::Config {
                message: format!("file \"{}\" is a JSON array", file.display()),
                hint: Some("files of JSON are read with one object a line".to_owned()),
            });
        }
        let (schema, _) = infer_json_schema(sample.as_slice(), None).map_err(|error| refuse(file, &error))?;
        merge(&mut columns, schema.fields().iter().map(|field| ours(field)).collect());
    }
    Ok(columns.into())
}

/// The beginning of a file, whole lines only.
fn sample(file: &Path) -> Result<Vec<u8>> {
    let io = |error| EngineError::io(format_args!("cannot read file \"{}\"", file.display()), error);
    let mut sample = Vec::new();
    compressed::open(file, 0).map_err(io)?.take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(io)?;
    if sample.len() as u64 == SAMPLE_BYTES
        && let Some(end) = memchr::memrchr(b'\n', &sample)
    {
        sample.truncate(end + 1);
    }
    if let Some(rest) = sample.strip_prefix(b"\xef\xbb\xbf") {
        sample = rest.to_vec();
    }
    Ok(sample)
}

/// The delimiter that the first line has most of.
fn delimiter(sample: &[u8]) -> char {
    let line = sample.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: char| line.iter().filter(|byte| char::from(**byte) == wanted).count();
    let mut best = ',';
    for candidate in [';', '\t', '|'] {
        if count(candidate) > count(best) {
            best = candidate;
        }
    }
    best
}

fn csv_columns(file: &Path, sample: &[u8], header: bool, options: &OptionValues) -> Result<Vec<Field>> {
    let byte = |name: &str| options.get(name).and_then(|text| text.bytes().next());
    let mut shape = CsvShape::default().with_header(header);
    if let Some(delimiter) = options.get("csv.field-delimiter") {
        shape = shape.with_delimiter(if delimiter == "\\t" { b'\t' } else { delimiter.bytes().next().unwrap_or(b',') });
    }
    if let Some(quote) = byte("csv.quote-character") {
        shape = shape.with_quote(quote);
    }
    if let Some(escape) = byte("csv.escape-character") {
        shape = shape.with_escape(escape);
    }
    if options.boolean("csv.allow-comments", false)? {
        shape = shape.with_comment(b'#');
    }
    if let Some(null) = options.get("csv.null-literal")
        && let Ok(pattern) = regex::Regex::new(&format!("^(?:{})?$", regex::escape(null)))
    {
        shape = shape.with_null_regex(pattern);
    }
    let (schema, _) = shape.infer_schema(sample, None).map_err(|error| refuse(file, &error))?;
    let mut columns: Vec<Field> = schema.fields().iter().map(|field| ours(field)).collect();
    if !header {
        for (index, column) in columns.iter_mut().enumerate() {
            column.set_name(format!("column{}", index + 1));
        }
    }
    // Arrow takes more texts for times than our decoder does.
    if !decodes(&columns, sample, options)? {
        for column in &mut columns {
            if matches!(column.data_type(), DataType::Timestamp(..) | DataType::Date32) {
                column.set_data_type(DataType::Utf8);
            }
        }
    }
    Ok(columns)
}

/// Whether our decoder reads the sample.
fn decodes(columns: &[Field], sample: &[u8], options: &OptionValues) -> Result<bool> {
    let mut options = options.clone();
    options.0.insert("format".to_owned(), "csv".to_owned());
    let format = Format::from_options("sample", &options)?;
    let fields: Fields = columns.to_vec().into();
    let wanted: Vec<_> = (0..fields.len()).map(|index| (index, None)).collect();
    let Some(mut decoder) = format.decoder(&fields, &wanted)? else { return Ok(true) };
    let mut rejects = Rejects::default();
    let mut progress = Progress { source: "sample", line: 0, rejects: &mut rejects };
    let Ok(Some(header)) = decoder.header(sample, true, &mut progress) else { return Ok(false) };
    let rows = sample.get(header..).unwrap_or_default();
    Ok(decoder.decode(rows, true, usize::MAX, &mut progress).is_ok())
}

/// The column as our formats carry it: what is always null is text, and may be null.
fn ours(field: &Field) -> Field {
    Field::new(field.name(), our_type(field.data_type()), true)
}

fn our_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null => DataType::Utf8,
        DataType::Timestamp(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
        DataType::List(item) => DataType::List(Arc::new(ours(item))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| ours(field)).collect()),
        other => other.clone(),
    }
}

/// Takes further columns in, by name. Where the types differ, numbers become DOUBLE and all else text.
fn merge(columns: &mut Vec<Field>, more: Vec<Field>) {
    for field in more {
        let Some(known) = columns.iter_mut().find(|known| known.name() == field.name()) else {
            columns.push(field);
            continue;
        };
        if known.data_type() == field.data_type() {
            continue;
        }
        let merged = Schema::try_merge([Schema::new(vec![known.clone()]), Schema::new(vec![field.clone()])]);
        let numbers = known.data_type().is_numeric() && field.data_type().is_numeric();
        let wider = match merged.ok().and_then(|schema| schema.fields().first().cloned()) {
            Some(merged) => merged.data_type().clone(),
            None if numbers => DataType::Float64,
            None => DataType::Utf8,
        };
        known.set_data_type(wider);
    }
}

fn refuse(file: &Path, error: &dyn std::fmt::Display) -> EngineError {
    EngineError::BadRow { message: format!("cannot read file \"{}\": {error}", file.display()), hint: None }
}
