//! `INSERT`, `UPDATE` and `DELETE` of an internal table: the rows are computed, checked and then made visible at once.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{concat_batches, filter_record_batch, is_not_null};
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use millstream_engine::message::Delta;
use millstream_engine::ports::Boundedness;
use millstream_sql::bound::{BoundQuery, ChangeKind};
use millstream_sql::catalog::{InternalTable, Relation, RelationKind};
use millstream_sql::error::from_arrow;
use millstream_sql::{SqlError, SqlState};

use super::query::inputs;
use super::{Outcome, Session};
use crate::batch::{ReadNotes, conform};
use crate::encode::{TextStyle, text_value};

/// Held while rows are checked against the keys of a table and inserted. The keys are read from the table once.
pub(super) type TableGate = tokio::sync::Mutex<Option<Keys>>;

/// A gate that is held by whoever has this.
type HeldGate = tokio::sync::OwnedMutexGuard<Option<Keys>>;

/// The unique columns of all rows of a table, encoded.
pub(super) type Keys = HashSet<Box<[u8]>>;

impl Session {
    pub(super) async fn insert_internal(
        &self,
        target: &Relation,
        table: &InternalTable,
        query: &BoundQuery,
    ) -> Result<Outcome, SqlError> {
        let rows = self.all_rows(target, query).await?;
        let count: usize = rows.iter().map(RecordBatch::num_rows).sum();
        if count == 0 {
            return Ok(Outcome::done("INSERT 0 0"));
        }
        for batch in &rows {
            check_not_null(target, table, batch)?;
        }
        let rows = rows.iter().map(|batch| conform(batch, &table.schema)).collect::<Result<Vec<_>, _>>()?;
        let batch = concat_batches(&table.schema, &rows).map_err(from_arrow)?;
        if table.primary_key.is_empty() {
            self.decision.make();
            self.database.change_table(target.id, target.temporary, Delta::append(batch)).await?;
            return Ok(Outcome::done(format!("INSERT 0 {count}")));
        }
        let mut keys = self.database.gate(target.id).lock_owned().await;
        let new = self.check_unique(target, table, &batch, &mut keys)?;
        self.apply(target, keys, Delta::append(batch), new).await?;
        Ok(Outcome::done(format!("INSERT 0 {count}")))
    }

    /// Changes a table whose gate is held, and notes the keys that are new. The change goes on to its end where this is
    /// dropped, and holds the gate until then: who comes next must see it.
    async fn apply(&self, target: &Relation, mut keys: HeldGate, delta: Delta, new: Keys) -> Result<(), SqlError> {
        let (database, table, temporary) = (self.database.clone(), target.id, target.temporary);
        self.decision.make();
        let change = tokio::spawn(async move {
            // Where the change fails, the keys are unknown: whoever comes next reads them again.
            let mut known = keys.take().unwrap_or_default();
            database.change_table(table, temporary, delta).await?;
            known.extend(new);
            *keys = Some(known);
            Ok(())
        });
        change.await.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))?
    }

    /// The rows of a query that ends.
    async fn all_rows(&self, target: &Relation, query: &BoundQuery) -> Result<Vec<RecordBatch>, SqlError> {
        match inputs(&query.plan)?.connectors {
            None | Some(Boundedness::Bounded) => (),
            Some(Boundedness::Unbounded | Boundedness::Endless) => return Err(unbounded(target)),
        }
        self.database.refilled(&[target.id]).await;
        self.batch_rows(query, &ReadNotes::default()).await?.try_collect().await
    }

    /// Changes rows of a table with a primary key: nobody else writes to it meanwhile.
    pub(super) async fn change(
        &self,
        target: &Relation,
        query: &BoundQuery,
        kind: ChangeKind,
    ) -> Result<Outcome, SqlError> {
        let RelationKind::InternalTable(table) = &target.kind else {
            return Err(SqlError::new(
                SqlState::WRONG_OBJECT_TYPE,
                format!("\"{}\" is no internal table", target.name),
            ));
        };
        let mut keys = self.database.gate(target.id).lock_owned().await;
        let rows = self.all_rows(target, query).await?;
        let width = table.schema.fields().len();
        let half = |from: usize| -> Result<RecordBatch, SqlError> {
            let part =
                |batch: &RecordBatch| batch.project(&(from..from + width).collect::<Vec<_>>()).map_err(from_arrow);
            let parts = rows.iter().map(part).collect::<Result<Vec<_>, _>>()?;
            let schema = parts.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
            concat_batches(&schema, &parts).map_err(from_arrow)
        };
        let all = if rows.is_empty() { RecordBatch::new_empty(Arc::new(Schema::empty())) } else { half(0)? };
        // What is new has no row that was: its key is null.
        let first_key = table.primary_key.first().and_then(|&key| all.columns().get(key));
        let was = first_key.map(|key| is_not_null(key)).transpose().map_err(from_arrow)?;
        let old = match &was {
            Some(was) => conform(&filter_record_batch(&all, was).map_err(from_arrow)?, &table.schema)?,
            None => RecordBatch::new_empty(Arc::clone(&table.schema)),
        };
        let new = match kind {
            ChangeKind::Delete | ChangeKind::Truncate => RecordBatch::new_empty(Arc::clone(&table.schema)),
            ChangeKind::Update | ChangeKind::Upsert | ChangeKind::InsertNew if rows.is_empty() => {
                RecordBatch::new_empty(Arc::clone(&table.schema))
            }
            ChangeKind::Update | ChangeKind::Upsert | ChangeKind::InsertNew => {
                let new = half(width)?;
                check_not_null(target, table, &new)?;
                let new = conform(&new, &table.schema)?;
                if kind == ChangeKind::InsertNew { first_of_each_key(table, &new)? } else { new }
            }
        };
        let (word, count) = match kind {
            ChangeKind::Delete | ChangeKind::Truncate => ("DELETE", old.num_rows()),
            ChangeKind::Update => ("UPDATE", old.num_rows()),
            ChangeKind::Upsert | ChangeKind::InsertNew => ("INSERT 0", new.num_rows()),
        };
        if old.num_rows() + new.num_rows() > 0 {
            let converter = key_converter(table, &table.primary_key)?;
            let mut known = match keys.take() {
                Some(known) => known,
                None => self.read_keys(target, &table.primary_key, &converter)?,
            };
            for key in encoded(table, &converter, &old)? {
                known.remove(&key);
            }
            let mut known = Some(known);
            let added = self.check_unique(target, table, &new, &mut known)?;
            let changed = concat_batches(&table.schema, [&old, &new]).map_err(from_arrow)?;
            let gone = BooleanBuffer::collect_bool(changed.num_rows(), |row| row < old.num_rows());
            *keys = known;
            self.apply(target, keys, Delta::signed(changed, gone), added).await?;
        }
        Ok(Outcome::done(match kind {
            ChangeKind::Truncate => "TRUNCATE TABLE".to_owned(),
            ChangeKind::Delete | ChangeKind::Update | ChangeKind::Upsert | ChangeKind::InsertNew => {
                format!("{word} {count}")
            }
        }))
    }

    /// The keys of the new rows, none of which the table has.
    fn check_unique(
        &self,
        target: &Relation,
        table: &InternalTable,
        batch: &RecordBatch,
        known: &mut Option<Keys>,
    ) -> Result<Keys, SqlError> {
        let unique = table.unique_columns(&target.columns);
        let converter = key_converter(table, &unique)?;
        let known = match known {
            Some(known) => known,
            None => known.insert(self.read_keys(target, &unique, &converter)?),
        };
        let mut new = Keys::new();
        let columns = batch.project(&unique).map_err(from_arrow)?;
        let rows = converter.convert_columns(columns.columns()).map_err(from_arrow)?;
        for (row, key) in rows.iter().enumerate() {
            if known.contains(key.as_ref()) || !new.insert(key.as_ref().into()) {
                return Err(duplicate(target, &columns, row));
            }
        }
        Ok(new)
    }

    fn read_keys(&self, target: &Relation, unique: &[usize], converter: &RowConverter) -> Result<Keys, SqlError> {
        let snapshot = self.database.engine().snapshot();
        let mut keys = Keys::new();
        let Some(view) = snapshot.views.get(&target.id) else {
            return Ok(keys);
        };
        for shard in &view.shards {
            for batch in shard.scan(unique)? {
                let rows = converter.convert_columns(batch.columns()).map_err(from_arrow)?;
                keys.extend(rows.iter().map(|key| Box::from(key.as_ref())));
            }
        }
        Ok(keys)
    }
}

/// The encoded keys of rows.
fn encoded(table: &InternalTable, converter: &RowConverter, rows: &RecordBatch) -> Result<Vec<Box<[u8]>>, SqlError> {
    let columns = rows.project(&table.primary_key).map_err(from_arrow)?;
    let keys = converter.convert_columns(columns.columns()).map_err(from_arrow)?;
    Ok(keys.iter().map(|key| Box::from(key.as_ref())).collect())
}

/// The first of the rows of each key.
fn first_of_each_key(table: &InternalTable, rows: &RecordBatch) -> Result<RecordBatch, SqlError> {
    let mut seen = Keys::new();
    let keys = encoded(table, &key_converter(table, &table.primary_key)?, rows)?;
    let first: BooleanArray = keys.into_iter().map(|key| Some(seen.insert(key))).collect();
    filter_record_batch(rows, &first).map_err(from_arrow)
}

fn key_converter(table: &InternalTable, unique: &[usize]) -> Result<RowConverter, SqlError> {
    let schema = table.schema.project(unique).map_err(from_arrow)?;
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    RowConverter::new(fields).map_err(from_arrow)
}

fn check_not_null(target: &Relation, table: &InternalTable, batch: &RecordBatch) -> Result<(), SqlError> {
    for (column, field) in batch.columns().iter().zip(table.schema.fields()) {
        if !field.is_nullable() && column.null_count() > 0 {
            let row = (0..column.len()).find(|row| column.is_null(*row)).unwrap_or(0);
            let message = format!(
                "null value in column \"{}\" of relation \"{}\" violates not-null constraint",
                field.name(),
                target.name
            );
            return Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
                .with_detail(format!("Failing row contains ({}).", row_text(batch, row, "null"))));
        }
    }
    Ok(())
}

fn duplicate(target: &Relation, keys: &RecordBatch, row: usize) -> SqlError {
    let schema = keys.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let message = format!("duplicate key value violates unique constraint \"{}_pkey\"", target.name);
    SqlError::new(SqlState::UNIQUE_VIOLATION, message).with_detail(format!(
        "Key ({})=({}) already exists.",
        names.join(", "),
        row_text(keys, row, "null")
    ))
}

fn row_text(batch: &RecordBatch, row: usize, null: &str) -> String {
    let texts = batch
        .columns()
        .iter()
        .map(|column| text_value(column.as_ref(), row, TextStyle::default()).unwrap_or_else(|| null.to_owned()));
    texts.collect::<Vec<_>>().join(", ")
}

fn unbounded(target: &Relation) -> SqlError {
    SqlError::unsupported(format!("cannot insert the rows of a query that does not end into table \"{}\"", target.name))
        .with_hint("Keep the result with CREATE MATERIALIZED VIEW, or add a LIMIT.")
}
