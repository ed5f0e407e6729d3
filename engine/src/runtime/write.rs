//! [`WriteJob`]: a checkpoint that all parts have passed, on its way into the store. Done on a thread of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::capture::{CapturedState, DurablePlan, NodeCapture, PartCapture};
use super::protocol::{Event, Links};
use crate::checkpoint::archive::Archive;
use crate::checkpoint::chain::State;
use crate::checkpoint::format_manifest::{JobRecord, Manifest, NodeRecord};
use crate::checkpoint::table::{Rows, Table};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::OperatorSpec;
use crate::rejects::RejectEntry;
use crate::rejects::format_rejected::{self, REJECTED};
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
    /// Of the first shard: the rows that the job has rejected.
    pub(super) rejected: Vec<Arc<RejectEntry>>,
}

/// A checkpoint that is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) bytes: u64,
}

/// Of each job by its uid, the epoch of the checkpoint that its next one may tell changes of.
pub(super) type Bases = BTreeMap<String, Option<Epoch>>;

impl Links {
    /// Writes the checkpoints that wait. Gives whether there were any.
    pub(super) fn write_checkpoints(&self) -> bool {
        let jobs = self.writer.take();
        let some = !jobs.is_empty();
        for job in jobs {
            let (epoch, archive) = (job.epoch, Arc::clone(&job.archive));
            let uids: BTreeSet<String> = job.parts.iter().map(|part| part.plan.uid.clone()).collect();
            let result = self.write(job);
            let bases = uids.into_iter().map(|uid| (uid.clone(), archive.base_of_next(&uid))).collect();
            self.coordinator.send(Event::Saved { epoch, bases, result });
        }
        some
    }

    fn write(&self, job: WriteJob) -> Result<Written> {
        let WriteJob { archive, epoch, began_at, parts, live } = job;
        let shards = self.config.shards;
        let mut manifest = Manifest::new(archive.generation(), epoch.0, began_at.0, shards);
        let mut states = Vec::new();
        for part in parts {
            let place = manifest.jobs.iter().position(|job| job.uid == part.plan.uid).unwrap_or_else(|| {
                manifest.jobs.push(record(&part.plan));
                manifest.jobs.len() - 1
            });
            let Some(record) = manifest.jobs.get_mut(place) else { continue };
            record.inserted = record.inserted.max(part.capture.inserted);
            for node in part.capture.nodes {
                let (node, tables) = describe(node, &part.plan, part.shard)?;
                let (job, operator, shard) = (part.plan.uid.clone(), node.operator.clone(), part.shard);
                record.nodes.push(node);
                states.push(State { job, operator, shard, tables });
            }
            if !part.rejected.is_empty() {
                let (job, operator, shard) = (part.plan.uid.clone(), REJECTED.to_owned(), part.shard);
                record.nodes.push(NodeRecord { operator: operator.clone(), shard, ..NodeRecord::default() });
                let tables = vec![Table::whole("rows", format_rejected::encode(&part.rejected)?)];
                states.push(State { job, operator, shard, tables });
            }
        }
        let bytes = archive.save(manifest, states)?;
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
    JobRecord { uid, name, plan: hash, inserted: 0, base_epoch: 0, nodes: Vec::new() }
}

/// What the manifest says of a node, and its rows.
fn describe(capture: NodeCapture, plan: &DurablePlan, shard: usize) -> Result<(NodeRecord, Vec<Table>)> {
    let lost = || EngineError::Internal("a node that is not in its plan".into());
    let operator = plan.operators.get(capture.node).ok_or_else(lost)?;
    let record = NodeRecord { operator: operator.clone(), shard, ..capture.record };
    let tables = match capture.state {
        CapturedState::None => Vec::new(),
        CapturedState::Tables(tables) => tables,
        CapturedState::View(version) => {
            let node = plan.dataflow.nodes.get(capture.node).ok_or_else(lost)?;
            let schema = match &node.spec {
                OperatorSpec::Materialize(_) => Arc::clone(&node.edge.schema),
                _ => return Err(lost()),
            };
            vec![Table { name: "rows".into(), schema, rows: Rows::Pieces(version.chunks.clone()) }]
        }
    };
    Ok((record, tables))
}
