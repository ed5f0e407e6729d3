//! [`Chains`]: what the last complete checkpoint of each job holds, so that the next one writes only what has changed.
//!
//! A chain is a base, in which everything is whole, and the changes since. What a checkpoint writes is found by comparing the
//! rows with those of the last *complete* one, by their fingerprints: a checkpoint that fails leaves nothing to make up
//! for. When the changes have become long compared with the base, the next checkpoint is a base again: that is how chains are
//! compacted. It is done by the thread that writes checkpoints.
//!
//! Fingerprints take 16 bytes of memory for each row of state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use super::belongs::split_prefix;
use super::edits::edits;
use super::fingerprint::{Fingerprint, fingerprints};
use super::format_manifest::RunRecord;
use super::format_run::{Extent, Section};
use crate::error::Result;

/// Checkpoints of a chain after its base, at most: recovery reads all of them.
const LINKS_MAX: usize = 32;

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

/// A table of state.
#[derive(Debug)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows, in order.
    pub batches: Vec<RecordBatch>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Chains {
    jobs: HashMap<String, Chain>,
}

/// The last complete checkpoint of one job.
#[derive(Debug, Default)]
struct Chain {
    /// The epoch of its base.
    base_epoch: u64,
    size: Size,
    runs: Vec<RunRecord>,
    /// By operator and shard.
    known: HashMap<(String, usize), BTreeMap<String, Known>>,
}

/// How long a chain is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the base.
    pub base_bytes: u64,
    /// Bytes of all changes.
    pub changes_bytes: u64,
    /// How many checkpoints follow the base.
    pub links: usize,
}

/// A table as it was written.
#[derive(Debug)]
struct Known {
    schema: SchemaRef,
    /// `None`: rows of a type without fingerprints.
    prints: Option<Vec<Fingerprint>>,
}

/// Whether the next checkpoint is a base.
pub fn starts_anew(size: Size) -> bool {
    size.links >= LINKS_MAX || size.changes_bytes > size.base_bytes / 2
}

/// Rows of a job that a checkpoint writes, and all that it has.
#[derive(Default)]
struct Rows {
    written: usize,
    all: usize,
}

/// A checkpoint that is being written.
#[derive(Debug)]
pub struct Link {
    epoch: u64,
    /// The sections of each shard.
    pub shards: BTreeMap<usize, Vec<Section>>,
    /// The new chain of each job; its size is not known yet.
    jobs: HashMap<String, Chain>,
}

impl Chains {
    /// What the checkpoint of an epoch writes, when the operators of all its jobs have these states.
    ///
    /// # Errors
    /// Where Arrow cannot take rows.
    pub fn link(&self, epoch: u64, jobs: impl Iterator<Item = String>, states: Vec<State>) -> Result<Link> {
        let mut emptied: BTreeSet<&str> = BTreeSet::new();
        for state in states.iter().filter(|state| state.tables.is_empty()) {
            let before = self.jobs.get(&state.job).and_then(|chain| chain.known(state));
            if before.is_some_and(|tables| !tables.is_empty()) {
                emptied.insert(&state.job);
            }
        }
        let begin = |uid: String| {
            let grows = self.jobs.get(&uid).filter(|old| !starts_anew(old.size) && !emptied.contains(uid.as_str()));
            let chain = match grows {
                None => Chain { base_epoch: epoch, ..Chain::default() },
                Some(old) => {
                    let size = Size { links: old.size.links + 1, ..old.size };
                    Chain { base_epoch: old.base_epoch, size, runs: old.runs.clone(), known: HashMap::new() }
                }
            };
            (uid, chain)
        };
        let mut link = Link { epoch, shards: BTreeMap::new(), jobs: jobs.map(begin).collect() };
        let mut told = Vec::with_capacity(states.len());
        let mut rows: HashMap<&str, Rows> = HashMap::new();
        for state in &states {
            let grows = link.jobs.get(&state.job).is_some_and(|chain| chain.base_epoch != epoch);
            let old = self.jobs.get(&state.job).filter(|_| grows).and_then(|chain| chain.known(state));
            let (sections, known) = sections(state, old)?;
            let rows = rows.entry(&state.job).or_default();
            rows.written += rows_of(sections.iter().flat_map(|section| &section.batches));
            rows.all += rows_of(state.tables.iter().flat_map(|table| &table.batches));
            told.push((sections, known, old));
        }
        // Where most is new, a base is hardly longer.
        for (uid, _) in rows.iter().filter(|(_, rows)| rows.written > rows.all / 2) {
            if let Some(chain) = link.jobs.get_mut(*uid) {
                *chain = Chain { base_epoch: epoch, ..Chain::default() };
            }
        }
        for (state, (mut sections, known, old)) in states.iter().zip(told) {
            let Some(chain) = link.jobs.get_mut(&state.job) else { continue };
            let same = |section: &Section| matches!(&section.extent, Extent::Same { of } if *of == section.table);
            if chain.base_epoch == epoch {
                sections = whole_sections(state);
            } else if old.is_some_and(|old| old.len() == sections.len()) && sections.iter().all(same) {
                sections.clear();
            }
            if !sections.is_empty() {
                link.shards.entry(state.shard).or_default().extend(sections);
            }
            chain.known.insert((state.operator.clone(), state.shard), known);
        }
        Ok(link)
    }

    /// The checkpoint is complete.
    pub fn add(&mut self, link: Link) {
        self.jobs.extend(link.jobs);
    }

    /// Forgets the chains of other jobs than these, whose runs are deleted.
    pub fn retain(&mut self, live: &BTreeSet<String>) {
        self.jobs.retain(|uid, _| live.contains(uid));
    }

    /// Forgets a chain that cannot be read: the next checkpoint is a base.
    pub fn forget(&mut self, uid: &str) {
        self.jobs.remove(uid);
    }
}

impl Chain {
    fn known(&self, state: &State) -> Option<&BTreeMap<String, Known>> {
        self.known.get(&(state.operator.clone(), state.shard))
    }
}

impl Link {
    /// Adds a run that is written: its sections are those of the shard, with these sizes.
    pub fn written(&mut self, run: &RunRecord, sizes: &[u64]) {
        let sections = self.shards.get(&run.shard).map_or(&[][..], Vec::as_slice);
        for (section, size) in sections.iter().zip(sizes) {
            let Some(chain) = self.jobs.get_mut(&section.job) else { continue };
            if chain.base_epoch == self.epoch {
                chain.size.base_bytes += size;
            } else {
                chain.size.changes_bytes += size;
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

/// What a run tells of an operator whose tables were known as `old`, and how they are known now.
fn sections(state: &State, old: Option<&BTreeMap<String, Known>>) -> Result<(Vec<Section>, BTreeMap<String, Known>)> {
    let all: Vec<_> = state.tables.iter().map(|table| fingerprints(&table.batches)).collect();
    let windows = state.tables.iter().zip(&all).find(|(table, _)| table.name == "windows");
    let windows = windows.and_then(|(_, prints)| prints.as_deref());
    let mut sections = Vec::with_capacity(all.len());
    for (table, prints) in state.tables.iter().zip(&all) {
        let before = old.and_then(|old| {
            let name = name_before(&table.name, windows, old)?;
            let known = old.get(&name).filter(|known| known.schema == table.schema)?;
            Some((name, known.prints.as_deref()?))
        });
        let (extent, batches) = match (before, prints) {
            (Some((of, before)), Some(prints)) if before == prints => (Extent::Same { of }, Vec::new()),
            (Some((of, before)), Some(prints)) => match edits(before, prints) {
                Some((edits, fresh)) => (Extent::Changes { of, edits }, take(&table.batches, fresh)?),
                None => (Extent::Whole, table.batches.clone()),
            },
            (None, _) | (_, None) => (Extent::Whole, table.batches.clone()),
        };
        sections.push(Section {
            job: state.job.clone(),
            operator: state.operator.clone(),
            table: table.name.clone(),
            extent,
            schema: Arc::clone(&table.schema),
            batches,
        });
    }
    let known = state.tables.iter().zip(all);
    let known = known.map(|(table, prints)| (table.name.clone(), Known { schema: Arc::clone(&table.schema), prints }));
    Ok((sections, known.collect()))
}

fn whole_sections(state: &State) -> Vec<Section> {
    let whole = |table: &Table| Section {
        job: state.job.clone(),
        operator: state.operator.clone(),
        table: table.name.clone(),
        extent: Extent::Whole,
        schema: Arc::clone(&table.schema),
        batches: table.batches.clone(),
    };
    state.tables.iter().map(whole).collect()
}

fn rows_of<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> usize {
    batches.map(RecordBatch::num_rows).sum()
}

/// What a table was called before: those of a window have its number in front, which is less after earlier windows have
/// closed.
fn name_before(table: &str, windows: Option<&[Fingerprint]>, old: &BTreeMap<String, Known>) -> Option<String> {
    let (Some((number, rest)), Some(windows)) = (split_prefix(table), windows) else { return Some(table.to_owned()) };
    let window = windows.get(number)?;
    let before = old.get("windows")?.prints.as_deref()?.iter().position(|before| before == window)?;
    Some(format!("{before}/{rest}"))
}

/// Rows by their numbers, counted through all batches.
fn take(batches: &[RecordBatch], rows: Vec<u32>) -> Result<Vec<RecordBatch>> {
    let mut taken = Vec::new();
    let (mut start, mut rows) = (0_u32, rows.into_iter().peekable());
    for batch in batches {
        let end = start.saturating_add(u32::try_from(batch.num_rows()).unwrap_or(u32::MAX));
        let mut own = Vec::new();
        while let Some(row) = rows.next_if(|row| *row < end) {
            own.push(row - start);
        }
        start = end;
        if own.is_empty() {
            continue;
        }
        taken.push(match batch.num_columns() {
            0 => batch.slice(0, own.len()),
            _ => take_record_batch(batch, &UInt32Array::from(own))?,
        });
    }
    Ok(taken)
}
