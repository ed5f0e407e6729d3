//! Avro's object container files: a header with the schema, then blocks of records, each packed by itself.
//!
//! Columns take the fields of their names, whatever schema the file was written with; what it does not have is null.
//! Source: the Avro specification 1.11, "Object Container Files".

use std::borrow::Cow;
use std::io::Read;

use arrow::array::RecordBatch;
use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Delta;
use millstream_engine::ports::OptionValues;

use super::AvroFormat;
use super::decode::AvroMessages;
use super::encode::AvroMessageEncoder;
use super::read::Bytes;
use crate::formats::fault::Fault;
use crate::formats::message::{MessageDecoder, MessageEncoder, Messages};
use crate::formats::{Progress, RecordDecoder, RecordEncoder, WantedColumn};

const MAGIC: &[u8] = b"Obj\x01";

/// Behind the header and every block: another reader finds the next block by it. Files of one writer may share it.
const SYNC: [u8; 16] = *b"millstream avro\n";

/// Bytes that a block may unpack to.
const BLOCK_BYTES_MAX: u64 = 1 << 30;

/// How the blocks of a file are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// Reads a file.
pub(crate) struct AvroFileDecoder {
    records: AvroMessages,
    codec: Codec,
    sync: [u8; 16],
}

impl AvroFileDecoder {
    /// A decoder that reads the `wanted` ones of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(crate) fn new(columns: &Fields, wanted: &[WantedColumn]) -> Result<Self> {
        let records = AvroMessages::new(&AvroFormat::plain(&OptionValues::default())?, columns, wanted)?;
        Ok(Self { records, codec: Codec::Null, sync: SYNC })
    }

    /// Reads the header. `Ok(None)`: it is not whole yet.
    fn read_header(&mut self, bytes: &[u8], at_end: bool) -> Result<Option<usize>, Box<Fault>> {
        let mut header = Bytes::new(bytes);
        let read = (|| {
            if header.take(MAGIC.len())? != MAGIC {
                return Ok(Err("the file is no Avro file".to_owned()));
            }
            let (mut schema, mut codec) = (None, Codec::Null);
            loop {
                let entries = header.block()?;
                if entries == 0 {
                    break;
                }
                for _ in 0..entries {
                    let (key, value) = (header.bytes()?, header.bytes()?);
                    match key {
                        b"avro.schema" => schema = Some(String::from_utf8_lossy(value).into_owned()),
                        b"avro.codec" => match codec_of(value) {
                            Ok(known) => codec = known,
                            Err(message) => return Ok(Err(message)),
                        },
                        _ => {}
                    }
                }
            }
            let sync = header.array()?;
            Ok::<_, Box<Fault>>(Ok((schema, codec, sync)))
        })();
        let wrong = |message: String| Fault::syntax(0, message);
        match read {
            // A header that ends too early goes on in the next piece of the file.
            Err(_) if !at_end => Ok(None),
            Err(fault) => Err(fault),
            Ok(Err(message)) => Err(wrong(message)),
            Ok(Ok((schema, codec, sync))) => {
                let schema = schema.ok_or_else(|| wrong("the file has no schema".to_owned()))?;
                self.records.bind_to(&schema).map_err(wrong)?;
                (self.codec, self.sync) = (codec, sync);
                Ok(Some(header.at))
            }
        }
    }

    /// Takes the next block. `Ok(None)`: it is not whole yet.
    fn block(&mut self, bytes: &[u8], at_end: bool) -> Result<Option<usize>, Box<Fault>> {
        let mut block = Bytes::new(bytes);
        let whole = (|| Ok::<_, Box<Fault>>((block.long()?, block.bytes()?, block.array::<16>()?)))();
        let (count, packed, sync) = match whole {
            Ok(whole) => whole,
            Err(_) if !at_end => return Ok(None),
            Err(fault) => return Err(fault),
        };
        if sync != self.sync {
            return Err(Fault::syntax(block.at, "invalid Avro: a block does not end with the mark of the file"));
        }
        let count = u64::try_from(count).map_err(|_| Fault::syntax(0, "invalid Avro: a block has a negative count"))?;
        let rows = unpack(self.codec, packed).map_err(|message| Fault::syntax(0, message))?;
        self.records.records(count, &rows)?;
        Ok(Some(block.at))
    }
}

impl RecordDecoder for AvroFileDecoder {
    fn header(&mut self, bytes: &[u8], at_end: bool, progress: &mut Progress<'_>) -> Result<Option<usize>> {
        self.read_header(bytes, at_end).map_err(|fault| fault.into_error(progress.source, b"", ""))
    }

    fn decode(&mut self, bytes: &[u8], at_end: bool, rows_max: usize, progress: &mut Progress<'_>) -> Result<usize> {
        let mut consumed = 0;
        // A block is taken whole: it is where a read can begin again.
        while self.rows() < rows_max {
            let rest = bytes.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            match self.block(rest, at_end).map_err(|fault| fault.into_error(progress.source, b"", ""))? {
                Some(len) => consumed += len,
                None => break,
            }
        }
        Ok(consumed)
    }

    fn rows(&self) -> usize {
        MessageDecoder::rows(&self.records)
    }

    fn finish(&mut self) -> Result<RecordBatch> {
        Ok(MessageDecoder::finish(&mut self.records)?.batch)
    }
}

fn codec_of(name: &[u8]) -> Result<Codec, String> {
    match name {
        b"null" | b"" => Ok(Codec::Null),
        b"deflate" => Ok(Codec::Deflate),
        b"snappy" => Ok(Codec::Snappy),
        b"zstandard" => Ok(Codec::Zstandard),
        other => Err(format!("the codec \"{}\" is not supported", String::from_utf8_lossy(other))),
    }
}

/// What a block unpacks to.
fn unpack(codec: Codec, packed: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let mut unpacked = Vec::new();
    let read = match codec {
        Codec::Null => return Ok(Cow::Borrowed(packed)),
        Codec::Deflate => flate2::read::DeflateDecoder::new(packed).take(BLOCK_BYTES_MAX).read_to_end(&mut unpacked),
        Codec::Zstandard => {
            let decoder = zstd::stream::read::Decoder::new(packed);
            decoder.and_then(|decoder| decoder.take(BLOCK_BYTES_MAX).read_to_end(&mut unpacked))
        }
        Codec::Snappy => {
            // Four bytes of a checksum follow.
            let body = packed.split_last_chunk::<4>().map_or(packed, |(body, _)| body);
            let length = snap::raw::decompress_len(body).map_err(|error| error.to_string())?;
            if length as u64 > BLOCK_BYTES_MAX {
                return Err("invalid Avro: a block is too long".to_owned());
            }
            let unpacked = snap::raw::Decoder::new().decompress_vec(body);
            return unpacked.map(Cow::Owned).map_err(|error| format!("invalid Avro: {error}"));
        }
    };
    read.map_err(|error| format!("invalid Avro: {error}"))?;
    Ok(Cow::Owned(unpacked))
}

/// Writes a file: a block a batch, not packed.
pub(crate) struct AvroFileEncoder {
    schema: String,
    records: AvroMessageEncoder,
    block: Messages,
}

impl AvroFileEncoder {
    /// An encoder of `columns`.
    ///
    /// # Errors
    /// Where Avro cannot carry a column.
    pub(crate) fn new(columns: &Fields) -> Result<Self> {
        let format = AvroFormat::plain(&OptionValues::default())?;
        let records = AvroMessageEncoder::new(&format, columns)?;
        Ok(Self { schema: format.written(columns)?, records, block: Messages::default() })
    }
}

impl RecordEncoder for AvroFileEncoder {
    fn header(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(MAGIC);
        long(2, into);
        for (key, value) in [("avro.schema", self.schema.as_str()), ("avro.codec", "null")] {
            for text in [key, value] {
                long(text.len() as u64, into);
                into.extend_from_slice(text.as_bytes());
            }
        }
        long(0, into);
        into.extend_from_slice(&SYNC);
    }

    fn encode(&mut self, batch: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.block.clear();
        self.records.encode(&Delta::append(batch.clone()), &mut self.block)?;
        long(batch.num_rows() as u64, into);
        long(self.block.data.len() as u64, into);
        into.extend_from_slice(&self.block.data);
        into.extend_from_slice(&SYNC);
        Ok(())
    }
}

/// Appends a number that is not negative as a zigzag varint.
fn long(value: u64, into: &mut Vec<u8>) {
    let mut rest = value << 1;
    while rest >= 0x80 {
        into.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

/// Checks that Avro can carry the columns of a file.
///
/// # Errors
/// Names the first that it cannot carry.
pub(crate) fn check(columns: &Fields) -> Result<()> {
    AvroFileEncoder::new(columns).map(|_| ()).map_err(|error| EngineError::config(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    #[test]
    fn what_is_written_is_read_by_name() {
        let id: ArrayRef = Arc::new(Int64Array::from_iter((0..100).map(|row| (row % 3 > 0).then_some(row))));
        let name: ArrayRef = Arc::new(StringArray::from_iter_values((0..100).map(|row| format!("n{row}"))));
        let batch = RecordBatch::try_from_iter_with_nullable([("id", id, true), ("name", name, true)]).unwrap();
        let mut encoder = AvroFileEncoder::new(batch.schema().fields()).unwrap();
        let mut bytes = Vec::new();
        encoder.header(&mut bytes);
        encoder.encode(&batch, &mut bytes).unwrap();
        encoder.encode(&batch.slice(0, 10), &mut bytes).unwrap();

        let columns: Fields = vec![
            Field::new("added", DataType::Utf8, true),
            Field::new("NAME", DataType::Utf8, true),
            Field::new("id", DataType::Int64, true),
        ]
        .into();
        let wanted = [(0, None), (1, None), (2, None)];
        let mut decoder = AvroFileDecoder::new(&columns, &wanted).unwrap();
        let mut rejects = millstream_engine::rejects::Rejects::default();
        let mut progress = Progress { source: "f", line: 0, rejects: &mut rejects };
        assert_eq!(decoder.header(bytes.get(..20).unwrap(), false, &mut progress).unwrap(), None);
        let start = decoder.header(&bytes, false, &mut progress).unwrap().unwrap();
        let rest = bytes.get(start..).unwrap();
        assert_eq!(decoder.decode(rest.get(..50).unwrap(), false, 1_000, &mut progress).unwrap(), 0);
        assert_eq!(decoder.decode(rest, true, 1_000, &mut progress).unwrap(), rest.len());
        let read = decoder.finish().unwrap();
        assert_eq!(read.num_rows(), 110);
        assert_eq!(read.column(0).null_count(), 110);
        assert_eq!(read.column(1).slice(0, 100).as_ref(), batch.column(1).as_ref());
        assert_eq!(read.column(2).slice(0, 100).as_ref(), batch.column(0).as_ref());
        let short = rest.get(..rest.len() - 1).unwrap();
        assert!(decoder.decode(short, true, 1_000, &mut progress).is_err());
    }
}
