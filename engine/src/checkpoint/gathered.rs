//! [`Gathered`]: where the rows of a table come from, while changes are applied one after another.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, MutableArrayData, RecordBatch, RecordBatchOptions, make_array, new_empty_array};
use arrow::datatypes::SchemaRef;

use super::edits::Edit;
use crate::error::{EngineError, Result};

/// See the module.
#[derive(Debug, Clone)]
pub struct Gathered {
    schema: SchemaRef,
    sources: Vec<RecordBatch>,
    /// In the order of the rows; none is empty.
    stretches: Vec<Stretch>,
}

/// Neighbouring rows of a source.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    source: u32,
    from: u32,
    rows: u32,
}

impl Gathered {
    /// A whole table of these columns.
    ///
    /// # Errors
    /// Where it has over 2^32 rows.
    pub fn whole(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let mut gathered = Self { schema: Arc::clone(schema), sources: Vec::new(), stretches: Vec::new() };
        gathered.stretches = gathered.add(batches)?;
        Ok(gathered)
    }

    /// The table after changes, whose new rows these are.
    ///
    /// # Errors
    /// Where the changes do not fit the table.
    pub fn changed(mut self, edits: &[Edit], fresh: &[RecordBatch]) -> Result<Self> {
        let added = self.add(fresh)?;
        let (before, fresh) = (Reader::new(&self.stretches), Reader::new(&added));
        let mut stretches = Vec::with_capacity(self.stretches.len() + added.len() + edits.len());
        let mut told = 0;
        for edit in edits {
            before.read(edit.from as usize, edit.rows as usize, &mut stretches)?;
            fresh.read(told, edit.fresh as usize, &mut stretches)?;
            told += edit.fresh as usize;
        }
        if told != fresh.rows {
            return Err(unfit());
        }
        self.stretches = stretches;
        Ok(self)
    }

    /// Keeps batches; gives all their rows.
    fn add(&mut self, batches: &[RecordBatch]) -> Result<Vec<Stretch>> {
        let mut stretches = Vec::with_capacity(batches.len());
        for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
            let source = u32::try_from(self.sources.len()).map_err(|_| unfit())?;
            let rows = u32::try_from(batch.num_rows()).map_err(|_| unfit())?;
            self.sources.push(batch.clone());
            stretches.push(Stretch { source, from: 0, rows });
        }
        Ok(stretches)
    }

    /// The rows, in one batch unless a column of it would have over 2 GiB of text.
    ///
    /// # Errors
    /// Where the sources have other columns.
    pub fn batches(&self) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        let mut open = vec![self.stretches.clone()];
        while let Some(mut stretches) = open.pop() {
            match self.batch(&stretches) {
                Ok(batch) => batches.push(batch),
                Err(EngineError::Evaluate(_)) if stretches.len() > 1 => {
                    open.push(stretches.split_off(stretches.len() / 2));
                    open.push(stretches);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(batches)
    }

    fn batch(&self, stretches: &[Stretch]) -> Result<RecordBatch> {
        let rows = stretches.iter().map(|stretch| stretch.rows as usize).sum();
        if let ([only], [Stretch { from: 0, .. }]) = (&self.sources[..], stretches)
            && only.num_rows() == rows
        {
            return Ok(only.clone());
        }
        let columns = (0..self.schema.fields().len()).map(|column| self.column(column, stretches, rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns.collect::<Result<_>>()?, &options)?)
    }

    fn column(&self, column: usize, stretches: &[Stretch], rows: usize) -> Result<ArrayRef> {
        let data_type = self.schema.fields().get(column).map(|field| field.data_type()).ok_or_else(unfit)?;
        let of = |source: &RecordBatch| {
            let found = source.columns().get(column).filter(|found| found.data_type() == data_type);
            found.map(|found| found.to_data()).ok_or_else(unfit)
        };
        let sources = self.sources.iter().map(of).collect::<Result<Vec<_>>>()?;
        if sources.is_empty() {
            return Ok(new_empty_array(data_type));
        }
        let mut gathered = MutableArrayData::new(sources.iter().collect(), false, rows);
        for stretch in stretches {
            let from = stretch.from as usize;
            gathered.try_extend(stretch.source as usize, from, from + stretch.rows as usize)?;
        }
        Ok(make_array(gathered.freeze()))
    }
}

/// Finds rows in stretches.
struct Reader<'a> {
    stretches: &'a [Stretch],
    /// The number of the first row of each stretch.
    starts: Vec<usize>,
    rows: usize,
}

impl<'a> Reader<'a> {
    fn new(stretches: &'a [Stretch]) -> Self {
        let (mut starts, mut rows) = (Vec::with_capacity(stretches.len()), 0);
        for stretch in stretches {
            starts.push(rows);
            rows += stretch.rows as usize;
        }
        Self { stretches, starts, rows }
    }

    /// Appends rows `from .. from + rows`.
    fn read(&self, from: usize, rows: usize, into: &mut Vec<Stretch>) -> Result<()> {
        let end = from.checked_add(rows).filter(|end| *end <= self.rows).ok_or_else(unfit)?;
        let first = self.starts.partition_point(|start| *start <= from).saturating_sub(1);
        let found = self.stretches.iter().zip(&self.starts).skip(first);
        for (stretch, &start) in found.take_while(|(_, start)| **start < end) {
            // Both are within the stretch, whose rows are counted in 32 bits.
            let skipped = from.saturating_sub(start) as u32;
            let stop = (end - start).min(stretch.rows as usize) as u32;
            if stop > skipped {
                into.push(Stretch { from: stretch.from + skipped, rows: stop - skipped, ..*stretch });
            }
        }
        Ok(())
    }
}

fn unfit() -> EngineError {
    EngineError::Internal("changes of a state table that do not fit it".into())
}
