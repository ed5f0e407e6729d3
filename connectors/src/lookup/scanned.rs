//! [`Scanned`]: lookups in a table that can only be read as a whole, on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::BATCH_ROWS;
use millstream_engine::ports::{Answer, Lookup, LookupCache, ReadContext, ReadPoll, Source, SplitReader, WakeHandle};
use millstream_engine::rejects::Rejects;
use millstream_engine::time::{Clock, ProcessingTime};

use super::options::{CacheOption, LookupOptions};

/// How long who fetches rows is waited for until it is looked at unasked.
const LOOK: Duration = Duration::from_secs(1);

/// A bounded source, read anew for each lookup, or kept as a whole.
pub(crate) struct Scanned {
    source: Arc<dyn Source>,
    options: LookupOptions,
    requests: Sender<(RecordBatch, Answer)>,
}

impl fmt::Debug for Scanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanned").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Scanned {
    /// Lookups in `source` by these columns of it.
    ///
    /// # Errors
    /// Where a key column has a type that cannot be compared, or there can be no thread.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        keys: Vec<usize>,
        options: LookupOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let schema = source.schema();
        let fields = keys.iter().filter_map(|&key| schema.fields().get(key));
        let encoder = RowConverter::new(fields.map(|field| SortField::new(field.data_type().clone())).collect())?;
        let (requests, inbox) = channel();
        let worker = Worker { source: Arc::clone(&source), keys, encoder, options, clock, loaded: None };
        // It ends with the last sender.
        thread::Builder::new()
            .name("millstream-lookup".to_owned())
            .spawn(move || worker.run(&inbox))
            .map_err(|error| EngineError::io("could not start a thread for lookups", error))?;
        Ok(Self { source, options, requests })
    }
}

impl Lookup for Scanned {
    fn schema(&self) -> SchemaRef {
        self.source.schema()
    }

    fn look_up(&self, keys: RecordBatch, answer: Answer) {
        if let Err(lost) = self.requests.send((keys, answer)) {
            lost.0.1.give(Err(EngineError::Internal("the thread for lookups has ended".into())));
        }
    }

    fn cache(&self) -> Option<LookupCache> {
        self.options.engine_cache()
    }

    fn describe(&self) -> String {
        let how = match self.options.cache {
            CacheOption::Full(Some(_)) => "kept whole and loaded again",
            CacheOption::Full(None) => "kept whole",
            CacheOption::None | CacheOption::Partial(_) => "read for each batch of keys",
        };
        format!("{}, {how}", self.source.describe())
    }
}

/// What the thread has.
struct Worker {
    source: Arc<dyn Source>,
    keys: Vec<usize>,
    encoder: RowConverter,
    options: LookupOptions,
    clock: Arc<dyn Clock>,
    loaded: Option<Loaded>,
}

/// The whole table.
struct Loaded {
    at: ProcessingTime,
    rows: RecordBatch,
    by_key: HashMap<Box<[u8]>, Vec<u32>>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<(RecordBatch, Answer)>) {
        for (keys, answer) in inbox {
            let mut rows = self.answer(&keys);
            for _ in 0..self.options.retries_max {
                if rows.is_ok() {
                    break;
                }
                rows = self.answer(&keys);
            }
            answer.give(rows);
        }
    }

    fn answer(&mut self, keys: &RecordBatch) -> Result<RecordBatch> {
        let CacheOption::Full(reload_us) = self.options.cache else {
            let wanted = self.encoder.convert_columns(keys.columns())?;
            let wanted: HashSet<Box<[u8]>> = wanted.iter().map(|key| Box::from(key.as_ref())).collect();
            return self.read(|encoded| wanted.contains(encoded));
        };
        let now = self.clock.now();
        let fresh = |loaded: &Loaded| reload_us.is_none_or(|reload_us| loaded.at.plus_us(reload_us) > now);
        let loaded = match self.loaded.take().filter(fresh) {
            Some(loaded) => loaded,
            None => self.load(now)?,
        };
        let wanted = self.encoder.convert_columns(keys.columns())?;
        let rows = wanted.iter().filter_map(|key| loaded.by_key.get(key.as_ref())).flatten().copied();
        let rows = take_record_batch(&loaded.rows, &rows.collect::<UInt32Array>())?;
        self.loaded = Some(loaded);
        Ok(rows)
    }

    fn load(&self, at: ProcessingTime) -> Result<Loaded> {
        let rows = self.read(|_| true)?;
        let mut by_key: HashMap<Box<[u8]>, Vec<u32>> = HashMap::new();
        for (row, key) in (0..).zip(self.encoder.convert_columns(&self.key_columns(&rows))?.iter()) {
            by_key.entry(key.as_ref().into()).or_default().push(row);
        }
        Ok(Loaded { at, rows, by_key })
    }

    /// The rows of the table whose encoded key is wanted.
    fn read(&self, wanted: impl Fn(&[u8]) -> bool) -> Result<RecordBatch> {
        let mut found = Vec::new();
        for split in self.source.splits(1)? {
            let mut reader = self.source.reader(&split)?;
            let (woken, waits) = channel();
            let wake = WakeHandle::new(move || {
                // Who is not there any more needs no waking.
                let _ = woken.send(());
            });
            while let Some(batch) = next(reader.as_mut(), self.clock.now(), (&wake, &waits))? {
                let encoded = self.encoder.convert_columns(&self.key_columns(&batch))?;
                let keep: BooleanArray = encoded.iter().map(|key| Some(wanted(key.as_ref()))).collect();
                found.push(filter_record_batch(&batch, &keep)?);
            }
        }
        Ok(concat_batches(&self.source.schema(), &found)?)
    }

    fn key_columns(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect()
    }
}

/// The next rows of a split that ends. What is fetched elsewhere is waited for.
fn next(
    reader: &mut dyn SplitReader,
    now: ProcessingTime,
    (wake, waits): (&WakeHandle, &Receiver<()>),
) -> Result<Option<RecordBatch>> {
    let mut rejects = Rejects::default();
    loop {
        let context = &mut ReadContext { rows_max: BATCH_ROWS, now, flushing: false, wake, rejects: &mut rejects };
        match reader.poll(context)? {
            ReadPoll::Batch(batch) => return Ok(Some(batch)),
            ReadPoll::End => return Ok(None),
            ReadPoll::Fetching { .. } => {
                // Now and then it is looked at unasked: whoever fetches may have ended without a word.
                let _ = waits.recv_timeout(LOOK);
            }
            ReadPoll::Changes(_) | ReadPoll::Pending { .. } | ReadPoll::Splits(_) => {
                return Err(EngineError::Unsupported("a lookup in a table that is not simply read to its end".into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::mpsc::TryRecvError;
    use std::thread;

    use arrow::array::{AsArray, Int32Array};
    use arrow::datatypes::Int32Type;

    use super::*;

    /// Fetches two batches on another thread.
    struct Fetching {
        batches: Option<Receiver<RecordBatch>>,
    }

    impl SplitReader for Fetching {
        fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
            let wake = context.wake.clone();
            let batches = self.batches.get_or_insert_with(|| {
                let (out, batches) = channel();
                thread::spawn(move || {
                    for value in [1, 2] {
                        let column: ArrayRef = Arc::new(Int32Array::from(vec![value]));
                        out.send(RecordBatch::try_from_iter([("a", column)]).unwrap()).unwrap();
                        wake.wake();
                    }
                    drop(out);
                    wake.wake();
                });
                batches
            });
            Ok(match batches.try_recv() {
                Ok(batch) => ReadPoll::Batch(batch),
                Err(TryRecvError::Empty) => ReadPoll::Fetching { retry_at: None },
                Err(TryRecvError::Disconnected) => ReadPoll::End,
            })
        }

        fn offset(&self) -> String {
            String::new()
        }

        fn seek(&mut self, _offset: &str) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_fetched_elsewhere_is_waited_for() {
        let (woken, waits) = channel();
        let wake = WakeHandle::new(move || {
            let _ = woken.send(());
        });
        let mut reader = Fetching { batches: None };
        let mut values = Vec::new();
        while let Some(batch) = next(&mut reader, ProcessingTime(0), (&wake, &waits)).unwrap() {
            values.push(batch.column(0).as_primitive::<Int32Type>().value(0));
        }
        assert_eq!(values, [1, 2]);
    }
}
