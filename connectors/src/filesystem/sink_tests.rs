//! The sink, driven by hand: rolling, partitions, marks, and that its files read back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{
    MemoryStateStore, OptionValues, ReadContext, ReadPoll, SinkContext, SinkRecovery, SinkWriter, StateStore,
    WakeHandle,
};
use millstream_engine::time::{EventTime, ProcessingTime, VirtualClock};
use tempfile::TempDir;

use super::sink::{FileSink, SharedFileSink};
use super::*;

const MINUTE_US: i64 = 60_000_000;

fn spec(path: &Path, partitioned: bool, options: &[(&str, &str)]) -> TableSpec {
    let fields = vec![
        Field::new("a", DataType::Int64, true),
        Field::new("dt", DataType::Utf8, true),
        Field::new("hm", DataType::Utf8, true),
    ];
    let mut values =
        BTreeMap::from([("path".to_owned(), path.display().to_string()), ("format".to_owned(), "csv".to_owned())]);
    values.extend(options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    TableSpec {
        name: "t".to_owned(),
        schema: Arc::new(Schema::new(fields)),
        options: OptionValues(values),
        partitioned_by: if partitioned { vec![1, 2] } else { vec![] },
        primary_key: vec![],
    }
}

fn rows(spec: &TableSpec, rows: &[(i64, &str, &str)]) -> Delta {
    let batch = RecordBatch::try_new(
        Arc::clone(&spec.schema),
        vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
        ],
    );
    Delta::append(batch.unwrap())
}

struct Rig {
    clock: Arc<VirtualClock>,
    sink: SharedFileSink,
}

impl Rig {
    fn new(spec: &TableSpec) -> Self {
        Filesystem::default().validate(spec).unwrap();
        let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
        let sink = SharedFileSink(Arc::new(FileSink::new(spec, Arc::<VirtualClock>::clone(&clock)).unwrap()));
        Self { clock, sink }
    }

    fn writer(&self, shard: usize, shards: usize) -> Box<dyn SinkWriter> {
        let (job, wake) = ("j".to_owned(), WakeHandle::noop());
        self.sink.writer(SinkContext { job, shard, shards, sink: 0, store: None, wake }).unwrap()
    }
}

/// Ends an epoch; committing twice must not matter.
fn epoch(writer: &mut dyn SinkWriter) {
    if let Some(token) = writer.prepare(Epoch(1)).unwrap() {
        writer.commit(&token).unwrap();
        writer.commit(&token).unwrap();
    }
}

/// The visible files below a directory with their directories, and their content.
fn visible(path: &Path) -> Vec<(String, String)> {
    let mut found = vec![];
    let Ok(entries) = fs::read_dir(path) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(visible(&path).into_iter().map(|(below, text)| (format!("{name}/{below}"), text)));
        } else if !name.starts_with('.') {
            let name = if name.starts_with("part-") { "part".to_owned() } else { name };
            found.push((name, fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    found.sort();
    found
}

fn names(path: &Path) -> Vec<String> {
    visible(path).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn files_roll_by_age_size_and_at_the_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("out");
    let options = [("sink.rolling-policy.rollover-interval", "1 min"), ("sink.rolling-policy.file-size", "20 b")];
    let spec = spec(&path, false, &options);
    let rig = Rig::new(&spec);
    let mut writer = rig.writer(0, 1);
    writer.write(&rows(&spec, &[(1, "x", "y")])).unwrap();
    epoch(writer.as_mut());
    assert!(visible(&path).is_empty());
    rig.clock.advance_us(MINUTE_US);
    epoch(writer.as_mut());
    assert_eq!(visible(&path), [("part".to_owned(), "1,x,y\n".to_owned())]);
    writer.write(&rows(&spec, &[(2, "x", "y"), (3, "long enough to roll", "y")])).unwrap();
    epoch(writer.as_mut());
    assert_eq!(names(&path).len(), 2);
    writer.write(&rows(&spec, &[(4, "x", "y")])).unwrap();
    writer.on_end();
    epoch(writer.as_mut());
    assert_eq!(names(&path).len(), 3);
}

#[test]
fn partitions_are_marked_when_all_shards_have_passed_them() {
    let dir = TempDir::new().unwrap();
    let options = [
        ("sink.partition-commit.trigger", "partition-time"),
        ("sink.partition-commit.delay", "1 min"),
        ("sink.partition-commit.policy.kind", "success-file"),
        ("partition.time-extractor.timestamp-pattern", "$dt $hm:00"),
    ];
    let spec = spec(dir.path(), true, &options);
    let rig = Rig::new(&spec);
    let (mut first, mut second) = (rig.writer(0, 2), rig.writer(1, 2));
    let day = "2015-07-15";
    first.write(&rows(&spec, &[(1, day, "00:00"), (2, day, "00:01"), (3, day, "00:00")])).unwrap();
    second.write(&rows(&spec, &[(4, day, "00:00")])).unwrap();
    let at = |minutes: i64| EventTime(1_436_918_400_000_000 + minutes * MINUTE_US);
    first.on_watermark(at(1)).unwrap();
    epoch(first.as_mut());
    epoch(second.as_mut());
    let part = "dt=2015-07-15/hm=00%3A00/part".to_owned();
    assert_eq!(visible(dir.path()), [(part.clone(), "1\n3\n".to_owned())]);
    second.on_watermark(at(1)).unwrap();
    epoch(second.as_mut());
    let mark = "dt=2015-07-15/hm=00%3A00/_SUCCESS".to_owned();
    assert_eq!(names(dir.path()), [mark.clone(), part.clone(), part]);
    for writer in [&mut first, &mut second] {
        writer.on_watermark(EventTime::MAX).unwrap();
        writer.on_end();
        epoch(writer.as_mut());
    }
    assert_eq!(names(dir.path()).len(), 5);
    assert!(names(dir.path()).contains(&"dt=2015-07-15/hm=00%3A01/_SUCCESS".to_owned()));
}

#[test]
fn what_is_written_reads_back_in_every_format() {
    for format in ["csv", "json", "parquet"] {
        let dir = TempDir::new().unwrap();
        let spec = spec(dir.path(), true, &[("format", format)]);
        let rig = Rig::new(&spec);
        let mut writer = rig.writer(0, 1);
        let many: Vec<(i64, &str, &str)> =
            (0..500).map(|a| (a, "d", if a % 2 == 0 { "even" } else { "odd" })).collect();
        writer.write(&rows(&spec, &many)).unwrap();
        writer.on_end();
        epoch(writer.as_mut());
        let source = Filesystem::default().source(&spec, &ScanRequest::all(3)).unwrap();
        let splits = source.splits(1).unwrap();
        assert_eq!(splits.len(), 2, "{format}");
        for (split, name) in splits.iter().zip(["even", "odd"]) {
            let wanted: Vec<(i64, &str, &str)> = many.iter().filter(|row| row.2 == name).copied().collect();
            let mut context = ReadContext {
                rows_max: 1_000,
                now: ProcessingTime(0),
                flushing: false,
                wake: &WakeHandle::noop(),
                rejects: &mut millstream_engine::rejects::Rejects::default(),
            };
            let mut reader = source.reader(split).unwrap();
            let ReadPoll::Batch(batch) = reader.poll(&mut context).unwrap() else { panic!("no rows") };
            assert_eq!(batch, rows(&spec, &wanted).batch, "{format}");
            assert!(matches!(reader.poll(&mut context).unwrap(), ReadPoll::End));
        }
    }
}

#[test]
fn sinks_that_cannot_work_are_refused() {
    let refuse = |partitioned, options: &[(&str, &str)]| {
        Filesystem::default().validate(&spec(Path::new("/data"), partitioned, options)).unwrap_err().to_string()
    };
    let mark = ("sink.partition-commit.policy.kind", "success-file");
    assert!(refuse(false, &[mark]).contains("no partitions"));
    let options = [
        mark,
        ("sink.partition-commit.trigger", "partition-time"),
        ("partition.time-extractor.timestamp-pattern", "$dt $hour"),
    ];
    assert!(refuse(true, &options).contains("$hour"));
}

#[test]
fn a_checkpoint_ends_open_files_and_what_was_no_part_of_it_goes() {
    let home = TempDir::new().unwrap();
    let spec = spec(home.path(), true, &[]);
    let rig = Rig::new(&spec);
    let mut writer = rig.writer(0, 1);
    writer.write(&rows(&spec, &[(1, "a", "x"), (2, "b", "x")])).unwrap();
    // An epoch alone ends nothing.
    assert!(writer.prepare(Epoch(1)).unwrap().is_none());
    let token = writer.prepare_checkpoint(Epoch(2)).unwrap().unwrap();
    writer.write(&rows(&spec, &[(3, "a", "x")])).unwrap();
    assert!(visible(home.path()).is_empty());
    drop(writer);
    // The server dies here. Another job's unfinished files stay.
    let other = home.path().join(".part-1-0-0.csv.0123456789abcdef.inprogress");
    fs::write(&other, b"").unwrap();
    let again = Rig::new(&spec);
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
    let kept = std::slice::from_ref(&token);
    again.sink.recover(&SinkRecovery { job: "j", sink: 0, kept, store: &store }).unwrap();
    let mut writer = again.writer(0, 1);
    writer.commit(&token).unwrap();
    writer.commit(&token).unwrap();
    let written: Vec<String> = visible(home.path()).into_iter().map(|(_, content)| content).collect();
    assert_eq!(written.len(), 2, "{written:?}");
    assert!(written.concat().contains('1') && written.concat().contains('2') && !written.concat().contains('3'));
    assert!(other.exists());
    let unfinished = |path: &Path| fs::read_dir(path).unwrap().count();
    assert_eq!(unfinished(&home.path().join("dt=a").join("hm=x")), 1);
}
