//! State that moves to another number of shards: [`part_of`] cuts out what one of the new shards owns, [`join`] puts such
//! parts together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Int64Type, UInt32Type};

use super::belongs::{Belongs, belongs};
use super::numbers::placed;
use super::spread::Spread;
use crate::error::{EngineError, Result};
use crate::operators::OperatorState;
use crate::operators::key_group::{KEY_GROUPS, key_groups, shard_of};
use crate::plan::OperatorSpec;

/// An operator, as far as its state's place is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Placement<'a> {
    /// What it does.
    pub spec: &'a OperatorSpec,
    /// How the rows of each port are spread.
    pub ports: &'a [Spread],
}

/// What shard `shard` of `shards` owns of a state that one shard of another number of shards has written.
///
/// # Errors
/// Where the state is not this operator's, or its rows do not tell their shard.
pub fn part_of(state: &OperatorState, placement: Placement<'_>, shard: usize, shards: usize) -> Result<OperatorState> {
    let state = &placed(state.clone())?;
    let mut cut = Cut { state, placement, shard, shards, kept: BTreeMap::new() };
    let mut tables: Vec<(String, RecordBatch)> = Vec::with_capacity(state.tables.len());
    for (name, rows) in &state.tables {
        if tables.iter().any(|(table, _)| table == name) {
            return Err(EngineError::Unsupported(format!(
                "the state \"{name}\" has over 2 GiB of text in a column: it cannot move to another number of shards"
            )));
        }
        let kept = cut.kept(name)?;
        let mut rows = match &kept {
            None => rows.clone(),
            Some(kept) if rows.num_columns() == 0 => no_columns(rows, kept.len())?,
            Some(kept) => take_record_batch(rows, &UInt32Array::from(kept.as_ref().clone()))?,
        };
        if let Belongs::Of(parent) = cut.belongs(name)? {
            rows = renumbered(&rows, cut.kept(&parent)?.as_deref())?;
        }
        tables.push((name.clone(), rows));
    }
    Ok(OperatorState { tables })
}

/// The rows that are kept of a table; `None`: all.
type Kept = Option<Arc<Vec<u32>>>;

/// A state that is being cut.
struct Cut<'a> {
    state: &'a OperatorState,
    placement: Placement<'a>,
    shard: usize,
    shards: usize,
    kept: BTreeMap<String, Kept>,
}

impl Cut<'_> {
    fn belongs(&self, table: &str) -> Result<Belongs> {
        belongs(self.placement.spec, table).ok_or_else(|| {
            EngineError::Unsupported(format!("the state \"{table}\" cannot move to another number of shards"))
        })
    }

    fn table(&self, name: &str) -> Result<&RecordBatch> {
        let found = self.state.tables.iter().find(|(table, _)| table == name).map(|(_, rows)| rows);
        found.ok_or_else(|| EngineError::Internal(format!("the state has no table {name}")))
    }

    fn kept(&mut self, table: &str) -> Result<Kept> {
        if let Some(kept) = self.kept.get(table) {
            return Ok(kept.clone());
        }
        let kept = match self.belongs(table)? {
            Belongs::Shared | Belongs::Prefixes(_) => None,
            Belongs::Beside(parent) => self.kept(&parent)?,
            Belongs::Of(parent) => {
                let owned = self.kept(&parent)?;
                let rows = self.table(table)?;
                let parents = numbers(rows)?;
                owned.map(|owned| {
                    let is_owned = |row: &u32| {
                        parents.get(*row as usize).is_some_and(|parent| owned.binary_search(parent).is_ok())
                    };
                    Arc::new((0_u32..).take(rows.num_rows()).filter(is_owned).collect())
                })
            }
            Belongs::Rows(port) => self.owned(table, port, Some)?,
            Belongs::Key { port, columns } => {
                self.owned(table, port, |column| columns.iter().position(|of| *of == column))?
            }
        };
        self.kept.insert(table.to_owned(), kept.clone());
        Ok(kept)
    }

    /// The rows of a table whose keys the shard owns; `place` tells where a column of the input is in the table.
    fn owned(&self, table: &str, port: usize, place: impl Fn(usize) -> Option<usize>) -> Result<Kept> {
        let rows = self.table(table)?;
        let count = rows.num_rows();
        let all = (0_u32..).take(count);
        let groups = match self.placement.ports.get(port).unwrap_or(&Spread::Any) {
            Spread::Single => vec![0; count],
            // Any shard will do. Neighbours stay together, in their order.
            Spread::Any => all.clone().map(|row| spread_evenly(row, count)).collect(),
            Spread::Hash(columns) => {
                let found = columns.iter().map(|column| rows.columns().get(place(*column)?).map(Arc::clone));
                match found.collect::<Option<Vec<ArrayRef>>>() {
                    Some(columns) => key_groups(&columns, count)?,
                    None => vec![self.window_group(table, columns)?; count],
                }
            }
        };
        let owned = all.zip(groups).filter(|(_, group)| shard_of(*group, self.shards) == self.shard);
        Ok(Some(Arc::new(owned.map(|(row, _)| row).collect())))
    }

    /// The key group of the window that the tables of this table's prefix are of.
    fn window_group(&self, table: &str, columns: &[usize]) -> Result<u32> {
        let lost = || EngineError::Internal(format!("the rows of state table {table} do not tell their shard"));
        let window: usize = table.split_once('/').and_then(|(prefix, _)| prefix.parse().ok()).ok_or_else(lost)?;
        let Belongs::Prefixes(Some(bounds)) = self.belongs("windows")? else { return Err(lost()) };
        let windows = self.table("windows")?.slice(window, 1);
        let bound = |column: &usize| {
            let at = bounds.iter().position(|bound| bound == column)?;
            let micros = windows.columns().get(at)?.as_primitive_opt::<Int64Type>()?;
            // Keys are hashed in the unit of their column, which is milliseconds for windows.
            let millis: Int64Array = micros.unary(|micros| micros.div_euclid(1_000));
            Some(Arc::new(millis) as ArrayRef)
        };
        let columns = columns.iter().map(bound).collect::<Option<Vec<ArrayRef>>>().ok_or_else(lost)?;
        key_groups(&columns, 1)?.first().copied().ok_or_else(lost)
    }
}

fn spread_evenly(row: u32, rows: usize) -> u32 {
    let group = u64::from(row) * u64::from(KEY_GROUPS) / (rows.max(1) as u64);
    u32::try_from(group).unwrap_or(0)
}

/// The table with the numbers of its first column counted among the rows that are kept of another table.
fn renumbered(rows: &RecordBatch, kept: Option<&Vec<u32>>) -> Result<RecordBatch> {
    let Some(kept) = kept else { return Ok(rows.clone()) };
    let place = |parent: &u32| kept.binary_search(parent).ok().and_then(|at| u32::try_from(at).ok());
    let moved: Option<Vec<u32>> = numbers(rows)?.iter().map(place).collect();
    with_numbers(rows, moved.ok_or_else(not_of)?)
}

fn with_numbers(rows: &RecordBatch, numbers: Vec<u32>) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    let first = columns.first_mut().ok_or_else(not_of)?;
    *first = Arc::new(UInt32Array::from(numbers));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}

/// So many rows of a table that has no columns: of keys without aggregates.
fn no_columns(table: &RecordBatch, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(table.schema(), Vec::new(), &options)?)
}

fn numbers(rows: &RecordBatch) -> Result<&[u32]> {
    let column = rows.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    column.map(|column| column.values().as_ref()).ok_or_else(not_of)
}

fn not_of() -> EngineError {
    EngineError::Internal("a state table whose rows belong to no rows".into())
}

/// One state out of the parts that a shard owns of several.
///
/// # Errors
/// Where the parts are not of one operator.
pub fn join(parts: &[OperatorState], spec: &OperatorSpec) -> Result<OperatorState> {
    let mut joined = OperatorState::default();
    let mut windows = 0_usize;
    for part in parts {
        let before = joined.clone();
        let mut add = Joining { joined: &mut joined, before: &before, spec, windows };
        for (name, rows) in &part.tables {
            add.table(name, rows)?;
        }
        let more = part.tables.iter().find(|(name, _)| name == "windows").map_or(0, |(_, rows)| rows.num_rows());
        windows += more;
    }
    Ok(joined)
}

/// A part that is being added.
struct Joining<'a> {
    joined: &'a mut OperatorState,
    /// What was joined before this part.
    before: &'a OperatorState,
    spec: &'a OperatorSpec,
    /// Windows before those of the part.
    windows: usize,
}

impl Joining<'_> {
    fn table(&mut self, name: &str, rows: &RecordBatch) -> Result<()> {
        let Some(belongs) = belongs(self.spec, name) else { return Err(not_of()) };
        let moved = name.split_once('/').and_then(|(window, rest)| Some((window.parse::<usize>().ok()?, rest)));
        let name = match moved {
            Some((window, rest)) => format!("{}/{rest}", window + self.windows),
            None => name.to_owned(),
        };
        let Some((_, there)) = self.joined.tables.iter_mut().find(|(table, _)| *table == name) else {
            self.joined.tables.push((name, rows.clone()));
            return Ok(());
        };
        *there = match belongs {
            Belongs::Shared => greatest(there, rows)?,
            Belongs::Of(parent) => {
                let parents = self.before.tables.iter().find(|(table, _)| *table == parent);
                let offset = parents.map_or(0, |(_, rows)| rows.num_rows());
                let offset = u32::try_from(offset).map_err(|_| not_of())?;
                let numbers = numbers(rows)?.iter().map(|number| number.saturating_add(offset)).collect();
                concat_batches(&there.schema(), [&*there, &with_numbers(rows, numbers)?])?
            }
            Belongs::Key { .. } | Belongs::Rows(_) | Belongs::Beside(_) | Belongs::Prefixes(_) => {
                if rows.num_columns() == 0 {
                    no_columns(rows, there.num_rows() + rows.num_rows())?
                } else {
                    concat_batches(&there.schema(), [&*there, rows])?
                }
            }
        };
        Ok(())
    }
}

/// The greater of each pair of numbers. What are no numbers is the same on both sides.
fn greatest(left: &RecordBatch, right: &RecordBatch) -> Result<RecordBatch> {
    if left.columns().iter().any(|column| column.as_primitive_opt::<Int64Type>().is_none()) {
        return Ok(left.clone());
    }
    let column = |(left, right): (&ArrayRef, &ArrayRef)| -> Result<ArrayRef> {
        let ints = |column: &ArrayRef| column.as_primitive_opt::<Int64Type>().cloned().ok_or_else(not_of);
        let (left, right) = (ints(left)?, ints(right)?);
        let greatest = left.values().iter().zip(right.values()).map(|(left, right)| *left.max(right));
        Ok(Arc::new(Int64Array::from_iter_values(greatest)))
    };
    let columns = left.columns().iter().zip(right.columns()).map(column).collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(left.schema(), columns)?)
}
