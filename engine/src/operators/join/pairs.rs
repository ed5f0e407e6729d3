//! From row numbers to rows: [`Residual`] tells which pairs are partners, [`Output`] makes the rows that come out.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{Schema, SchemaRef};

use super::chunks::Chunks;
use crate::error::Result;
use crate::expr::{EvalContext, Scalar};
use crate::message::{BATCH_ROWS, Delta};
use crate::operators::Context;
use crate::plan::JoinKind;
use crate::rejects::{OnError, kept_rows};

/// Numbers of left rows and, as many, of right rows.
pub(super) type Pairs = (Vec<u32>, Vec<u32>);

/// The condition of a join beyond equal keys.
pub(super) struct Residual {
    condition: Option<Scalar>,
    /// The left columns, then the right ones.
    schema: SchemaRef,
}

impl Residual {
    pub(super) fn new(condition: Option<Scalar>, schemas: [&SchemaRef; 2]) -> Self {
        let fields = schemas.iter().flat_map(|schema| schema.fields().iter().map(Arc::clone));
        Self { condition, schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())) }
    }

    /// Drops the pairs for which it does not hold. Every join passes here with each chunk of pairs: so here is asked whether the
    /// evaluation may go on.
    ///
    /// # Errors
    /// Where it cannot be evaluated, and rows that fail are not to be rejected; where the evaluation must end.
    pub(super) fn narrow(&self, rows: [&Chunks; 2], pairs: &mut Pairs, context: &mut Context<'_>) -> Result<()> {
        self.narrow_changes(rows, pairs, false, context)
    }

    /// As [`Self::narrow`]. A pair for which the condition cannot be computed is no pair of partners, now as when it goes
    /// (`gone`): so the numbers of partners stay right. It is told of when it comes.
    ///
    /// # Errors
    /// As [`Self::narrow`].
    pub(super) fn narrow_changes(
        &self,
        rows: [&Chunks; 2],
        pairs: &mut Pairs,
        gone: bool,
        context: &mut Context<'_>,
    ) -> Result<()> {
        context.check()?;
        let Some(condition) = self.condition.as_ref().filter(|_| !pairs.0.is_empty()) else { return Ok(()) };
        let mut columns = rows[0].gather(&pairs.0)?;
        columns.extend(rows[1].gather(&pairs.1)?);
        let batch = batch_of(&self.schema, columns, pairs.0.len())?;
        let now = EvalContext { now: context.now };
        let holds = if context.rejects().on_error == OnError::Fail {
            condition.evaluate_predicate(&batch, now)?
        } else {
            let retracts = if gone {
                BooleanBuffer::new_set(batch.num_rows())
            } else {
                BooleanBuffer::new_unset(batch.num_rows())
            };
            let delta = Delta::signed(batch, retracts);
            kept_rows(&delta, context.rejects(), &mut |part| condition.evaluate_predicate(&part.batch, now))?
        };
        let mut flags = holds.values().iter();
        pairs.0.retain(|_| flags.next().unwrap_or(false));
        let mut flags = holds.values().iter();
        pairs.1.retain(|_| flags.next().unwrap_or(false));
        Ok(())
    }
}

/// Rows that come out of a join, by the numbers of the rows they are made of.
pub(super) enum Rows<'a> {
    /// Pairs of partners.
    Pairs(&'a [u32], &'a [u32]),
    /// Left rows on their own, and whether they have a partner.
    Left(&'a [u32], bool),
    /// Right rows on their own.
    Right(&'a [u32]),
}

/// Makes output rows.
pub(super) struct Output {
    kind: JoinKind,
    schema: SchemaRef,
}

impl Output {
    pub(super) fn new(kind: JoinKind, schema: SchemaRef) -> Self {
        Self { kind, schema }
    }

    /// Adds the deltas of these rows to `out`, of at most [`BATCH_ROWS`] rows each. `stores`: the left and the right rows.
    ///
    /// # Errors
    /// Where Arrow cannot build a column.
    pub(super) fn make(
        &self,
        stores: [&Chunks; 2],
        rows: &Rows<'_>,
        retract: bool,
        out: &mut Vec<Delta>,
    ) -> Result<()> {
        match rows {
            Rows::Pairs(left, right) => {
                for (left, right) in left.chunks(BATCH_ROWS).zip(right.chunks(BATCH_ROWS)) {
                    let mut columns = stores[0].gather(left)?;
                    columns.extend(stores[1].gather(right)?);
                    out.push(self.delta(columns, left.len(), retract)?);
                }
            }
            Rows::Left(rows, partner) => {
                for rows in rows.chunks(BATCH_ROWS) {
                    let mut columns = stores[0].gather(rows)?;
                    match self.kind {
                        JoinKind::Semi | JoinKind::Anti => {}
                        JoinKind::Mark => columns.push(Arc::new(BooleanArray::from(vec![*partner; rows.len()]))),
                        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => {
                            columns.extend(nulls(stores[1], rows.len()));
                        }
                    }
                    out.push(self.delta(columns, rows.len(), retract)?);
                }
            }
            Rows::Right(rows) => {
                for rows in rows.chunks(BATCH_ROWS) {
                    let mut columns: Vec<ArrayRef> = nulls(stores[0], rows.len()).collect();
                    columns.extend(stores[1].gather(rows)?);
                    out.push(self.delta(columns, rows.len(), retract)?);
                }
            }
        }
        Ok(())
    }

    fn delta(&self, columns: Vec<ArrayRef>, rows: usize, retract: bool) -> Result<Delta> {
        let batch = batch_of(&self.schema, columns, rows)?;
        Ok(if retract { Delta::signed(batch, BooleanBuffer::new_set(rows)) } else { Delta::append(batch) })
    }
}

fn nulls(store: &Chunks, rows: usize) -> impl Iterator<Item = ArrayRef> {
    store.schema().fields().iter().map(move |field| new_null_array(field.data_type(), rows))
}

fn batch_of(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Whether rows of an input come out on their own: with or without a partner.
pub(super) fn comes_alone(kind: JoinKind, port: usize) -> bool {
    match kind {
        JoinKind::Inner => false,
        JoinKind::Left | JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => port == 0,
        JoinKind::Right => port == 1,
        JoinKind::Full => true,
    }
}

/// Whether pairs come out.
pub(super) fn gives_pairs(kind: JoinKind) -> bool {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => true,
        JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => false,
    }
}

/// Whether rows that come out on their own do so when they have a partner, or when they have none.
pub(super) fn shows(kind: JoinKind, partner: bool) -> bool {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full | JoinKind::Anti => !partner,
        JoinKind::Semi => partner,
        JoinKind::Mark => true,
    }
}
