//! What files hold that nobody declared: a schema from their beginning, for queries that name files as tables.
//!
//! Only CSV and JSON; a Parquet file tells its own schema. Which files there are is [`super::listing`]'s to say.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::csv::reader::Format as CsvShape;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::json::reader::infer_json_schema_from_iterator;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionValues, TableSpec};
use millstream_engine::rejects::Rejects;

use super::compressed;
use super::json_names::Names;
use super::listing::{Listed, Location};
use super::place::Place;
use super::{json_layout, partition, table};
use crate::bucket::Bucket;
use crate::formats::csv::CsvFormat;
use crate::formats::json::ANY_LAYOUT_OPTION;
use crate::formats::{Format, Progress};

/// Bytes of a file that are looked at.
const SAMPLE_BYTES: u64 = 4 << 20;

/// Columns that a file may have whose columns nobody declared.
const COLUMNS_MAX: usize = 4096;

/// Files whose beginning is looked at: columns that only others have are not seen.
const FILES_MAX: usize = 16;

/// Files that were found, in order of their names.
#[derive(Debug, Clone)]
pub struct FoundFiles {
    place: Place,
    /// What was looked for, settings of the URL left out.
    base: PathBuf,
    files: Vec<Listed>,
}

/// The files that a path or URL stands for: a file, a directory with all below it, or a pattern; or those of a list of them
/// ([`super::list_of_paths`]). `None`: nothing is there.
///
/// # Errors
/// Where something cannot be read, or the URL is of an unknown kind.
pub fn find_files(path: &str) -> Result<Option<FoundFiles>> {
    let location = Location::parse(path)?;
    let found = location.find()?;
    Ok(found.map(|files| FoundFiles { place: location.place, base: location.path, files }))
}

impl FoundFiles {
    /// The paths of the files; in a bucket their URLs without settings.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The paths of those that are not empty.
    fn with_bytes(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().filter(|file| file.size > 0).map(|file| file.path.as_path())
    }

    /// Where they are, if not on this machine.
    pub fn bucket(&self) -> Option<&Arc<Bucket>> {
        match &self.place {
            Place::Local => None,
            Place::Bucket(bucket) => Some(bucket),
        }
    }

    /// What was looked for; in a bucket its URL without settings.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Whether a directory `name=value` stands for null.
    pub fn has_null_partition(&self) -> bool {
        let is_null = |part: std::path::Component<'_>| {
            let text = part.as_os_str().to_str().and_then(|part| part.split_once('='));
            text.is_some_and(|(_, value)| [partition::HIVE_DEFAULT_NAME, partition::DEFAULT_NAME].contains(&value))
        };
        self.paths().any(|file| file.components().any(is_null))
    }

    /// The columns that the directories `name=value` between what was looked for and the files stand for, with types that fit
    /// all values.
    pub fn partition_columns(&self) -> Fields {
        let mut values: BTreeMap<(usize, String), Vec<Option<String>>> = BTreeMap::new();
        let plain =
            |component: &std::path::Component<'_>| !component.as_os_str().to_string_lossy().contains(['*', '?', '[']);
        let above = self.base.components().take_while(plain).count();
        for file in self.paths() {
            let below = file.components().skip(above);
            for (place, component) in below.enumerate() {
                let Some((name, _)) = component.as_os_str().to_str().and_then(|part| part.split_once('=')) else {
                    continue;
                };
                if let Some(value) = partition::value(file, name, partition::DEFAULT_NAME) {
                    values.entry((place, name.to_owned())).or_default().push(value);
                }
            }
        }
        let whole = values.into_iter().filter(|(_, found)| found.len() == self.files.len());
        whole.map(|((_, name), found)| Field::new(name, type_of(&found), true)).collect()
    }

    /// The beginning of a file, whole lines only.
    fn sample(&self, file: &Path) -> Result<Vec<u8>> {
        let io = |error| EngineError::io(format_args!("cannot read file \"{}\"", file.display()), error);
        let mut sample = Vec::new();
        compressed::open(&self.place, file, 0).map_err(io)?.take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(io)?;
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
}

/// All bytes of a file, unpacked. `None` where there is none of that path or URL.
///
/// # Errors
/// Where it cannot be read, or does not hold what its name tells.
pub fn read_whole(path: &str) -> Result<Option<Vec<u8>>> {
    let location = Location::parse(path)?;
    let refuse = |error| EngineError::io(format_args!("cannot read file \"{}\"", location.path.display()), error);
    let mut bytes = Vec::new();
    match compressed::open(&location.place, &location.path, 0) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.and_then(|mut file| file.read_to_end(&mut bytes)).map_err(refuse)?,
    };
    Ok(Some(bytes))
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
    let found: BTreeSet<String> = files.iter().map(|file| of_file(&file.path)).collect();
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
pub fn infer_csv(files: &FoundFiles, options: &OptionValues) -> Result<(Fields, OptionValues)> {
    let mut options = options.clone();
    options.0.entry("csv.header".to_owned()).or_insert_with(|| "true".to_owned());
    let header = options.boolean("csv.header", true)?;
    let mut columns: Vec<Field> = Vec::new();
    for file in files.with_bytes().take(if header { FILES_MAX } else { 1 }) {
        let sample = files.sample(file)?;
        if !options.0.contains_key("csv.field-delimiter") {
            let comments = options.boolean("csv.allow-comments", false)?;
            options.0.insert("csv.field-delimiter".to_owned(), delimiter(&sample, comments).to_string());
        }
        let sample = readable(sample, &options)?;
        let fields = csv_columns(file, &sample, header, &options)?;
        merge(&mut columns, fields);
    }
    some_columns(files, &columns)?;
    Ok((columns.into(), options))
}

/// The columns of files of JSON objects, and the options to read them with: they say it where the objects stand otherwise than one
/// a line. Lines that are no object are passed over where `json.ignore-parse-errors` says so.
///
/// # Errors
/// Where a file cannot be read or is no JSON.
pub fn infer_json(files: &FoundFiles, options: &OptionValues) -> Result<(Fields, OptionValues)> {
    let (mut columns, mut options): (Vec<Field>, _) = (Vec::new(), options.clone());
    let ignore = options.boolean("json.ignore-parse-errors", false)?;
    for file in files.with_bytes().take(FILES_MAX) {
        let mut sample = files.sample(file)?;
        if json_layout::is_other(&sample) {
            sample = json_layout::sample_lines(&sample);
            options.0.insert(ANY_LAYOUT_OPTION.to_owned(), "any".to_owned());
        }
        let fields = json_columns(file, &sample, ignore)?;
        check_count(file, fields.len())?;
        merge(&mut columns, fields.iter().map(|field| ours(field)).collect());
    }
    some_columns(files, &columns)?;
    Ok((columns.into(), options))
}

/// The columns of one file, in the order in which they come.
fn json_columns(file: &Path, sample: &[u8], ignore: bool) -> Result<Fields> {
    let mut names = Names::default();
    let lines = sample.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let values = lines.filter_map(|line| match serde_json::from_slice::<serde_json::Value>(line) {
        Ok(value) if value.is_object() || !ignore => {
            names.take(line);
            Some(Ok(value))
        }
        Ok(_) => None,
        Err(_) if ignore => None,
        Err(error) => Some(Err(ArrowError::JsonError(format!("Not valid JSON: {error}")))),
    });
    let schema = infer_json_schema_from_iterator(values).map_err(|error| refuse(file, &error))?;
    Ok(names.sorted(schema.fields()))
}

/// What of a sample tells types: where bad lines are passed over, those with as many fields as the first.
fn readable(sample: Vec<u8>, options: &OptionValues) -> Result<Vec<u8>> {
    if !options.boolean("csv.ignore-parse-errors", false)? {
        return Ok(sample);
    }
    Ok(CsvFormat::from_options(options)?.even_records(&sample))
}

/// Refuses files in which nothing is.
fn some_columns(files: &FoundFiles, columns: &[Field]) -> Result<()> {
    if !columns.is_empty() {
        return Ok(());
    }
    let message = format!("\"{}\" has no columns: nothing is in its files", files.base().display());
    Err(EngineError::BadRow { message, hint: None })
}

/// The delimiter that the first line has most of that is no comment.
fn delimiter(sample: &[u8], comments: bool) -> char {
    let mut lines = sample.split(|byte| *byte == b'\n');
    let line = lines.find(|line| !comments || !line.starts_with(b"#")).unwrap_or_default();
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
    check_count(file, schema.fields().len())?;
    let mut columns: Vec<Field> = schema.fields().iter().map(|field| ours(field)).collect();
    if header {
        no_name_twice(file, &columns)?;
    }
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

/// Refuses a first line that gives two columns one name: they would be read as one.
fn no_name_twice(file: &Path, columns: &[Field]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match columns.iter().find(|column| !seen.insert(column.name().to_lowercase())) {
        None => Ok(()),
        Some(column) => Err(EngineError::BadRow {
            message: format!("the first line of file \"{}\" names column \"{}\" twice", file.display(), column.name()),
            hint: Some("header => false reads it as rows, and names => [...] names the columns".to_owned()),
        }),
    }
}

/// Whether our decoder reads the sample.
fn decodes(columns: &[Field], sample: &[u8], options: &OptionValues) -> Result<bool> {
    let mut options = options.clone();
    options.0.insert("format".to_owned(), "csv".to_owned());
    options.0.remove("csv.ignore-parse-errors");
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

/// Refuses what is no table of anybody's, but a text without the line ends that it should have.
fn check_count(file: &Path, columns: usize) -> Result<()> {
    if columns <= COLUMNS_MAX {
        return Ok(());
    }
    let message = format!("file \"{}\" has {columns} columns, more than {COLUMNS_MAX}", file.display());
    Err(EngineError::BadRow {
        message,
        hint: Some("it may be of another format, or have another delimiter".to_owned()),
    })
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
