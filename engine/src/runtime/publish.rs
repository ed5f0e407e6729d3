//! Changes of the [`GlobalSnapshot`], each by one swap. Only the coordinator calls these, under its lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::assemble::Made;
use super::protocol::{Links, Staged};
use crate::message::Epoch;
use crate::plan::RelationId;
use crate::time::EventTime;
use crate::view::{GlobalSnapshot, ViewSnapshot, ViewVersion};

/// Makes views readable, without rows.
pub(super) fn show_empty(links: &Links, makes: &[Made]) {
    change(links, |snapshot| {
        for made in makes {
            let view = ViewSnapshot {
                schema: Arc::clone(&made.schema),
                epoch: Epoch(0),
                watermark: EventTime::MIN,
                shards: vec![Arc::new(ViewVersion::default()); links.config.shards],
            };
            snapshot.views.insert(made.relation, Arc::new(view));
        }
    });
}

/// Shows views as of an epoch, all at once. The parts of a view that did not change are not told.
pub(super) fn show(links: &Links, epoch: Epoch, views: HashMap<RelationId, Vec<(usize, Staged)>>) {
    if views.is_empty() {
        return;
    }
    change(links, |snapshot| {
        for (relation, parts) in views {
            let Some(before) = snapshot.views.get(&relation) else { continue };
            let mut view = ViewSnapshot::clone(before);
            view.epoch = epoch;
            view.watermark = watermark(&parts).max(view.watermark);
            for (shard, staged) in parts {
                if let Some(slot) = view.shards.get_mut(shard) {
                    *slot = staged.version;
                }
            }
            snapshot.views.insert(relation, Arc::new(view));
        }
    });
}

/// Forgets a view.
pub(super) fn hide(links: &Links, relation: RelationId) {
    change(links, |snapshot| {
        snapshot.views.remove(&relation);
    });
}

/// The least watermark of the shards that are not idle; the greatest where all are.
fn watermark(parts: &[(usize, Staged)]) -> EventTime {
    let active = parts.iter().filter(|(_, staged)| !staged.idle).map(|(_, staged)| staged.watermark).min();
    let idle = parts.iter().map(|(_, staged)| staged.watermark).max();
    active.or(idle).unwrap_or(EventTime::MIN)
}

fn change(links: &Links, change: impl FnOnce(&mut GlobalSnapshot)) {
    let mut snapshot = GlobalSnapshot::clone(&links.snapshot.load());
    change(&mut snapshot);
    links.snapshot.store(Arc::new(snapshot));
}
