//! How a job goes on that reads a view which has gone on without it: the checkpoint that it continues from has the view too, as
//! the job had read it. Its readers are given those rows, and then read what has changed among them, not all.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use parking_lot::Mutex;

use super::assemble::{Assembled, Read};
use super::capture::DurablePlan;
use super::graph::NodeKind;
use super::recover::{Continued, states_of};
use super::redeploy::Together;
use super::system::System;
use crate::checkpoint::archive::Archive;
use crate::checkpoint::fingerprint::{Fingerprint, fingerprints};
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta};
use crate::plan::{ChangelogMode, Dataflow, OperatorSpec, RelationId};
use crate::view::ViewVersion;

impl Read {
    /// Whether the reader has all rows that the view has, when both go on from one checkpoint.
    pub(super) fn has_all(&self) -> bool {
        self.continues && !self.catches_up
    }
}

impl System {
    /// Tells the readers of a job that has not run yet what they had read, where their views do not go on from the same
    /// checkpoint. `together`: what is started with it. A view whose rows the checkpoint does not have is left out.
    ///
    /// # Errors
    /// Where the rows are there and cannot be read, or cannot be compared.
    pub(super) fn catch_up(&self, assembled: &mut Assembled, continued: &Continued, together: &Together) -> Result<()> {
        let Some(archive) = self.open_archive()? else { return Ok(()) };
        let Assembled { reads, parts, durable: Some(own), .. } = assembled else { return Ok(()) };
        let is_behind = |read: &&mut Read| {
            read.continues && !read.ended && together.epoch(read.relation) != Some(continued.saved.epoch)
        };
        for read in reads.iter_mut().filter(is_behind) {
            let runs = || self.coordinator.lock().plan_of(read.relation);
            let Some(plan) = together.plan(read.relation).or_else(runs) else { continue };
            let Some(rows) = rows_then(&archive, continued, &plan, read.relation, parts.len())? else { continue };
            let before = Before::on_each(&read.name, rows, changes(&own.dataflow, read.node))?;
            for (part, before) in parts.iter_mut().zip(before) {
                if let Some(NodeKind::View(view)) = part.graph.nodes.get_mut(read.node).map(|node| &mut node.kind) {
                    view.catch_up_from(before);
                }
            }
            read.catches_up = true;
        }
        Ok(())
    }
}

/// Whether the rows that come out of a node may be retracted.
fn changes(dataflow: &Dataflow, node: usize) -> bool {
    dataflow.nodes.get(node).is_some_and(|node| node.edge.changelog == ChangelogMode::Retract)
}

/// The rows of a view, by shard, as of the checkpoint that a reader continues from. `plan`: of the job that keeps it now.
fn rows_then(
    archive: &Archive,
    continued: &Continued,
    plan: &Arc<DurablePlan>,
    view: RelationId,
    shards: usize,
) -> Result<Option<Vec<Vec<RecordBatch>>>> {
    let Some(saved) = archive.beside(&continued.saved, &plan.uid)? else { return Ok(None) };
    let saved = saved.renamed(&plan.operators);
    let keeps = |spec: &OperatorSpec| matches!(spec, OperatorSpec::Materialize(spec) if spec.relation == view);
    let Some(node) = plan.dataflow.nodes.iter().position(|node| keeps(&node.spec)) else { return Ok(None) };
    let operator = plan.operators.get(node);
    // A view that had another query has another name.
    if !saved.record.nodes.iter().any(|record| Some(&record.operator) == operator) {
        return Ok(None);
    }
    let states = states_of(plan, node, &saved, shards)?;
    Ok(Some(states.into_iter().map(|state| state.tables.into_iter().map(|(_, rows)| rows).collect()).collect()))
}

/// What a reader had read of a view that has gone on without it.
#[derive(Debug)]
pub(super) enum Before {
    /// Of a view that changes: the rows on the same shard. A row is where its key is.
    Here(Vec<RecordBatch>),
    /// Of one that only adds rows: those of all shards, for a row may be on another one now.
    Everywhere(Arc<Mutex<Added>>),
}

/// The rows that were read of a view that only adds some.
#[derive(Debug)]
pub(super) struct Added {
    view: String,
    rows: Copies,
    /// Shards whose rows have not been compared.
    open: usize,
}

/// How many there are of each row.
type Copies = HashMap<Fingerprint, usize>;

impl Before {
    /// The same for each shard, of the rows by shard.
    fn on_each(view: &str, rows: Vec<Vec<RecordBatch>>, changes: bool) -> Result<Vec<Self>> {
        if changes {
            return Ok(rows.into_iter().map(Self::Here).collect());
        }
        let open = rows.len();
        let rows = copies(rows.iter().flatten())?;
        let added = Arc::new(Mutex::new(Added { view: view.to_owned(), rows, open }));
        Ok((0..open).map(|_| Self::Everywhere(Arc::clone(&added))).collect())
    }

    /// How the rows of this shard come out of those before: what is gone, then what is new. An update is both.
    ///
    /// # Errors
    /// Where rows are gone of a view that only adds some: it is another one than the reader knows.
    pub(super) fn changes(self, now: &ViewVersion) -> Result<Vec<Delta>> {
        let (gone, new) = match self {
            Self::Here(before) => {
                let mut left = copies(&before)?;
                let new = without(now, &mut left)?;
                let gone = before.iter().map(|batch| filtered(batch, |print| take(&mut left, print)));
                (gone.collect::<Result<Vec<_>>>()?, new)
            }
            Self::Everywhere(added) => {
                let mut added = added.lock();
                let new = without(now, &mut added.rows)?;
                added.open = added.open.saturating_sub(1);
                if added.open == 0 && added.rows.values().any(|copies| *copies > 0) {
                    let view = &added.view;
                    let message =
                        format!("rows that were read of \"{view}\" are not in it any more: make the job anew");
                    return Err(EngineError::Unsupported(message));
                }
                (Vec::new(), new)
            }
        };
        let retract = |batch: RecordBatch| {
            let all = BooleanBuffer::new_set(batch.num_rows());
            Delta::signed(batch, all)
        };
        let all = gone.into_iter().map(retract).chain(new.into_iter().map(Delta::append));
        Ok(all.flat_map(in_batches).collect())
    }
}

fn copies<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Result<Copies> {
    let mut copies = Copies::new();
    for batch in batches {
        prints_of(batch)?.into_iter().for_each(|print| *copies.entry(print).or_default() += 1);
    }
    Ok(copies)
}

/// Takes one of these rows; false: there is none.
fn take(copies: &mut Copies, print: Fingerprint) -> bool {
    let left = copies.get_mut(&print).filter(|copies| **copies > 0);
    left.map(|copies| *copies -= 1).is_some()
}

/// The rows of a view that are not among these, which are taken from them.
fn without(view: &ViewVersion, copies: &mut Copies) -> Result<Vec<RecordBatch>> {
    view.chunks.iter().map(|chunk| filtered(&chunk.live_batch()?, |print| !take(copies, print))).collect()
}

/// The rows that are to be kept.
fn filtered(batch: &RecordBatch, mut keep: impl FnMut(Fingerprint) -> bool) -> Result<RecordBatch> {
    let kept: BooleanArray = prints_of(batch)?.into_iter().map(|print| Some(keep(print))).collect();
    Ok(filter_record_batch(batch, &kept)?)
}

fn prints_of(batch: &RecordBatch) -> Result<Vec<Fingerprint>> {
    let prints = fingerprints(std::slice::from_ref(batch));
    prints.ok_or_else(|| EngineError::Unsupported("rows of such columns cannot be compared".into()))
}

/// A delta in pieces of the usual size; none of an empty one.
fn in_batches(delta: Delta) -> impl Iterator<Item = Delta> {
    let rows = delta.rows();
    (0..rows).step_by(BATCH_ROWS).map(move |start| delta.slice(start, BATCH_ROWS.min(rows - start)))
}
