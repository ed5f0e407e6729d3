//! [`Rows`]: messages to rows, from their keys, values and metadata.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::{Delta, Sign};
use millstream_engine::rejects::Rejects;

use super::layout::{Layout, Output};
use super::metadata::{Metadata, MetadataColumn};
use super::queue::Message;
use super::settings::{Flavour, Settings};
use super::upsert::Upsert;
use crate::formats::message::{MessageDecoder, MessageFormat};

/// Where a message stands, for people.
struct Place<'a> {
    message: &'a Message<'a>,
    part: &'static str,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { message, part } = self;
        let (topic, partition, offset) = (message.topic(), message.partition(), message.offset());
        write!(f, "topic \"{topic}\" partition {partition} offset {offset}{part}")
    }
}

/// Rows under construction, of one split.
pub(super) struct Rows {
    layout: Arc<Layout>,
    value: Box<dyn MessageDecoder>,
    key: Option<Box<dyn MessageDecoder>>,
    metadata: Vec<MetadataColumn>,
    /// A message without a value is a row of nulls.
    null_is_row: bool,
    /// The rows of the keys so far, and for each message whether it has a value, where messages replace one another.
    upsert: Option<(Upsert, Vec<bool>)>,
    /// Of the first of those an earlier run has told.
    known: usize,
}

impl Rows {
    /// No rows yet.
    ///
    /// # Errors
    /// Where a format cannot carry a column.
    pub(super) fn new(settings: &Settings, layout: &Arc<Layout>) -> Result<Self> {
        let columns = &settings.columns;
        let key = match &settings.key {
            Some(format) if !layout.key.is_empty() => Some(format.decoder(&columns.key_fields, &layout.key)?),
            Some(_) | None => None,
        };
        let upsert = match settings.flavour {
            Flavour::Append => None,
            Flavour::Upsert => Some((Upsert::new(&columns.key_fields, &layout.schema)?, Vec::new())),
        };
        Ok(Self {
            layout: Arc::clone(layout),
            value: settings.value.decoder(&columns.value_fields, &layout.value)?,
            key,
            metadata: layout.metadata.iter().copied().map(Metadata::column).collect(),
            null_is_row: matches!(settings.value, MessageFormat::Raw),
            upsert,
            known: 0,
        })
    }

    /// Appends the rows of a message; `rejects` takes what breaks its format.
    ///
    /// # Errors
    /// A message that breaks its format.
    pub(super) fn push(&mut self, message: &Message<'_>, rejects: &mut Rejects) -> Result<()> {
        let before = self.value.rows();
        let mut place = Place { message, part: "" };
        match message.payload() {
            Some(value) => match self.value.decode(value, &place) {
                Ok(lost) => rejects.count_nulled(u64::from(lost)),
                Err(error) => return rejects.record(value, &place, false, || error),
            },
            None if self.upsert.is_some() => return self.push_deletion(message, rejects),
            None if self.null_is_row => self.value.decode_null(&place)?,
            None => {}
        }
        let count = self.value.rows() - before;
        place.part = " key";
        for _ in 0..count {
            if !self.push_key(message, &place, rejects)? {
                self.value.truncate(before);
                return Ok(());
            }
            for column in &mut self.metadata {
                column.push(message)?;
            }
            if let Some((_, has_value)) = &mut self.upsert {
                has_value.push(true);
            }
        }
        Ok(())
    }

    fn push_deletion(&mut self, message: &Message<'_>, rejects: &mut Rejects) -> Result<()> {
        let pushed = self.push_key(message, &Place { message, part: " key" }, rejects)?;
        if let Some((_, has_value)) = self.upsert.as_mut().filter(|_| pushed) {
            has_value.push(false);
        }
        Ok(())
    }

    /// Appends the row of the key. False where it was lost.
    fn push_key(&mut self, message: &Message<'_>, place: &Place<'_>, rejects: &mut Rejects) -> Result<bool> {
        let Some(decoder) = &mut self.key else { return Ok(true) };
        let before = decoder.rows();
        let decoded = match message.key() {
            Some(key) => decoder.decode(key, place),
            None => decoder.decode_null(place).map(|()| false),
        };
        match decoded {
            Ok(lost) => rejects.count_nulled(u64::from(lost)),
            Err(error) => {
                rejects.record(message.key().unwrap_or_default(), place, false, || error)?;
                return Ok(false);
            }
        }
        if decoder.rows() == before + 1 {
            return Ok(true);
        }
        // A key of several lines has several rows: none of them is the row of the message.
        decoder.truncate(before);
        Ok(false)
    }

    /// Whether messages replace one another.
    pub(super) fn replaces(&self) -> bool {
        self.upsert.is_some()
    }

    /// Of all messages so far an earlier run has told.
    pub(super) fn set_known(&mut self) {
        self.known = self.len();
    }

    /// Rows, and messages that delete one.
    pub(super) fn len(&self) -> usize {
        match &self.upsert {
            Some((_, has_value)) => has_value.len(),
            None => self.value.rows(),
        }
    }

    /// The changes so far; `None` where they come to nothing.
    ///
    /// # Errors
    /// Where Arrow refuses a column.
    pub(super) fn finish(&mut self) -> Result<Option<Delta>> {
        let keys = match &mut self.key {
            Some(key) => key.finish()?.batch.columns().to_vec(),
            None => Vec::new(),
        };
        let value = self.value.finish()?;
        let metadata: Vec<ArrayRef> = self.metadata.iter_mut().map(MetadataColumn::finish).collect();
        let Some((upsert, has_value)) = &mut self.upsert else {
            let batch = assemble(&self.layout, value.rows(), &keys, value.batch.columns(), &metadata)?;
            return Ok(Some(Delta { batch, sign: value.sign }).filter(|delta| delta.rows() > 0));
        };
        debug_assert!(matches!(value.sign, Sign::AppendOnly));
        let has_value = std::mem::take(has_value);
        let own = upsert.keys_with_values(&keys, &has_value)?;
        let batch = assemble(&self.layout, value.rows(), &own, value.batch.columns(), &metadata)?;
        upsert.apply(&keys, &has_value, &batch, std::mem::take(&mut self.known))
    }
}

/// The columns of the scan.
fn assemble(
    layout: &Layout,
    rows: usize,
    keys: &[ArrayRef],
    values: &[ArrayRef],
    metadata: &[ArrayRef],
) -> Result<RecordBatch> {
    let column = |output: &Output| {
        let array = match output {
            Output::Key(index) => keys.get(*index),
            Output::Value(index) => values.get(*index),
            Output::Metadata(index) => metadata.get(*index),
        };
        array.cloned().ok_or_else(|| EngineError::Internal("a column of a message is missing".to_owned()))
    };
    let columns = layout.outputs.iter().map(column).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&layout.schema), columns, &options)?)
}
