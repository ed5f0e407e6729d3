//! [`readable`]: the state of an operator as tables for people, with names for the columns where there are such.
//!
//! Tables whose rows belong to one another by their places become one; those of windows become one with the window in front.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, Schema, SchemaRef};

use super::belongs::{Belongs, belongs, split_prefix};
use super::numbers::placed;
use crate::error::{EngineError, Result};
use crate::operators::OperatorState;
use crate::plan::OperatorSpec;

/// A table of the state of an operator, of all shards.
#[derive(Debug, Clone)]
pub struct StateTable {
    /// The operator's id: its kind, and a hash over what it computes.
    pub operator: String,
    /// The table's name, without the number of a window.
    pub table: String,
    /// Column `shard`, then those of the table.
    pub rows: RecordBatch,
}

/// The tables of an operator whose ports have these columns, of all shards.
///
/// # Errors
/// Where the states are not this operator's.
pub fn readable(
    operator: &str,
    spec: &OperatorSpec,
    ports: &[SchemaRef],
    shards: &[(usize, OperatorState)],
) -> Result<Vec<StateTable>> {
    let mut tables: BTreeMap<String, Vec<RecordBatch>> = BTreeMap::new();
    for (shard, state) in shards {
        let state = &placed(state.clone())?;
        for (name, rows) in &state.tables {
            if matches!(belongs(spec, name), Some(Belongs::Beside(_))) {
                continue;
            }
            let mut columns = Columns::default();
            columns.repeat(
                "shard",
                &(Arc::new(Int64Array::from(vec![*shard as i64])) as ArrayRef),
                0,
                rows.num_rows(),
            )?;
            columns.window(name, state, rows.num_rows())?;
            columns.all("", rows, &names(spec, name, ports));
            let beside = state.tables.iter().filter(|(of, _)| match belongs(spec, of) {
                Some(Belongs::Beside(parent)) => parent == *name,
                _ => false,
            });
            for (of, rows) in beside {
                columns.all(&format!("{}.", short(of)), rows, &[]);
            }
            tables.entry(short(name).to_owned()).or_default().push(columns.batch(rows.num_rows())?);
        }
    }
    let table = |(table, parts): (String, Vec<RecordBatch>)| {
        let schema = parts.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        let rows = concat_batches(&schema, &parts)?;
        Ok(StateTable { operator: operator.to_owned(), table, rows })
    };
    tables.into_iter().map(table).collect()
}

/// A name without the number of a window.
fn short(table: &str) -> &str {
    split_prefix(table).map_or(table, |(_, rest)| rest)
}

/// The names of the first columns of a table, where they are columns of the input.
fn names(spec: &OperatorSpec, table: &str, ports: &[SchemaRef]) -> Vec<String> {
    let all = |port: usize| ports.get(port).map(|schema| schema.fields().iter().map(|field| field.name().clone()));
    match belongs(spec, table) {
        Some(Belongs::Rows(port)) => all(port).into_iter().flatten().collect(),
        Some(Belongs::Key { port, columns }) => {
            let all: Vec<String> = all(port).into_iter().flatten().collect();
            columns.iter().map(|column| all.get(*column).cloned().unwrap_or_default()).collect()
        }
        Some(Belongs::Beside(_) | Belongs::Of(_) | Belongs::Prefixes(_) | Belongs::Shared) | None => Vec::new(),
    }
}

/// The columns of a table that is put together.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl Columns {
    /// All columns of a table, the first ones under these names.
    fn all(&mut self, prefix: &str, rows: &RecordBatch, names: &[String]) {
        let schema = rows.schema();
        for (index, (column, field)) in rows.columns().iter().zip(schema.fields()).enumerate() {
            let name = names.get(index).filter(|name| !name.is_empty()).unwrap_or(field.name());
            self.fields.push(Field::new(format!("{prefix}{name}"), column.data_type().clone(), true));
            self.columns.push(Arc::clone(column));
        }
    }

    /// One value on every row.
    fn repeat(&mut self, name: &str, values: &ArrayRef, row: u32, rows: usize) -> Result<()> {
        self.fields.push(Field::new(name, values.data_type().clone(), true));
        self.columns.push(take(values, &UInt32Array::from(vec![row; rows]), None)?);
        Ok(())
    }

    /// The bounds of the window that a table is of.
    fn window(&mut self, table: &str, state: &OperatorState, rows: usize) -> Result<()> {
        let Some((number, _)) = split_prefix(table) else { return Ok(()) };
        let lost = || EngineError::Internal("a state table of no window".into());
        let (_, windows) = state.tables.iter().find(|(name, _)| name == "windows").ok_or_else(lost)?;
        let row = u32::try_from(number).ok().filter(|_| number < windows.num_rows()).ok_or_else(lost)?;
        for (index, bound) in windows.columns().iter().enumerate() {
            self.repeat(&format!("window{index}"), bound, row, rows)?;
        }
        Ok(())
    }

    /// Names that occur twice get a number.
    fn batch(self, rows: usize) -> Result<RecordBatch> {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let fields = self.fields.into_iter().map(|field| {
            let count = taken.entry(field.name().clone()).or_default();
            *count += 1;
            if *count == 1 { field } else { field.clone().with_name(format!("{}_{count}", field.name())) }
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        Ok(RecordBatch::try_new_with_options(schema, self.columns, &options)?)
    }
}
