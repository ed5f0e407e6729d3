//! ARRAY and ROW in one field of a record: the texts of their items with a delimiter between them, as in Flink. Items are scalars:
//! nothing tells a delimiter of one level from that of another.

use arrow::array::{Array, ArrayRef, ListArray, StructArray};
use arrow::datatypes::DataType;
use millstream_engine::error::{EngineError, Result};

use crate::formats::columns::{Column, Values};
use crate::formats::print::{Printer, TimestampStyle};
use crate::formats::types::{is_text_scalar, sql_name};

/// Whether CSV carries the type: scalars, and arrays and rows of them.
pub(crate) fn is_csv_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) => is_text_scalar(item.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| is_text_scalar(field.data_type())),
        scalar => is_text_scalar(scalar),
    }
}

/// How the items of a field stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Items {
    /// Between two items; not empty.
    pub(super) delimiter: String,
    /// The text of an item that is null; without one, nothing is null but in STRING.
    pub(super) null: Option<String>,
}

impl Items {
    /// Appends the value that `text` stands for to a column of ARRAY or ROW. False, and nothing appended, where it is none.
    pub(super) fn push(&self, column: &mut Column, text: &[u8]) -> bool {
        let rows = column.len();
        let fits = match &mut column.values {
            Values::List(offsets, item) => {
                let all = text.is_empty() || self.split(text).all(|piece| self.push_item(item, piece));
                match i32::try_from(item.len()) {
                    Ok(end) if all => {
                        offsets.push(end);
                        true
                    }
                    Ok(_) | Err(_) => false,
                }
            }
            Values::Row(row) => {
                row.begin(rows);
                let mut pieces = self.split(text);
                let mut all = true;
                for slot in &row.declared {
                    let Some(piece) = pieces.next() else {
                        all = false;
                        break;
                    };
                    let Some(field) = slot.and_then(|slot| row.fields.get_mut(slot)) else { continue };
                    all &= self.push_item(&mut field.column, piece);
                    all &= field.nullable || !field.column.last_is_null();
                }
                all &= pieces.next().is_none();
                if all {
                    row.end();
                }
                all
            }
            _ => false,
        };
        if fits {
            column.set();
        } else {
            column.truncate(rows);
        }
        fits
    }

    fn push_item(&self, column: &mut Column, text: &[u8]) -> bool {
        let null = match &self.null {
            Some(null) if null.as_bytes() == text => true,
            Some(_) | None => text.is_empty() && !matches!(column.values, Values::Utf8(_)),
        };
        if null {
            column.push_null();
            return true;
        }
        column.push_text(text)
    }

    /// The texts between the delimiters.
    fn split<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Some(text);
        let delimiter = self.delimiter.as_bytes();
        std::iter::from_fn(move || {
            let text = rest?;
            let found = memchr::memmem::find(text, delimiter).filter(|_| !delimiter.is_empty());
            let (piece, behind) = match found {
                Some(at) => (text.get(..at), text.get(at + delimiter.len()..)),
                None => (Some(text), None),
            };
            rest = behind;
            piece
        })
    }
}

/// A column to be written row by row.
pub(super) enum Writer<'a> {
    /// Scalars.
    Scalar(Printer<'a>),
    /// ARRAY, and what is in its arrays.
    List(&'a ListArray, Printer<'a>),
    /// ROW, and its fields.
    Row(Vec<(&'a ArrayRef, Printer<'a>)>),
}

impl<'a> Writer<'a> {
    /// A writer of the values of `array`.
    ///
    /// # Errors
    /// Where CSV does not carry its type.
    pub(super) fn new(array: &'a ArrayRef) -> Result<Self> {
        let lost = || EngineError::Internal(format!("an array is not of its type {}", sql_name(array.data_type())));
        match array.data_type() {
            DataType::List(_) => {
                let list = array.as_any().downcast_ref::<ListArray>().ok_or_else(lost)?;
                Ok(Self::List(list, Printer::new(list.values())?))
            }
            DataType::Struct(_) => {
                let row = array.as_any().downcast_ref::<StructArray>().ok_or_else(lost)?;
                let fields = row.columns().iter().map(|field| Ok((field, Printer::new(field)?)));
                Ok(Self::Row(fields.collect::<Result<_>>()?))
            }
            _ => Printer::new(array).map(Self::Scalar),
        }
    }

    /// Appends the text of row `row`, which must not be null. `print` appends that of a scalar.
    pub(super) fn write(
        &self,
        row: usize,
        items: &Items,
        print: &impl Fn(&Printer<'a>, usize, &mut Vec<u8>),
        into: &mut Vec<u8>,
    ) {
        let item = |first: bool, array: &ArrayRef, printer: &Printer<'a>, at: usize, into: &mut Vec<u8>| {
            if !first {
                into.extend_from_slice(items.delimiter.as_bytes());
            }
            if array.is_null(at) {
                into.extend_from_slice(items.null.as_deref().unwrap_or_default().as_bytes());
            } else {
                print(printer, at, into);
            }
        };
        match self {
            Self::Scalar(printer) => print(printer, row, into),
            Self::List(list, printer) => {
                let bound = |index: usize| {
                    list.value_offsets().get(index).and_then(|&offset| usize::try_from(offset).ok()).unwrap_or(0)
                };
                let (start, end) = (bound(row), bound(row + 1));
                (start..end).for_each(|at| item(at == start, list.values(), printer, at, into));
            }
            Self::Row(fields) => {
                for (index, (array, printer)) in fields.iter().enumerate() {
                    item(index == 0, array, printer, row, into);
                }
            }
        }
    }
}

/// How a scalar is written in a field.
pub(super) fn print_scalar(printer: &Printer<'_>, row: usize, scientific: bool, into: &mut Vec<u8>) {
    match printer {
        Printer::Decimal(values, scale) if scientific => decimal(values.value(row), *scale, into),
        other => other.print(row, TimestampStyle::Sql, into),
    }
}

/// Appends a decimal without zeros at its end, with an exponent where it is a multiple of ten or very small: as Java writes it.
fn decimal(value: i128, scale: i8, into: &mut Vec<u8>) {
    let (mut digits, mut scale) = (value, i32::from(scale));
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if digits == 0 {
        return into.push(b'0');
    }
    let text = digits.unsigned_abs().to_string();
    let count = i32::try_from(text.len()).unwrap_or(i32::MAX);
    let exponent = count - 1 - scale;
    if digits < 0 {
        into.push(b'-');
    }
    let (first, rest) = text.split_at(1);
    let written = if scale == 0 {
        text
    } else if scale < 0 || exponent < -6 {
        let point = if rest.is_empty() { "" } else { "." };
        format!("{first}{point}{rest}E{exponent:+}")
    } else {
        let whole = usize::try_from(count - scale).unwrap_or(0);
        let (whole, fraction) = text.split_at(whole);
        let zeros = usize::try_from(scale - count).unwrap_or(0);
        format!("{}.{}{fraction}", if whole.is_empty() { "0" } else { whole }, "0".repeat(zeros))
    };
    into.extend_from_slice(written.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::decimal;
    use crate::formats::text::parse_decimal;

    #[test]
    fn decimals_with_exponents() {
        for (value, scale, wanted) in [
            (0, 2, "0"),
            (100_000, 0, "1E+5"),
            (1_500, 0, "1.5E+3"),
            (1_250, 2, "12.5"),
            (-5, 2, "-0.05"),
            (1_000, 2, "1E+1"),
            (123, 9, "1.23E-7"),
            (1_234, 9, "0.000001234"),
            (i128::MIN, 0, "-170141183460469231731687303715884105728"),
        ] {
            let mut into = Vec::new();
            decimal(value, scale, &mut into);
            assert_eq!(String::from_utf8_lossy(&into), wanted);
            if value != i128::MIN {
                assert_eq!(parse_decimal(&into, 38, scale), Some(value));
            }
        }
    }
}
