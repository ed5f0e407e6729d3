//! What a part tells at a checkpoint: the state of each of its nodes, as it was when the barrier passed.
//!
//! Operators give what they have in pieces, and copy only what is changed in place; a view gives the version that it makes
//! anyway. Nothing is encoded here: that is done on a thread of its own while the shards go on.

use std::sync::Arc;

use super::graph::{Graph, Node, NodeKind};
use super::part::JobPart;
use crate::checkpoint::format_manifest::NodeRecord;
use crate::checkpoint::identity::{operator_ids, plan_hash};
use crate::checkpoint::spread::{Spread, of_input, spreads};
use crate::checkpoint::table::Table;
use crate::error::Result;
use crate::message::Epoch;
use crate::plan::Dataflow;
use crate::view::ViewVersion;

/// A job that is part of checkpoints: what its operators are called, and how their rows are spread.
#[derive(Debug)]
pub(super) struct DurablePlan {
    pub(super) uid: String,
    pub(super) name: String,
    pub(super) dataflow: Arc<Dataflow>,
    pub(super) hash: String,
    /// The id of each node.
    pub(super) operators: Vec<String>,
    /// The spread of each port of each node.
    pub(super) ports: Vec<Vec<Spread>>,
}

impl DurablePlan {
    pub(super) fn new(uid: &str, name: &str, dataflow: Arc<Dataflow>) -> Self {
        let operators = operator_ids(&dataflow);
        let all = spreads(&dataflow);
        let of_node = |node: &crate::plan::Node| node.inputs.iter().map(|input| of_input(&all, input)).collect();
        let ports = dataflow.nodes.iter().map(of_node).collect();
        let (uid, name, hash) = (uid.to_owned(), name.to_owned(), plan_hash(&operators));
        Self { uid, name, dataflow, hash, operators, ports }
    }

    /// Tells the nodes of a job what checkpoints call them.
    pub(super) fn name_nodes(&self, parts: &mut [JobPart]) {
        let names: Vec<Arc<str>> = self.operators.iter().map(|operator| operator.as_str().into()).collect();
        for (node, name) in parts.iter_mut().flat_map(|part| part.graph.nodes.iter_mut().zip(&names)) {
            node.label.id = Arc::clone(name);
        }
    }
}

/// One node of one shard at a barrier.
#[derive(Debug)]
pub(super) struct NodeCapture {
    /// Its place in the dataflow.
    pub(super) node: usize,
    /// All but rows; operator and shard are filled in later.
    pub(super) record: NodeRecord,
    pub(super) state: CapturedState,
}

/// The rows of a node.
#[derive(Debug)]
pub(super) enum CapturedState {
    None,
    Tables(Vec<Table>),
    View(Arc<ViewVersion>),
}

/// What a part tells of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct PartCapture {
    pub(super) nodes: Vec<NodeCapture>,
    /// Number of the last insert, where it is an internal table.
    pub(super) inserted: u64,
}

impl Node {
    /// The node as it is now. `base`: the last complete checkpoint.
    ///
    /// # Errors
    /// Where an operator cannot tell its state.
    pub(super) fn capture(&mut self, node: usize, epoch: Epoch, base: Option<Epoch>) -> Result<NodeCapture> {
        let mut record = NodeRecord { ended: self.ended, timer_us: self.timer.map(|at| at.0), ..NodeRecord::default() };
        let state = match &mut self.kind {
            NodeKind::Source(source) => {
                record.splits = source.capture();
                CapturedState::None
            }
            NodeKind::View(view) => {
                let (progress, ended) = view.capture();
                record.watermark_us = Some(progress.watermark.0);
                (record.idle, record.ended) = (progress.idle, ended);
                CapturedState::None
            }
            NodeKind::Table => CapturedState::None,
            NodeKind::Operator(operator) => CapturedState::Tables(operator.capture(epoch, base)?),
            NodeKind::Materialize(view) => {
                let (version, progress) = view.capture()?;
                (record.watermark_us, record.idle) = (Some(progress.watermark.0), progress.idle);
                CapturedState::View(version)
            }
            NodeKind::Sink(sink) => {
                record.tokens = sink.tokens();
                CapturedState::None
            }
        };
        Ok(NodeCapture { node, record, state })
    }
}

impl Graph {
    /// Notes the state of a node that passes the barrier of a checkpoint.
    pub(super) fn capture(&mut self, index: usize, epoch: Epoch) -> Result<()> {
        if self.shared.is_checkpoint(epoch)
            && let Some(node) = self.nodes.get_mut(index)
        {
            self.captured.push((epoch, node.capture(index, epoch, self.shared.checkpoint_base())?));
        }
        Ok(())
    }

    /// What the nodes told at the checkpoint of this epoch, which all have passed; `None` where it is none. Nodes that had
    /// ended before tell it now.
    ///
    /// # Errors
    /// Where an operator cannot tell its state.
    pub(super) fn take_captured(&mut self, epoch: Epoch) -> Result<Option<Vec<NodeCapture>>> {
        if !self.shared.is_checkpoint(epoch) {
            self.captured.retain(|(of, _)| *of > epoch);
            return Ok(None);
        }
        let all = std::mem::take(&mut self.captured);
        let mut captured: Vec<NodeCapture> =
            all.into_iter().filter(|(of, _)| *of == epoch).map(|(_, capture)| capture).collect();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if captured.iter().all(|capture| capture.node != index) {
                captured.push(node.capture(index, epoch, self.shared.checkpoint_base())?);
            }
        }
        Ok(Some(captured))
    }
}
