//! The source over files in a temporary directory, polled by hand.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use millstream_engine::error::EngineError;
use millstream_engine::ports::{OptionValues, ReadContext, ReadPoll, SplitReader, WakeHandle};
use millstream_engine::time::ProcessingTime;
use tempfile::TempDir;

use super::*;

fn spec(path: &Path, options: &[(&str, &str)]) -> TableSpec {
    let metadata = HashMap::from([(TableSpec::METADATA_KEY.to_owned(), "file.name".to_owned())]);
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("dt", DataType::Utf8, true),
        Field::new("name", DataType::Utf8, true).with_metadata(metadata),
    ];
    let mut values =
        BTreeMap::from([("path".to_owned(), path.display().to_string()), ("format".to_owned(), "json".to_owned())]);
    values.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    TableSpec {
        name: "t".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        options: OptionValues(values),
        partitioned_by: vec![],
        primary_key: vec![],
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn open(spec: &TableSpec) -> Arc<dyn Source> {
    let connector = Filesystem::default();
    connector.validate(spec).unwrap();
    connector.source(spec, &ScanRequest::all(spec.schema.fields().len())).unwrap()
}

fn poll(reader: &mut dyn SplitReader, now: i64, flushing: bool, rows_max: usize) -> Result<ReadPoll> {
    let mut rejects = millstream_engine::rejects::Rejects::default();
    reader.poll(&mut ReadContext {
        rows_max,
        now: ProcessingTime(now),
        flushing,
        wake: &WakeHandle::noop(),
        rejects: &mut rejects,
    })
}

fn column_a(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

/// All rows of column `a` up to the end, or to the first pending.
fn drain(reader: &mut dyn SplitReader, now: i64, flushing: bool) -> Vec<i64> {
    let mut rows = vec![];
    while let ReadPoll::Batch(batch) = poll(reader, now, flushing, 2).unwrap() {
        rows.extend(column_a(&batch));
    }
    rows
}

#[test]
fn a_directory_is_read_by_name() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("b.json"), "{\"a\":3,\"dt\":\"x\"}\n{\"a\":4}\n{\"a\":5}");
    write(&dir.path().join("a/1.json"), "{\"a\":1}\r\n\n{\"a\":2}\n");
    write(&dir.path().join(".part.inprogress"), "nonsense");
    write(&dir.path().join("a/_SUCCESS"), "");
    let source = open(&spec(dir.path(), &[]));
    let splits = source.splits(4).unwrap();
    assert_eq!(splits.len(), 2);
    let rows: Vec<i64> =
        splits.iter().flat_map(|split| drain(source.reader(split).unwrap().as_mut(), 0, false)).collect();
    assert_eq!(rows, [1, 2, 3, 4, 5]);
    let ReadPoll::Batch(batch) = poll(source.reader(&splits[1]).unwrap().as_mut(), 0, false, 10).unwrap() else {
        panic!("no rows")
    };
    assert_eq!(batch.column(2).as_string::<i32>().value(2), "b.json");
    let glob = open(&spec(&dir.path().join("*.json"), &[]));
    assert_eq!(glob.splits(1).unwrap().len(), 1);
    let filtered = open(&spec(dir.path(), &[("source.path.regex-pattern", ".*/1\\.json")]));
    assert_eq!(filtered.splits(1).unwrap().len(), 1);
}

#[test]
fn reading_continues_from_an_offset() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("a.json"), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{bad");
    let source = open(&spec(dir.path(), &[]));
    let split = source.splits(1).unwrap().remove(0);
    let mut reader = source.reader(&split).unwrap();
    poll(reader.as_mut(), 0, false, 2).unwrap();
    let offset = reader.offset();
    let mut again = source.reader(&split).unwrap();
    again.seek(&offset).unwrap();
    let ReadPoll::Batch(batch) = poll(again.as_mut(), 0, false, 1).unwrap() else { panic!("no rows") };
    assert_eq!(column_a(&batch), [3]);
    let error = poll(again.as_mut(), 0, false, 1).unwrap_err().to_string();
    assert!(error.contains("a.json line 4: invalid JSON"), "{error}");
}

#[test]
fn missing_paths() {
    let dir = TempDir::new().unwrap();
    let missing = dir.path().join("missing");
    let error = open(&spec(&missing, &[])).splits(1).unwrap_err();
    assert!(matches!(error, EngineError::Io { .. }) && error.to_string().contains("missing"), "{error}");
    assert!(open(&spec(&dir.path().join("*.none"), &[])).splits(1).is_err());
    assert!(open(&spec(dir.path(), &[])).splits(1).unwrap().is_empty());
}

#[test]
fn a_watched_directory_gives_each_file_once() {
    let dir = TempDir::new().unwrap();
    let watched = dir.path().join("in");
    let source = open(&spec(&watched, &[("source.monitor-interval", "10 s")]));
    assert_eq!(source.boundedness(), Boundedness::Unbounded);
    let splits = source.splits(4).unwrap();
    assert_eq!(splits.len(), 1);
    let mut reader = source.reader(&splits[0]).unwrap();
    let second = 1_000_000;
    let ReadPoll::Pending { retry_at } = poll(reader.as_mut(), 0, false, 10).unwrap() else { panic!("rows") };
    assert_eq!(retry_at, Some(ProcessingTime(10 * second)));
    write(&watched.join("a.json"), "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n");
    assert_eq!(drain(reader.as_mut(), 9 * second, false), [0; 0]);
    assert_eq!(drain(reader.as_mut(), 10 * second, false), [1, 2, 3]);
    write(&watched.join("b.json"), "{\"a\":4}\n");
    assert_eq!(drain(reader.as_mut(), 11 * second, true), [4]);
    write(&watched.join("c.json"), "{\"a\":5}\n");
    assert_eq!(drain(reader.as_mut(), 11 * second, true), [5]);
    let mut again = source.reader(&splits[0]).unwrap();
    again.seek(&reader.offset()).unwrap();
    assert_eq!(drain(again.as_mut(), 12 * second, false), [0; 0]);
}

#[test]
fn partitions_come_from_directories() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("dt=2015-07-15%3A1/x.json"), "{\"a\":1,\"dt\":\"other\"}\n");
    let mut spec = spec(dir.path(), &[]);
    spec.partitioned_by = vec![1];
    let source = open(&spec);
    let mut reader = source.reader(&source.splits(1).unwrap()[0]).unwrap();
    let ReadPoll::Batch(batch) = poll(reader.as_mut(), 0, false, 10).unwrap() else { panic!("no rows") };
    assert_eq!(batch.column(1).as_string::<i32>().value(0), "2015-07-15:1");
    write(&dir.path().join("y.json"), "{\"a\":1}\n");
    let splits = source.splits(1).unwrap();
    let error = splits.iter().find_map(|split| source.reader(split).err()).unwrap();
    assert!(error.to_string().contains("dt=…"), "{error}");
}

/// Each part of a table in turn, left behind its first rows and gone on with by another reader.
fn all_parts(source: &dyn Source, parts_min: usize) -> Vec<i64> {
    let splits = source.splits(2).unwrap();
    assert!(splits.len() >= parts_min, "{splits:?}");
    let mut rows = vec![];
    for split in &splits {
        let mut reader = source.reader(split).unwrap();
        if let ReadPoll::Batch(batch) = poll(reader.as_mut(), 0, false, 3).unwrap() {
            rows.extend(column_a(&batch));
        }
        let mut again = source.reader(split).unwrap();
        again.seek(&reader.offset()).unwrap();
        rows.extend(drain(again.as_mut(), 0, false));
    }
    rows
}

#[test]
fn big_files_are_read_in_parts() {
    let dir = TempDir::new().unwrap();
    let wanted: Vec<i64> = (0..1_000).collect();
    let lines: String = wanted.iter().map(|a| format!("{{\"a\":{a}}}\n")).collect();
    write(&dir.path().join("a.json"), &format!("\u{feff}{lines}"));
    for (size, parts) in [("1kb", 9), ("7kb", 2), ("1mb", 1)] {
        let source = open(&spec(&dir.path().join("a.json"), &[("source.split-size", size)]));
        assert_eq!(all_parts(&*source, parts), wanted, "{size}");
    }
    let plain = [("source.split-size", "1kb"), ("csv.disable-quote-character", "true"), ("csv.header", "true")];
    let lines: String = wanted.iter().map(|a| format!("x,{a}\n")).collect();
    write(&dir.path().join("a.csv"), &format!("dt,a\n{lines}"));
    let csv = open(&spec(&dir.path().join("a.csv"), &[&plain[..], &[("format", "csv")]].concat()));
    assert_eq!(all_parts(&*csv, 5), wanted);
    // Between quotes a line end ends nothing.
    let quoted = open(&spec(&dir.path().join("a.csv"), &[&plain[..1], &plain[2..], &[("format", "csv")]].concat()));
    assert_eq!(quoted.splits(4).unwrap().len(), 1);
    assert_eq!(all_parts(&*quoted, 1), wanted);
}

#[test]
fn big_parquet_files_are_read_by_row_groups() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.parquet");
    let wanted: Vec<i64> = (0..1_000).collect();
    let column: arrow::array::ArrayRef = Arc::new(arrow::array::Int64Array::from(wanted.clone()));
    let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(100));
    let file = fs::File::create(&path).unwrap();
    let writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), Some(properties.build()));
    let mut writer = writer.unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for (size, parts) in [("1b", 10), ("1kb", 2), ("1mb", 1)] {
        let source = open(&spec(&path, &[("format", "parquet"), ("source.split-size", size)]));
        assert_eq!(all_parts(&*source, parts), wanted, "{size}");
    }
}

#[test]
fn constants_of_a_split_are_known_without_its_rows() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("dt=x/a.json"), "nonsense");
    let mut spec = spec(dir.path(), &[]);
    spec.partitioned_by = vec![1];
    let source = open(&spec);
    let constants = source.constants(&source.splits(1).unwrap()[0]).unwrap();
    let text = |at: usize| constants[at].as_ref().map(|value| value.as_string::<i32>().value(0).to_owned());
    assert!(constants[0].is_none());
    assert_eq!((text(1).as_deref(), text(2).as_deref()), (Some("x"), Some("a.json")));
}

#[test]
fn tables_that_cannot_work_are_refused() {
    let refuse = |options: &[(&str, &str)]| {
        let error = Filesystem::default().validate(&spec(Path::new("/data"), options)).unwrap_err();
        format!("{error} {}", error.hint().unwrap_or_default())
    };
    assert!(refuse(&[("format", "jsno")]).contains("did you mean 'json'"));
    assert!(refuse(&[("path", "ftp://x/y")]).contains("ftp"));
    assert!(refuse(&[("source.path.regex-pattern", "(")]).contains("regular expression"));
    assert!(refuse(&[("json.ignore-parse-errors", "true"), ("json.fail-on-missing-field", "true")]).contains("both"));
}
