//! Functions of DataFusion's that make much of little: `REPEAT('x', 1000000000)`. What a call gives is reckoned before it is
//! made, and what would not fit into memory is an error.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF};

use super::checked::{Check, checked};

/// Bytes that the texts of one batch of rows may have.
const BYTES_MAX: i128 = 1 << 28;

/// Elements that the arrays of one batch of rows may have.
const ELEMENTS_MAX: i128 = 1 << 24;

/// How the size of a row's result is reckoned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Size {
    /// `repeat(text, count)`
    Repeated,
    /// `lpad(text, length, pad)`
    Padded,
    /// `replace(text, part, new)`
    Replaced,
    /// `regexp_replace(text, regex, new)`
    Matched,
    /// `array_repeat(element, count)`
    Elements,
    /// `array_resize(array, size)`
    Resized,
}

const LARGE: [(&str, Size); 9] = [
    ("repeat", Size::Repeated),
    ("lpad", Size::Padded),
    ("rpad", Size::Padded),
    ("replace", Size::Replaced),
    ("regexp_replace", Size::Matched),
    ("array_repeat", Size::Elements),
    ("list_repeat", Size::Elements),
    ("array_resize", Size::Resized),
    ("list_resize", Size::Resized),
];

/// The function that looks at its calls; `None` where its results are about as large as its arguments.
pub(super) fn limited(name: &str, function: &Arc<ScalarUDF>) -> Option<Arc<ScalarUDF>> {
    let (_, size) = LARGE.iter().find(|(known, _)| *known == name)?;
    Some(checked(function, *size))
}

/// The names of these functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    LARGE.iter().map(|(name, _)| *name)
}

impl Check for Size {
    fn check(&self, name: &str, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (size, max) = reckoned(*self, columns, rows)?;
        if size > max {
            let message = format!("requested length too large: {name} would give more than {max} {}", self.unit());
            return Err(DataFusionError::Execution(message));
        }
        Ok(())
    }

    /// Texts of less than no characters have none.
    fn adjust(&self, args: &mut [ColumnarValue], rows: usize) -> Result<()> {
        let (Self::Padded, [_, length, ..]) = (self, args) else { return Ok(()) };
        let lengths = numbers(&length.to_array(rows)?)?;
        if lengths.iter().flatten().any(|length| length < 0) {
            let least = lengths.unary::<_, Int64Type>(|length| length.max(0));
            let column = cast(&least, &length.data_type())?;
            *length = match length {
                ColumnarValue::Scalar(_) => ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?),
                ColumnarValue::Array(_) => ColumnarValue::Array(column),
            };
        }
        Ok(())
    }
}

impl Size {
    fn unit(&self) -> &'static str {
        match self {
            Size::Repeated | Size::Padded | Size::Replaced | Size::Matched => "bytes at once",
            Size::Elements | Size::Resized => "values at once",
        }
    }
}

/// At most how much the rows give, and how much they may.
fn reckoned(size: Size, columns: &[ArrayRef], rows: usize) -> Result<(i128, i128)> {
    let (first, second) = match columns {
        [first, second, ..] => (first, second),
        _ => return Ok((0, BYTES_MAX)),
    };
    let total = |row: &dyn Fn(usize) -> i128| (0..rows).fold(0_i128, |sum, index| sum.saturating_add(row(index)));
    Ok(match size {
        Size::Repeated => {
            let (texts, counts) = (texts(first)?, numbers(second)?);
            (total(&|row| bytes(&texts, row).saturating_mul(number(&counts, row))), BYTES_MAX)
        }
        Size::Padded => {
            // A character has four bytes at the most.
            let counts = numbers(second)?;
            (total(&|row| number(&counts, row).saturating_mul(4)), BYTES_MAX.saturating_mul(4))
        }
        Size::Replaced => {
            let Some(third) = columns.get(2) else { return Ok((0, BYTES_MAX)) };
            let (texts, parts, new) = (texts(first)?, texts(second)?, texts(third)?);
            (total(&|row| replaced(&texts, &parts, &new, row)), BYTES_MAX)
        }
        Size::Matched => {
            let Some(third) = columns.get(2) else { return Ok((0, BYTES_MAX)) };
            let (texts, new) = (texts(first)?, texts(third)?);
            // Where every letter may match, most do not: only what is far too much is refused.
            (total(&|row| bytes(&texts, row).saturating_mul(bytes(&new, row))), BYTES_MAX.saturating_mul(16))
        }
        Size::Elements => {
            let counts = numbers(second)?;
            (total(&|row| weight(first, row).saturating_mul(number(&counts, row))), ELEMENTS_MAX)
        }
        Size::Resized => {
            let counts = numbers(second)?;
            (total(&|row| number(&counts, row)), ELEMENTS_MAX)
        }
    })
}

fn texts(column: &ArrayRef) -> Result<StringArray> {
    Ok(cast(column, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn numbers(column: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn bytes(texts: &StringArray, row: usize) -> i128 {
    if texts.is_null(row) { 0 } else { i128::from(texts.value_length(row)) }
}

fn number(counts: &Int64Array, row: usize) -> i128 {
    if counts.is_null(row) { 0 } else { i128::from(counts.value(row)).max(0) }
}

/// Bytes of a text in which all occurrences are replaced. They are counted only where that may matter.
fn replaced(texts: &StringArray, parts: &StringArray, new: &StringArray, row: usize) -> i128 {
    if texts.is_null(row) || parts.is_null(row) || new.is_null(row) {
        return 0;
    }
    let (text, part) = (texts.value(row), parts.value(row));
    let (length, each) = (bytes(texts, row), bytes(new, row));
    let most = length / bytes(parts, row).max(1) + 1;
    if most.saturating_mul(each) <= BYTES_MAX / 1024 {
        return length;
    }
    let found = i128::try_from(text.matches(part).count()).unwrap_or(i128::MAX);
    length.saturating_add(found.saturating_mul(each))
}

/// How many values an element has, those of arrays in it counted.
fn weight(column: &ArrayRef, row: usize) -> i128 {
    match column.as_list_opt::<i32>() {
        Some(lists) if lists.is_valid(row) => {
            let inner = lists.value(row);
            (0..inner.len()).fold(1, |sum: i128, index| sum.saturating_add(weight(&inner, index)))
        }
        Some(_) => 1,
        None => match column.as_string_opt::<i32>() {
            Some(texts) => 1 + bytes(texts, row) / 16,
            None => 1,
        },
    }
}
