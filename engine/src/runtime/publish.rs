//! Changes of the [`GlobalSnapshot`], each by one swap. Only the coordinator calls these, under its lock.

use std::collections::HashMap;
use std::sync::Arc;

use super::assemble::{Made, Read};
use super::materialize::END;
use super::protocol::{Links, Staged};
use super::shared::Progress;
use crate::error::{EngineError, Result};
use crate::message::{Epoch, Message};
use crate::plan::RelationId;
use crate::time::EventTime;
use crate::view::{GlobalSnapshot, ViewSnapshot};

/// Makes views readable, without rows. Those that are readable already stay as they are: their job runs anew.
pub(super) fn show_empty(links: &Links, makes: &[Made]) {
    change(links, |snapshot| {
        for made in makes {
            // What a job published before it was started again stays until it publishes.
            snapshot.views.entry(made.relation).or_insert_with(|| {
                Arc::new(ViewSnapshot {
                    schema: Arc::clone(&made.schema),
                    epoch: Epoch(0),
                    watermark: EventTime::MIN,
                    shards: links.shards.iter().map(|_| Arc::default()).collect(),
                })
            });
        }
    });
}

/// Shows views as of an epoch, all at once: the parts of each shard. Views that are not there any more are left out.
pub(super) fn show(links: &Links, epoch: Epoch, parts: impl Iterator<Item = (usize, Staged)>) {
    let mut views: HashMap<RelationId, Vec<(usize, Staged)>> = HashMap::new();
    for (shard, staged) in parts {
        views.entry(staged.relation).or_default().push((shard, staged));
    }
    if views.is_empty() {
        return;
    }
    change(links, |snapshot| {
        for (relation, parts) in views {
            let Some(before) = snapshot.views.get(&relation) else { continue };
            let mut view = ViewSnapshot::clone(before);
            view.epoch = epoch;
            let progress = Progress::least(parts.iter().map(|(_, staged)| staged.progress));
            view.watermark = progress.map_or(view.watermark, |progress| progress.watermark.max(view.watermark));
            for (shard, staged) in parts {
                if let Some(slot) = view.shards.get_mut(shard) {
                    *slot = staged.version;
                }
            }
            snapshot.views.insert(relation, Arc::new(view));
        }
    });
}

/// Shows views whole, whatever they were, all at once. Those that are not there any more are left out.
pub(super) fn replace(links: &Links, views: Vec<(RelationId, ViewSnapshot)>) {
    change(links, |snapshot| {
        for (relation, view) in views {
            snapshot.views.entry(relation).and_modify(|before| *before = Arc::new(view));
        }
    });
}

/// Forgets a view.
pub(super) fn hide(links: &Links, relation: RelationId) {
    change(links, |snapshot| {
        snapshot.views.remove(&relation);
    });
}

/// Gives the reader of a view whose job has finished the rows, then the end; only the end where it has the rows.
///
/// # Errors
/// Where the view is not there.
pub(super) fn feed_finished(links: &Links, read: &Read) -> Result<()> {
    let snapshot = links.snapshot.load();
    let Some(view) = snapshot.views.get(&read.relation) else {
        return Err(EngineError::Gone(format!("relation \"{}\" does not exist", read.name)));
    };
    for (shard, feed) in read.feeds.iter().enumerate() {
        let rows = view.shards.get(shard).map(Arc::clone).unwrap_or_default();
        if read.has_all() {
            feed.ring.push(Message::End);
        } else {
            feed.start(rows, END, Message::End);
        }
    }
    Ok(())
}

fn change(links: &Links, change: impl FnOnce(&mut GlobalSnapshot)) {
    let mut snapshot = GlobalSnapshot::clone(&links.snapshot.load());
    change(&mut snapshot);
    links.snapshot.store(Arc::new(snapshot));
}
