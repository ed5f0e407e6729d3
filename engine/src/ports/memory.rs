//! [`MemorySource`]: a bounded source over batches in memory. For `VALUES` and for tests.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::{Boundedness, ReadContext, ReadPoll, Source, Split, SplitReader};
use crate::error::{EngineError, Result};

/// Batches by split.
pub struct MemorySource {
    schema: SchemaRef,
    splits: Vec<Arc<[RecordBatch]>>,
}

impl MemorySource {
    /// A source of these batches; each inner list is a split, read in its order.
    pub fn new(schema: SchemaRef, splits: Vec<Vec<RecordBatch>>) -> Self {
        Self { schema, splits: splits.into_iter().map(Arc::from).collect() }
    }
}

impl fmt::Debug for MemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl Source for MemorySource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn replayable(&self) -> bool {
        true
    }

    fn splits(&self, _parallelism: usize) -> Result<Vec<Split>> {
        Ok((0..self.splits.len()).map(|index| Split { id: index.to_string() }).collect())
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        let batches = split.id.parse::<usize>().ok().and_then(|index| self.splits.get(index));
        let batches = batches.ok_or_else(|| EngineError::Internal(format!("no split {}", split.id)))?;
        Ok(Box::new(MemoryReader { batches: Arc::clone(batches), batch: 0, row: 0 }))
    }

    fn describe(&self) -> String {
        let rows: usize = self.splits.iter().flat_map(|split| split.iter()).map(RecordBatch::num_rows).sum();
        format!("{rows} rows in memory")
    }
}

/// Reads one split; stands before row `row` of batch `batch`.
struct MemoryReader {
    batches: Arc<[RecordBatch]>,
    batch: usize,
    row: usize,
}

impl SplitReader for MemoryReader {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        while let Some(batch) = self.batches.get(self.batch) {
            let rows = batch.num_rows().saturating_sub(self.row).min(context.rows_max);
            if rows == 0 {
                (self.batch, self.row) = (self.batch + 1, 0);
                continue;
            }
            let part = batch.slice(self.row, rows);
            self.row += rows;
            return Ok(ReadPoll::Batch(part));
        }
        Ok(ReadPoll::End)
    }

    fn offset(&self) -> String {
        format!("{}:{}", self.batch, self.row)
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        let place = offset.split_once(':').and_then(|(batch, row)| Some((batch.parse().ok()?, row.parse().ok()?)));
        let place = place.ok_or_else(|| EngineError::Internal(format!("not an offset: {offset}")))?;
        (self.batch, self.row) = place;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;
    use crate::ports::WakeHandle;
    use crate::rejects::Rejects;
    use crate::time::ProcessingTime;

    fn poll(reader: &mut dyn SplitReader) -> Option<usize> {
        let (wake, mut rejects) = (WakeHandle::noop(), Rejects::default());
        let now = ProcessingTime(0);
        let mut context = ReadContext { rows_max: 2, now, flushing: false, wake: &wake, rejects: &mut rejects };
        match reader.poll(&mut context).unwrap() {
            ReadPoll::Batch(batch) => Some(batch.num_rows()),
            ReadPoll::Changes(_)
            | ReadPoll::Fetching { .. }
            | ReadPoll::Pending { .. }
            | ReadPoll::Splits(_)
            | ReadPoll::End => None,
        }
    }

    #[test]
    fn it_reads_in_pieces_and_continues_from_an_offset() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("a", column)]).unwrap();
        let source = MemorySource::new(batch.schema(), vec![vec![batch.clone(), batch]]);
        let split = source.splits(4).unwrap().pop().unwrap();
        let mut reader = source.reader(&split).unwrap();
        assert_eq!((poll(&mut *reader), poll(&mut *reader)), (Some(2), Some(1)));
        let mut again = source.reader(&split).unwrap();
        again.seek(&reader.offset()).unwrap();
        assert_eq!((poll(&mut *again), poll(&mut *again), poll(&mut *again)), (Some(2), Some(1), None));
    }
}
