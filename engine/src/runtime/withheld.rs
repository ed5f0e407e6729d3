//! [`Withheld`]: views whose readers are to see what they see now, while their jobs are made anew behind them. What is published of
//! them meanwhile is kept, and shown all at once.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use super::coordinator::Coordinator;
use super::protocol::Staged;
use super::shared::Progress;
use super::system::System;
use super::{JobId, publish};
use crate::error::{EngineError, Result};
use crate::message::Epoch;
use crate::plan::RelationId;
use crate::time::EventTime;
use crate::view::ViewSnapshot;

/// See the module. The newest version of each shard of these views, as of its epoch.
#[derive(Default)]
pub(super) struct Withheld(HashMap<RelationId, HashMap<usize, (Epoch, Staged)>>);

impl Coordinator {
    /// Shows versions of views, but for those that are withheld.
    pub(super) fn show(&mut self, epoch: Epoch, parts: impl Iterator<Item = (usize, Staged)>) {
        let withheld = &mut self.withheld.0;
        let mut shown = Vec::new();
        for (shard, staged) in parts {
            match withheld.get_mut(&staged.relation) {
                Some(kept) => drop(kept.insert(shard, (epoch, staged))),
                None => shown.push((shard, staged)),
            }
        }
        publish::show(&self.links, epoch, shown.into_iter());
    }

    /// Leaves views as their readers see them, until [`Self::release`].
    pub(super) fn withhold(&mut self, views: &[RelationId]) {
        for view in views {
            self.withheld.0.entry(*view).or_default();
        }
    }

    /// Shows what has become of withheld views, all at once, with the columns that they have now. Those of which nothing was
    /// published stay as they are.
    pub(super) fn release(&mut self, views: &[RelationId]) {
        let mut shown = Vec::new();
        for view in views {
            let Some(shards) = self.withheld.0.remove(view).filter(|shards| !shards.is_empty()) else { continue };
            let makes = self.relations.get(view).and_then(|job| self.jobs.get(job)).map(|job| &job.makes);
            let Some(made) = makes.and_then(|makes| makes.iter().find(|made| made.relation == *view)) else { continue };
            let progress = Progress::least(shards.values().map(|(_, staged)| staged.progress));
            let mut snapshot = ViewSnapshot {
                schema: Arc::clone(&made.schema),
                epoch: shards.values().map(|(epoch, _)| *epoch).max().unwrap_or(Epoch(0)),
                watermark: progress.map_or(EventTime::MIN, |progress| progress.watermark),
                shards: self.links.shards.iter().map(|_| Arc::default()).collect(),
            };
            for (shard, (_, staged)) in shards {
                if let Some(slot) = snapshot.shards.get_mut(shard) {
                    *slot = staged.version;
                }
            }
            shown.push((*view, snapshot));
        }
        publish::replace(&self.links, shown);
    }
}

impl System {
    /// See [`Engine::caught_up`](super::Engine::caught_up). The sources have been asked already.
    pub(super) fn caught_up(self: &Arc<Self>, jobs: &[JobId]) -> Result<impl Future<Output = Result<()>> + use<>> {
        let read = self.with(|coordinator| coordinator.begin_flush(Some(jobs)))?;
        let (system, jobs) = (Arc::clone(self), jobs.to_vec());
        Ok(async move {
            read.await.map_err(|_| EngineError::Gone("the engine is shut down".into()))?;
            let visible = system.with(|coordinator| Ok(coordinator.epoch_of(&jobs)))?;
            for epoch in visible {
                // An error says that the jobs of the component are gone: then nobody waits for them.
                let _ = epoch.await;
            }
            Ok(())
        })
    }
}
