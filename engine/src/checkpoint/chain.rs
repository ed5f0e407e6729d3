//! [`Chains`]: what the last complete checkpoint of each job holds, so that the next one writes only what has changed.
//!
//! A chain is a base, in which everything is whole, and the changes since. What a checkpoint writes is found against the last
//! *complete* one ([`known`](super::known)): a checkpoint that fails leaves nothing to make up for. When more of what the chain
//! holds is dead than lives, or it has many links, the next checkpoint is a base again: that is how chains are compacted. It
//! is done by the thread that writes checkpoints.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::RecordBatch;

use super::format_manifest::RunRecord;
use super::format_run::{Batch, Extent, Section};
use super::known::{Known, KnownTables, name_before};
use super::load::SavedJob;
use super::table::Table;
use crate::error::{EngineError, Result};
use crate::message::Epoch;

/// Checkpoints of a small chain after its base, at most: recovery reads all of them.
const LINKS_MIN: usize = 32;
/// Bytes for which a chain may have another link: a base is written seldom enough that it adds no more than this to the
/// checkpoints between two of them.
const BYTES_A_LINK: u64 = 16 << 20;

/// The state of one operator on one shard at a checkpoint.
#[derive(Debug)]
pub struct State {
    /// The job's uid.
    pub job: String,
    /// The operator's id.
    pub operator: String,
    /// The shard.
    pub shard: usize,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Chains {
    jobs: HashMap<String, Chain>,
}

/// The last complete checkpoint of one job.
#[derive(Debug, Default)]
struct Chain {
    /// The epoch of its base, and its own.
    base_epoch: u64,
    epoch: u64,
    size: Size,
    runs: Vec<RunRecord>,
    /// By operator and shard.
    known: HashMap<(String, usize), KnownTables>,
    /// Of one that was loaded: by how many shards it was written. Its operators tell all that they have.
    loaded: Option<usize>,
}

/// How long a chain is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of all runs.
    pub bytes: u64,
    /// Rows that were written.
    pub written_rows: usize,
    /// Rows that there are.
    pub live_rows: usize,
    /// How many checkpoints follow the base.
    pub links: usize,
}

/// Whether the next checkpoint is a base.
pub fn starts_anew(size: Size) -> bool {
    let links_max = LINKS_MIN.saturating_add(usize::try_from(size.bytes / BYTES_A_LINK).unwrap_or(usize::MAX));
    size.links >= links_max || is_mostly_dead(size)
}

fn is_mostly_dead(size: Size) -> bool {
    size.written_rows.saturating_sub(size.live_rows) >= size.live_rows
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct Link {
    epoch: u64,
    /// The sections of each shard.
    pub shards: BTreeMap<usize, Vec<Section>>,
    /// The new chain of each job; its bytes are not known yet.
    jobs: HashMap<String, Chain>,
}

impl Chains {
    /// What the checkpoint of an epoch writes, when the operators of all its jobs have these states.
    ///
    /// # Errors
    /// Where Arrow cannot take rows; where a state tells changes of another checkpoint than the last complete one.
    pub fn link(&self, epoch: u64, jobs: impl Iterator<Item = String>, states: Vec<State>) -> Result<Link> {
        let mut link = Link { epoch, shards: BTreeMap::new(), jobs: HashMap::new() };
        let mut of_jobs: BTreeMap<&str, Vec<&State>> = BTreeMap::new();
        states.iter().for_each(|state| of_jobs.entry(&state.job).or_default().push(state));
        for uid in jobs {
            let states = of_jobs.get(uid.as_str()).map_or(&[][..], Vec::as_slice);
            let (chain, sections) = self.grown(epoch, &uid, states)?;
            for (shard, section) in sections {
                link.shards.entry(shard).or_default().push(section);
            }
            link.jobs.insert(uid, chain);
        }
        Ok(link)
    }

    /// The chain of a job after a checkpoint, and what that writes.
    fn grown(&self, epoch: u64, uid: &str, states: &[&State]) -> Result<(Chain, Sections)> {
        let base = Chain { base_epoch: epoch, epoch, ..Chain::default() };
        // One that has told its changes counts on the chain.
        let tells_all = states.iter().all(|state| state.tables.iter().all(Table::is_whole));
        let old = self.jobs.get(uid);
        if !tells_all && old.is_some_and(|old| old.has_emptied(states)) {
            return Err(EngineError::Internal("an operator has lost its tables".into()));
        }
        let goes_on = |old: &&Chain| !tells_all || !(starts_anew(old.size) || old.has_emptied(states));
        let Some(old) = old.filter(goes_on) else { return base.with(states, None) };
        let size = Size { links: old.size.links + 1, ..old.size };
        let longer = Chain { base_epoch: old.base_epoch, epoch, size, runs: old.runs.clone(), ..Chain::default() };
        let (longer, sections) = longer.with(states, Some(old))?;
        match tells_all && is_mostly_dead(longer.size) {
            true => base.with(states, None),
            false => Ok((longer, sections)),
        }
    }

    /// Knows a job as it was loaded from a checkpoint, so that its next one writes only what has changed since.
    pub fn load(&mut self, job: &SavedJob) {
        let operators: BTreeSet<&str> = job.record.nodes.iter().map(|node| node.operator.as_str()).collect();
        let (mut known, mut rows) = (HashMap::new(), 0);
        // What earlier checkpoints of the chain had of other operators is not known any more.
        for ((operator, shard), state) in job.states.iter().filter(|((of, _), _)| operators.contains(of.as_str())) {
            let mut tables: BTreeMap<&str, Vec<RecordBatch>> = BTreeMap::new();
            for (name, batch) in &state.tables {
                rows += batch.num_rows();
                tables.entry(name).or_default().push(batch.clone());
            }
            let tables = tables.into_iter().filter_map(|(name, all)| Some((name.to_owned(), Known::loaded(&all)?)));
            known.insert((operator.clone(), *shard), tables.collect());
        }
        let epochs: BTreeSet<u64> = job.runs.iter().map(|run| run.epoch).collect();
        let bytes = job.runs.iter().map(|run| run.bytes).sum();
        let size = Size { bytes, written_rows: rows, live_rows: rows, links: epochs.len().saturating_sub(1) };
        let (base_epoch, epoch, runs, loaded) = (job.record.base_epoch, job.epoch, job.runs.clone(), Some(job.shards));
        self.jobs.insert(job.record.uid.clone(), Chain { base_epoch, epoch, size, runs, known, loaded });
    }

    /// Forgets what was loaded from checkpoints of another number of shards: its rows are elsewhere now.
    pub fn keep_of(&mut self, shards: usize) {
        self.jobs.retain(|_, chain| chain.loaded.is_none_or(|loaded| loaded == shards));
    }

    /// The checkpoint is complete.
    pub fn add(&mut self, link: Link) {
        self.jobs.extend(link.jobs);
    }

    /// The epoch of the checkpoint that the next one of a job may tell changes of. `None`: it tells everything.
    pub fn base_of_next(&self, uid: &str) -> Option<Epoch> {
        let goes_on = |chain: &&Chain| chain.loaded.is_none() && !starts_anew(chain.size);
        self.jobs.get(uid).filter(goes_on).map(|chain| Epoch(chain.epoch))
    }

    /// Forgets the chains of other jobs than these, whose runs are deleted.
    pub fn retain(&mut self, live: &BTreeSet<String>) {
        self.jobs.retain(|uid, _| live.contains(uid));
    }

    /// Forgets a chain that cannot be read or continued: the next checkpoint is a base.
    pub fn forget(&mut self, uid: &str) {
        self.jobs.remove(uid);
    }
}

/// Sections and their shards.
type Sections = Vec<(usize, Section)>;

impl Chain {
    fn known(&self, state: &State) -> Option<&KnownTables> {
        self.known.get(&(state.operator.clone(), state.shard))
    }

    /// Whether an operator has lost all its tables, which no link can say.
    fn has_emptied(&self, states: &[&State]) -> bool {
        let had_some = |state: &&&State| self.known(state).is_some_and(|tables| !tables.is_empty());
        states.iter().filter(|state| state.tables.is_empty()).any(|state| had_some(&state))
    }

    /// The chain with these states, which come after those of `old`; and what is written of them.
    fn with(mut self, states: &[&State], old: Option<&Self>) -> Result<(Self, Sections)> {
        let mut all = Vec::new();
        self.size.live_rows = 0;
        for state in states {
            let before = old.and_then(|old| Some((old.known(state)?, old.epoch)));
            let (sections, known) = sections(state, before)?;
            let written = sections.iter().flat_map(|section| &section.batches).map(Batch::count);
            self.size.written_rows += written.sum::<usize>();
            self.size.live_rows += state.tables.iter().map(Table::count).sum::<usize>();
            let same = |section: &Section| matches!(&section.extent, Extent::Same { of } if *of == section.table);
            if before.is_none_or(|(old, _)| old.len() != sections.len()) || !sections.iter().all(same) {
                all.extend(sections.into_iter().map(|section| (state.shard, section)));
            }
            self.known.insert((state.operator.clone(), state.shard), known);
        }
        Ok((self, all))
    }
}

impl Link {
    /// Adds a run that is written: its sections are those of the shard, with these sizes.
    pub fn written(&mut self, run: &RunRecord, sizes: &[u64]) {
        let sections = self.shards.get(&run.shard).map_or(&[][..], Vec::as_slice);
        for (section, size) in sections.iter().zip(sizes) {
            if let Some(chain) = self.jobs.get_mut(&section.job) {
                chain.size.bytes += size;
            }
        }
        let jobs: BTreeSet<&str> = sections.iter().map(|section| section.job.as_str()).collect();
        for (_, chain) in self.jobs.iter_mut().filter(|(uid, _)| jobs.contains(uid.as_str())) {
            chain.runs.push(run.clone());
        }
    }

    /// All runs that the jobs need, those that are applied first before the others.
    pub fn runs(&self) -> Vec<RunRecord> {
        let all = self.jobs.values().flat_map(|chain| &chain.runs);
        let all: BTreeMap<_, _> = all.map(|run| ((run.epoch, run.shard, &run.path), run)).collect();
        all.into_values().cloned().collect()
    }

    /// The epoch of the base of a job.
    pub fn base_epoch(&self, uid: &str) -> u64 {
        self.jobs.get(uid).map_or(self.epoch, |chain| chain.base_epoch)
    }
}

/// What a run tells of an operator whose tables were known so at an epoch, and how they are known now.
fn sections(state: &State, before: Option<(&KnownTables, u64)>) -> Result<(Vec<Section>, KnownTables)> {
    let known: KnownTables = state.tables.iter().map(|table| (table.name.clone(), Known::of(table))).collect();
    let mut sections = Vec::with_capacity(known.len());
    for table in &state.tables {
        let Some(now) = known.get(&table.name) else { continue };
        let before = before.and_then(|(old, epoch)| {
            let name = name_before(&table.name, &known, old)?;
            let before = old.get(&name)?;
            Some((name, before, epoch))
        });
        let told = now.told(table, before)?;
        sections.push(Section {
            job: state.job.clone(),
            operator: state.operator.clone(),
            table: table.name.clone(),
            extent: told.extent,
            schema: Arc::clone(&table.schema),
            batches: told.batches,
        });
    }
    Ok((sections, known))
}
