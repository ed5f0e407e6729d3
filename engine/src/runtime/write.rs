//! [`WriteJob`]: a checkpoint that all parts have passed, on its way into the store. Done on a thread of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::capture::{CapturedState, DurablePlan, NodeCapture, PartCapture};
use super::protocol::{Event, Links};
use crate::checkpoint::archive::{Archive, NewRun};
use crate::checkpoint::format_manifest::{JobRecord, Manifest, NodeRecord};
use crate::checkpoint::format_run::{Extent, Section, encode};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::OperatorSpec;
use crate::time::ProcessingTime;

/// See the module.
pub(super) struct WriteJob {
    pub(super) archive: Arc<Archive>,
    pub(super) epoch: Epoch,
    pub(super) began_at: ProcessingTime,
    pub(super) parts: Vec<CapturedPart>,
    /// The uids of all jobs and tables that there are: what was saved of others is deleted.
    pub(super) live: BTreeSet<String>,
}

/// One part of one job at the checkpoint.
pub(super) struct CapturedPart {
    pub(super) plan: Arc<DurablePlan>,
    pub(super) shard: usize,
    pub(super) capture: PartCapture,
}

/// A checkpoint that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) bytes: u64,
}

impl Links {
    /// Writes the checkpoints that wait. Gives whether there were any.
    pub(super) fn write_checkpoints(&self) -> bool {
        let jobs = self.writer.take();
        let some = !jobs.is_empty();
        for job in jobs {
            let epoch = job.epoch;
            let result = self.write(job);
            self.coordinator.send(Event::Saved { epoch, result });
        }
        some
    }

    fn write(&self, job: WriteJob) -> Result<Written> {
        let WriteJob { archive, epoch, began_at, parts, live } = job;
        let shards = self.config.shards;
        let mut manifest = Manifest::new(archive.generation(), epoch.0, began_at.0, shards);
        let mut sections: Vec<Vec<Section>> = (0..shards).map(|_| Vec::new()).collect();
        for part in parts {
            let of_shard = sections.get_mut(part.shard);
            let of_shard = of_shard.ok_or_else(|| EngineError::Internal("a shard that is not there".into()))?;
            let place = manifest.jobs.iter().position(|job| job.uid == part.plan.uid).unwrap_or_else(|| {
                manifest.jobs.push(record(&part.plan));
                manifest.jobs.len() - 1
            });
            let Some(record) = manifest.jobs.get_mut(place) else { continue };
            record.inserted = record.inserted.max(part.capture.inserted);
            for node in part.capture.nodes {
                let (node, tables) = describe(node, &part.plan, part.shard)?;
                record.nodes.push(node);
                of_shard.extend(tables);
            }
        }
        let mut bytes = 0;
        for (shard, sections) in sections.into_iter().enumerate().filter(|(_, sections)| !sections.is_empty()) {
            let run = archive.write_run(epoch.0, &NewRun { shard, bytes: encode(&sections)? })?;
            bytes += run.bytes;
            manifest.runs.push(run);
        }
        archive.complete(manifest)?;
        let retained = self.config.checkpoints.as_ref().map_or(1, |config| config.retained);
        if let Err(error) = archive.clean(&live, retained) {
            // The next checkpoint cleans again.
            tracing::warn!(%error, "old checkpoints cannot be deleted");
        }
        Ok(Written { bytes })
    }
}

fn record(plan: &DurablePlan) -> JobRecord {
    let (uid, name, hash) = (plan.uid.clone(), plan.name.clone(), plan.hash.clone());
    JobRecord { uid, name, plan: hash, inserted: 0, nodes: Vec::new() }
}

/// What the manifest says of a node, and its rows.
fn describe(capture: NodeCapture, plan: &DurablePlan, shard: usize) -> Result<(NodeRecord, Vec<Section>)> {
    let lost = || EngineError::Internal("a node that is not in its plan".into());
    let operator = plan.operators.get(capture.node).ok_or_else(lost)?;
    let record = NodeRecord { operator: operator.clone(), shard, ..capture.record };
    let sections = match capture.state {
        CapturedState::None => Vec::new(),
        CapturedState::Tables(state) => {
            let whole = |(table, rows): (String, RecordBatch)| Section::whole(&plan.uid, operator, &table, rows);
            state.tables.into_iter().map(whole).collect()
        }
        CapturedState::View(version) => {
            let node = plan.dataflow.nodes.get(capture.node).ok_or_else(lost)?;
            let schema = match &node.spec {
                OperatorSpec::Materialize(_) => Arc::clone(&node.edge.schema),
                _ => return Err(lost()),
            };
            let all: Vec<usize> = (0..schema.fields().len()).collect();
            vec![Section {
                job: plan.uid.clone(),
                operator: operator.clone(),
                table: "rows".into(),
                extent: Extent::Whole,
                schema,
                batches: version.scan(&all)?,
            }]
        }
    };
    Ok((record, sections))
}
