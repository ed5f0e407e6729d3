//! Columns of a Parquet file as the types that the table declares: what does not fit is a bad row, never a silent null.

use std::fmt;

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBuilder, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::array_value_to_string;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::rejects::Rejects;

use crate::formats::fault::shown;
use crate::formats::types::sql_name;

const HINT: &str = "declare the column as it is in the file, or say what is done with such rows with 'on-error'";

/// The values of a column as its declared type, and the rows whose values do not fit; null stands for these.
pub(super) struct Fitted {
    pub(super) values: ArrayRef,
    /// False for what does not fit. `None`: all values fit.
    fits: Option<BooleanArray>,
}

impl Fitted {
    /// The rows whose values do not fit.
    pub(super) fn misfits(&self) -> impl Iterator<Item = usize> {
        let fits = self.fits.as_ref();
        let rows = fits.map_or(0, BooleanArray::len);
        (0..rows).filter(move |row| fits.is_some_and(|fits| !fits.value(*row)))
    }
}

/// Brings values to a type; `None` where the type takes none of them.
pub(super) fn fit(array: &ArrayRef, to: &DataType) -> Option<Fitted> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    if let Ok(values) = cast_with_options(array, to, &strict) {
        return Some(Fitted { values, fits: None });
    }
    let values = cast_with_options(array, to, &CastOptions::default()).ok()?;
    let mut fits = BooleanBuilder::with_capacity(array.len());
    for row in 0..array.len() {
        // What is nested may have lost something further in.
        let whole = if to.is_nested() {
            cast_with_options(&array.slice(row, 1), to, &strict).is_ok()
        } else {
            array.is_null(row) || !values.is_null(row)
        };
        fits.append_value(whole);
    }
    let fits = fits.finish();
    Some(Fitted { values, fits: (fits.true_count() < fits.len()).then_some(fits) })
}

/// The rows of a batch, as they stand in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) file: &'a str,
    /// Rows of the file before these.
    pub(super) before: u64,
    pub(super) batch: &'a RecordBatch,
}

impl Rows<'_> {
    /// A row has a value that does not fit its column.
    ///
    /// # Errors
    /// Where rows that fail are not passed over.
    pub(super) fn refuse(&self, row: usize, array: &ArrayRef, field: &Field, rejects: &mut Rejects) -> Result<()> {
        let place = Place { file: self.file, row: self.before + row as u64 + 1 };
        let error = || {
            let found = array_value_to_string(array, row).unwrap_or_default();
            let (name, expected) = (field.name(), sql_name(field.data_type()));
            let message =
                format!("{place}: column \"{name}\": expected {expected}, found \"{}\"", shown(found.as_bytes()));
            EngineError::BadRow { message, hint: Some(HINT.to_owned()) }
        };
        rejects.record(&self.json(row), &place, false, error)
    }

    /// A row as a JSON object; empty where a type has none.
    fn json(&self, row: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut text);
        let written = writer.write(&self.batch.slice(row, 1)).and_then(|()| writer.finish());
        drop(writer);
        if written.is_err() {
            text.clear();
        }
        text
    }
}

/// `FILE row N`
struct Place<'a> {
    file: &'a str,
    row: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} row {}", self.file, self.row)
    }
}
