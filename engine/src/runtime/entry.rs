//! [`Entry`]: where a part of a job reads, and what its rows reach from there.

use super::exchange::Inlet;
use super::graph::{Channel, Node};

/// Where a part reads: a source, a view, a table or an exchange.
pub(super) struct Entry {
    pub(super) what: EntryKind,
    /// The nodes that its rows reach on this shard.
    pub(super) nodes: Vec<usize>,
    /// The forward channels that its rows pass.
    pub(super) channels: Vec<Channel>,
}

pub(super) enum EntryKind {
    /// The source or view of this node.
    Node(usize),
    Inlet(Inlet),
}

impl Entry {
    /// An entry, and what its rows reach on this shard.
    pub(super) fn new(what: EntryKind, nodes: &[Node]) -> Self {
        let mut entry = Self { what, nodes: Vec::new(), channels: Vec::new() };
        let mut open = vec![entry.start()];
        while let Some(index) = open.pop() {
            if entry.nodes.contains(&index) {
                continue;
            }
            entry.nodes.push(index);
            for to in nodes.get(index).into_iter().flat_map(|node| &node.forwards) {
                entry.channels.push(*to);
                open.push(to.node);
            }
        }
        entry
    }

    /// The node that its rows come to first.
    pub(super) fn start(&self) -> usize {
        match &self.what {
            EntryKind::Node(node) => *node,
            EntryKind::Inlet(inlet) => inlet.node,
        }
    }
}
