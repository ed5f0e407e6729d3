//! What there is to see of jobs that do not run, as of their last checkpoints: the rows of their views, and those that they
//! rejected. Nothing is read for it but the checkpoint.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::assemble::Made;
use super::protocol::Staged;
use super::recover::rejected;
use super::shared::Progress;
use super::system::System;
use super::{JobId, publish};
use crate::checkpoint::load::SavedJob;
use crate::error::Result;
use crate::message::{Delta, Epoch};
use crate::plan::RelationId;
use crate::time::EventTime;
use crate::view::ViewStore;

/// How the operators begin, in checkpoints, that keep views.
const VIEW: &str = "materialize-";

/// A job that does not run.
#[derive(Debug, Clone)]
pub struct Resting {
    /// Its number.
    pub job: JobId,
    /// What checkpoints know it by.
    pub uid: String,
    /// Its name, for people.
    pub name: String,
    /// The view that it keeps, with the columns.
    pub view: Option<(RelationId, SchemaRef)>,
}

impl System {
    /// See [`Engine::recall`](super::Engine::recall).
    pub(super) fn recall(&self, resting: &Resting) -> Result<bool> {
        let Some(archive) = self.open_archive()?.filter(|archive| archive.uids().contains(&resting.uid)) else {
            return Ok(false);
        };
        let saved = archive.newest(&resting.uid)?;
        let shards = self.links.config.shards;
        let shown = resting.view.as_ref().map(|(view, schema)| rows_of(*view, schema, &saved, shards)).transpose()?;
        let coordinator = self.coordinator.lock();
        let runs = coordinator.status(resting.job).is_some_and(|status| !status.state.is_terminal());
        if runs || shown.as_ref().is_some_and(Option::is_none) {
            return Ok(false);
        }
        self.links.rejects.replace(resting.job, rejected(resting.job, &resting.name, &saved));
        if let (Some((relation, schema)), Some(Some(staged))) = (&resting.view, shown) {
            let (relation, name, schema) = (*relation, resting.name.clone(), Arc::clone(schema));
            publish::show_empty(&self.links, &[Made { relation, name, schema }]);
            publish::show(&self.links, Epoch(saved.epoch), staged.into_iter().enumerate());
        }
        Ok(true)
    }
}

/// The rows of a view by shard; `None`: those that were saved are of another view.
fn rows_of(view: RelationId, schema: &SchemaRef, saved: &SavedJob, shards: usize) -> Result<Option<Vec<Staged>>> {
    let records: Vec<_> = saved.record.nodes.iter().filter(|record| record.operator.starts_with(VIEW)).collect();
    if records.is_empty() {
        return Ok(None);
    }
    let progress = records
        .iter()
        .map(|record| Progress { watermark: record.watermark_us.map_or(EventTime::MIN, EventTime), idle: record.idle });
    let progress = Progress::least(progress).unwrap_or(Progress { watermark: EventTime::MIN, idle: false });
    let mut staged = Vec::with_capacity(shards);
    for shard in 0..shards {
        // Where there are fewer shards now, some have the rows of several.
        let own = saved.states.iter().filter(|((of, at), _)| of.starts_with(VIEW) && at % shards == shard);
        let batches: Vec<&RecordBatch> = own.flat_map(|(_, state)| state.tables.iter().map(|(_, rows)| rows)).collect();
        let types = |schema: &SchemaRef| schema.fields().iter().map(|of| of.data_type().clone()).collect::<Vec<_>>();
        if batches.iter().any(|batch| types(&batch.schema()) != types(schema)) {
            return Ok(None);
        }
        let mut store =
            ViewStore::new(batches.first().map_or_else(|| Arc::clone(schema), |batch| batch.schema()), None);
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            store.apply(&Delta::append(batch.clone()))?;
        }
        staged.push(Staged { relation: view, progress, version: store.version()? });
    }
    Ok(Some(staged))
}
