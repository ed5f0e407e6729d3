//! The records of an internal table's log, version 1. Each is one Arrow IPC stream, readable by every Arrow library: the
//! table's columns, then, where rows are taken away, a column `millstream.retracted` that is true for those.
//!
//! The metadata of the stream's schema say the `millstream.position` of the change, a number that grows by one from change to
//! change, and under `millstream.record` whether it is a `change`, or a `snapshot`: all rows as they were after the change
//! of that position.

use std::collections::HashMap;
use std::panic::catch_unwind;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use millstream_engine::message::{Delta, Sign};

const POSITION: &str = "millstream.position";
const RECORD: &str = "millstream.record";
const RETRACTED: &str = "millstream.retracted";
const CHANGE: &str = "change";
const SNAPSHOT: &str = "snapshot";

/// A record of a table's log.
#[derive(Debug, Clone)]
pub(super) struct TableRecord {
    /// Of the last change that is in it.
    pub(super) position: u64,
    /// All rows as of that position, rather than a change of them.
    pub(super) snapshot: bool,
    /// The rows.
    pub(super) delta: Delta,
}

/// A record as bytes.
///
/// # Errors
/// Where Arrow cannot write a column.
pub(super) fn encode(record: &TableRecord) -> Result<Vec<u8>, ArrowError> {
    let batch = &record.delta.batch;
    let kind = if record.snapshot { SNAPSHOT } else { CHANGE };
    let metadata =
        HashMap::from([(POSITION.to_owned(), record.position.to_string()), (RECORD.to_owned(), kind.to_owned())]);
    let mut fields = batch.schema().fields().to_vec();
    let mut columns = batch.columns().to_vec();
    if let Sign::Retracts(bits) = &record.delta.sign {
        fields.push(Arc::new(Field::new(RETRACTED, DataType::Boolean, false)));
        columns.push(Arc::new(BooleanArray::new(bits.clone(), None)));
    }
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes)
}

/// The record that bytes stand for.
///
/// # Errors
/// Where they are not one.
pub(super) fn decode(bytes: &[u8]) -> Result<TableRecord, ArrowError> {
    // Arrow's reader panics where a buffer does not lie within its message.
    catch_unwind(|| read(bytes)).unwrap_or_else(|_| Err(ArrowError::ParseError("it is damaged".into())))
}

fn read(bytes: &[u8]) -> Result<TableRecord, ArrowError> {
    let wrong = |what: &str| ArrowError::ParseError(format!("{what} is missing or wrong"));
    // Unlike a reader it makes no room for what only a length promises.
    let batch = StreamDecoder::new().decode(&mut Buffer::from(bytes))?.ok_or_else(|| wrong("the batch"))?;
    let names = batch.schema();
    let metadata = names.metadata();
    let position = metadata.get(POSITION).and_then(|text| text.parse().ok()).ok_or_else(|| wrong(POSITION))?;
    let snapshot = match metadata.get(RECORD).map(String::as_str) {
        Some(SNAPSHOT) => true,
        Some(CHANGE) => false,
        _ => return Err(wrong(RECORD)),
    };
    let columns = match names.fields().last() {
        Some(last) if last.name() == RETRACTED => batch.num_columns() - 1,
        _ => batch.num_columns(),
    };
    let schema = Schema::new(names.fields().iter().take(columns).cloned().collect::<Vec<_>>());
    let rows = RecordBatch::try_new(Arc::new(schema), batch.columns().iter().take(columns).cloned().collect())?;
    let delta = match batch.columns().get(columns) {
        None => Delta::append(rows),
        Some(bits) if bits.data_type() == &DataType::Boolean && bits.null_count() == 0 => {
            Delta::signed(rows, arrow::array::cast::as_boolean_array(bits).values().clone())
        }
        Some(_) => return Err(wrong(RETRACTED)),
    };
    Ok(TableRecord { position, snapshot, delta })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use arrow::buffer::BooleanBuffer;
    use millstream_engine::message::{Delta, Sign};

    use super::{TableRecord, decode, encode};

    fn rows() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "ü"]));
        RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, false)]).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let signed = Delta::signed(rows(), BooleanBuffer::from(vec![true, false, true]));
        for (delta, snapshot) in [(Delta::append(rows()), true), (signed, false)] {
            let record = TableRecord { position: 41, snapshot, delta };
            let back = decode(&encode(&record).unwrap()).unwrap();
            assert_eq!((back.position, back.snapshot), (41, snapshot));
            assert_eq!(back.delta.sign, record.delta.sign);
            assert_eq!(back.delta.batch.columns(), record.delta.batch.columns());
            assert_eq!(back.delta.batch.schema().fields(), record.delta.batch.schema().fields());
        }
        assert_eq!(Delta::append(rows()).sign, Sign::AppendOnly);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(b"no arrow").is_err());
        let bytes = encode(&TableRecord { position: 1, snapshot: false, delta: Delta::append(rows()) }).unwrap();
        assert!(decode(&bytes[..bytes.len() / 2]).is_err());
    }
}
