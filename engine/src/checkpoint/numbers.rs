//! Numbers of rows that stay as they are when rows before them go: what tables whose rows belong to rows of another one name
//! these by, so that they need not be written again. [`placed`] gives the places of the rows instead.
//!
//! A table of numbers stands beside that of the rows. States of earlier releases have none: they name rows by their places.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::UInt32Type;

use crate::error::{EngineError, Result};
use crate::operators::OperatorState;
use crate::operators::aggregate::table_of;

/// The name of a table of numbers, behind the number of its window.
pub(crate) const NUMBERS: &str = "numbers";

/// The table that gives rows these numbers.
///
/// # Errors
/// Where Arrow cannot build it.
pub(crate) fn numbers_table(numbers: &[u32]) -> Result<RecordBatch> {
    table_of(vec![Arc::new(UInt32Array::from(numbers.to_vec()))], numbers.len())
}

/// The state without tables of numbers: rows are named by their places. One that has none stays as it is.
///
/// # Errors
/// Where a row is named that is not there.
pub(crate) fn placed(mut state: OperatorState) -> Result<OperatorState> {
    let mut places: HashMap<String, HashMap<u32, u32>> = HashMap::new();
    for (name, rows) in &state.tables {
        if let Some(window) = name.strip_suffix(NUMBERS) {
            places.insert(window.to_owned(), numbers(rows)?.iter().copied().zip(0..).collect());
        }
    }
    if places.is_empty() {
        return Ok(state);
    }
    state.tables.retain(|(name, _)| !name.ends_with(NUMBERS));
    for (name, rows) in &mut state.tables {
        if let Some(places) = named_by(name).and_then(|window| places.get(window)) {
            *rows = with_places(rows, places)?;
        }
    }
    Ok(state)
}

/// The window, as the name of the table of numbers begins with it, whose rows the rows of a table name first. `None`: they name
/// no rows.
fn named_by(table: &str) -> Option<&str> {
    let (window, rest) = table.split_at(table.find('/').map_or(0, |at| at + 1));
    // Behind a point: the accumulators of one of several frames.
    let kind = rest.rsplit('.').next().unwrap_or(rest);
    let names = kind.starts_with("distinct") || matches!(kind, "dirty" | "results" | "kept" | "of");
    names.then_some(window)
}

fn with_places(rows: &RecordBatch, places: &HashMap<u32, u32>) -> Result<RecordBatch> {
    let of: Option<Vec<u32>> = numbers(rows)?.iter().map(|number| places.get(number).copied()).collect();
    let mut columns = rows.columns().to_vec();
    let first: ArrayRef = Arc::new(UInt32Array::from(of.ok_or_else(form)?));
    *columns.first_mut().ok_or_else(form)? = first;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

fn numbers(rows: &RecordBatch) -> Result<&[u32]> {
    let column = rows.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    column.map(|column| column.values().as_ref()).ok_or_else(form)
}

fn form() -> EngineError {
    EngineError::Internal("rows of a state that name rows which are not there".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn column(state: &OperatorState, table: &str) -> Vec<u32> {
        let (_, rows) = state.tables.iter().find(|(name, _)| name == table).unwrap();
        numbers(rows).unwrap().to_vec()
    }

    #[test]
    fn rows_are_named_by_their_places() {
        let table = |name: &str, numbers: &[u32]| (name.to_owned(), numbers_table(numbers).unwrap());
        let tables = vec![
            table("numbers", &[7, 2]),
            table("distinct0", &[2, 2, 7]),
            table("running1.distinct0", &[7]),
            table("calls", &[5, 5]),
            table("0/distinct1", &[9]),
            table("1/dirty", &[4]),
            table("1/numbers", &[3, 4]),
        ];
        let state = placed(OperatorState { tables }).unwrap();
        assert_eq!((column(&state, "distinct0"), column(&state, "running1.distinct0")), (vec![1, 1, 0], vec![0]));
        assert_eq!((column(&state, "calls"), column(&state, "1/dirty")), (vec![5, 5], vec![1]));
        assert_eq!((column(&state, "0/distinct1"), state.tables.len()), (vec![9], 5), "named by places already");
        let lost = vec![table("numbers", &[1]), table("kept", &[0])];
        assert!(placed(OperatorState { tables: lost }).is_err());
    }
}
