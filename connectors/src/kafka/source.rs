//! [`KafkaSource`]: a table over topics, opened for reading.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::plan::ChangelogMode;
use millstream_engine::ports::{Boundedness, ScanRequest, Source, Split, SplitPlace, SplitReader, TableSpec};
use parking_lot::Mutex;

use super::clerk::Clerk;
use super::client::{self, Consumer};
use super::format_offset::{self, Place};
use super::layout::{Layout, Output};
use super::partitions::{self, Partition};
use super::reader::{Discovery, Reader};
use super::rows::Rows;
use super::settings::{Flavour, Point, Settings};
use super::stream::Stream;

/// See the module.
pub(super) struct KafkaSource {
    settings: Arc<Settings>,
    layout: Arc<Layout>,
    /// Made when the splits are listed.
    opened: Mutex<Option<Opened>>,
}

/// The client, and what was found when the splits were listed.
struct Opened {
    consumer: Option<Arc<Consumer>>,
    clerk: Clerk,
    /// Where each partition begins and ends.
    spans: BTreeMap<Partition, (i64, Option<i64>)>,
    /// Where partitions go on whose next message is gone.
    moved: BTreeMap<Partition, i64>,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.clerk.release(consumer);
        }
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl KafkaSource {
    /// A source of the columns of a request. Asks no broker yet.
    ///
    /// # Errors
    /// Where a column is not the table's.
    pub(super) fn new(settings: Settings, table: &TableSpec, request: &ScanRequest) -> Result<Self> {
        let layout = Arc::new(Layout::new(&settings, table, request)?);
        Rows::new(&settings, &layout)?;
        Ok(Self { settings: Arc::new(settings), layout, opened: Mutex::new(None) })
    }

    /// Connects, and finds out where each partition begins and ends. `earlier`: the splits of an earlier run, of which
    /// `known` have been begun.
    fn open(&self, earlier: &[SplitPlace], known: &[Place]) -> Result<Opened> {
        let consumer = Arc::new(client::consumer(&self.settings.client)?);
        let clerk = Clerk::new(Arc::clone(&consumer), Arc::clone(&self.settings))?;
        let mut opened =
            Opened { consumer: Some(Arc::clone(&consumer)), clerk, spans: BTreeMap::new(), moved: BTreeMap::new() };
        let settings = &self.settings;
        let found = partitions::list(&consumer, settings)?;
        let is_known = |partition: &Partition| known.iter().any(|place| place.partition == *partition);
        let is_later =
            |partition: &Partition| !earlier.is_empty() && earlier.iter().all(|place| place.split.id != partition.id());
        let begin = || found.iter().filter(|partition| !is_known(partition));
        // What has come since the earlier run is read from its first message.
        let later = begin().filter(|partition| is_later(partition));
        let mut starts = partitions::locate(&consumer, settings, later, &Point::Earliest)?;
        let others = begin().filter(|partition| !is_later(partition));
        starts.extend(partitions::locate(&consumer, settings, others, &settings.start)?);
        let open = begin().filter(|partition| !starts.contains_key(*partition));
        if open.clone().next().is_some() {
            let point = match &settings.start {
                Point::Group => partitions::fallback(settings)?,
                Point::Earliest | Point::Latest | Point::Timestamp(_) | Point::Offsets(_) => Point::Earliest,
            };
            let more = partitions::locate(&consumer, settings, open, &point)?;
            starts.extend(more);
        }
        let stops = match &settings.stop {
            Some(stop) => partitions::locate(&consumer, settings, found.iter(), stop)?,
            None => BTreeMap::new(),
        };
        opened.moved = partitions::move_lost(&consumer, settings, &found, known)?;
        starts.extend(known.iter().map(|place| (place.partition.clone(), place.next)));
        for partition in found {
            let start = starts.get(&partition).copied().unwrap_or(0);
            // A bounded read ends at once in a partition whose end nobody names.
            let stop = settings.stop.as_ref().map(|_| stops.get(&partition).copied().unwrap_or(start));
            opened.spans.insert(partition, (start, stop));
        }
        Ok(opened)
    }
}

impl Source for KafkaSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.layout.schema)
    }

    fn boundedness(&self) -> Boundedness {
        match self.settings.stop {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::Unbounded,
        }
    }

    fn changelog(&self) -> ChangelogMode {
        match self.settings.flavour {
            Flavour::Append if !self.settings.value.tells_changes() => ChangelogMode::Append,
            Flavour::Append | Flavour::Upsert => ChangelogMode::Retract,
        }
    }

    fn stream_key(&self) -> Option<Vec<usize>> {
        if self.settings.flavour == Flavour::Append {
            return None;
        }
        let place = |wanted: usize| {
            let mut outputs = self.layout.outputs.iter();
            outputs.position(|output| matches!(output, Output::Key(index) if *index == wanted))
        };
        (0..self.settings.columns.key.len()).map(place).collect()
    }

    fn replayable(&self) -> bool {
        true
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>> {
        let opened = self.open(&[], &[])?;
        let splits = opened.spans.keys().map(|partition| Split { id: partition.id() }).collect();
        *self.opened.lock() = Some(opened);
        Ok(splits)
    }

    fn resume(&self, known: &[SplitPlace]) -> Result<Vec<Split>> {
        let mut places = Vec::with_capacity(known.len());
        for SplitPlace { offset, .. } in known.iter().filter(|place| !place.ended) {
            let Some(offset) = offset else { continue };
            let lost = || EngineError::Internal(format!("not an offset of Kafka: {offset}"));
            places.extend(format_offset::decode(offset).ok_or_else(lost)?);
        }
        let opened = self.open(known, &places)?;
        let ids = opened.spans.keys().map(Partition::id);
        let new = ids.filter(|id| known.iter().all(|place| place.split.id != *id)).map(|id| Split { id }).collect();
        *self.opened.lock() = Some(opened);
        // A read that ends does so at the partitions that it began with.
        Ok(if self.settings.stop.is_some() { Vec::new() } else { new })
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let lost = || EngineError::Internal(format!("no partition {}", split.id));
        let opened = self.opened.lock();
        let opened = opened.as_ref().ok_or_else(lost)?;
        let consumer = opened.consumer.as_ref().ok_or_else(lost)?;
        let partition = Partition::from_id(&split.id).ok_or_else(lost)?;
        // One that was found later is read whole.
        let (start, stop) = opened.spans.get(&partition).copied().unwrap_or((0, None));
        let first = opened.spans.keys().next() == Some(&partition);
        let interval_us = self.settings.discovery_us.filter(|_| first && self.settings.stop.is_none());
        let discovery = interval_us.map(|interval_us| Discovery {
            interval_us,
            known: opened.spans.keys().cloned().collect(),
            due: None,
            asked: None,
        });
        let rows = Rows::new(&self.settings, &self.layout)?;
        let moved = opened.moved.get(&partition).copied();
        let reader = Reader::new(Arc::clone(consumer), opened.clerk.clone(), Stream::new(partition, start, stop), rows);
        let commits = self.settings.client.contains_key("group.id");
        Ok(Box::new(reader.discovering(discovery).moved(moved).committing(commits)))
    }

    fn describe(&self) -> String {
        let Settings { topics, value, .. } = self.settings.as_ref();
        let name = match self.settings.flavour {
            Flavour::Append => "kafka",
            Flavour::Upsert => "upsert-kafka",
        };
        format!("{name} {topics} at {} ({})", self.settings.servers(), value.name())
    }
}
