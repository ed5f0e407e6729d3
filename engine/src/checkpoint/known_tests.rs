//! Tests of what is written of tables in pieces: whatever became of the pieces and whichever checkpoints failed, the rows
//! come back; and pieces that are known are not written again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::archive::Archive;
use crate::checkpoint::chain::State;
use crate::checkpoint::format_manifest::{JobRecord, Manifest};
use crate::message::{Delta, Epoch};
use crate::ports::MemoryStateStore;
use crate::view::ViewStore;

/// A view of keys with numbers, and its checkpoints.
struct Viewed {
    archive: Archive,
    view: ViewStore,
    rows: Vec<(i64, i64)>,
    epoch: u64,
}

fn batch(rows: &[(i64, i64)]) -> RecordBatch {
    let column = |of: fn(&(i64, i64)) -> i64| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
    RecordBatch::try_from_iter([("k", column(|row| row.0)), ("v", column(|row| row.1))]).unwrap()
}

impl Viewed {
    fn new() -> Self {
        let archive = Archive::open(Arc::new(MemoryStateStore::default()), None).unwrap();
        Self { archive, view: ViewStore::new(batch(&[]).schema(), None), rows: Vec::new(), epoch: 0 }
    }

    fn insert(&mut self, rows: &[(i64, i64)]) {
        self.rows.extend(rows);
        self.view.apply(&Delta::append(batch(rows))).unwrap();
    }

    fn retract(&mut self, rows: &[(i64, i64)]) {
        self.rows.retain(|row| !rows.contains(row));
        self.view.apply(&Delta::signed(batch(rows), BooleanBuffer::new_set(rows.len()))).unwrap();
    }

    /// Writes a checkpoint of these tables; gives its bytes.
    fn save(&mut self, rows: Rows) -> Result<u64> {
        self.epoch += 1;
        let mut manifest = Manifest::new(1, self.epoch, 0, 1);
        let (uid, name, plan) = ("job".to_owned(), String::new(), String::new());
        manifest.jobs.push(JobRecord { uid, name, plan, inserted: 0, base_epoch: 0, nodes: Vec::new() });
        let table = Table { name: "rows".into(), schema: batch(&[]).schema(), rows };
        let state = State { job: "job".into(), operator: "o".into(), shard: 0, tables: vec![table] };
        self.archive.save(manifest, vec![state])
    }

    fn checkpoint(&mut self) -> u64 {
        let pieces = Rows::Pieces(self.view.version().unwrap().chunks.clone());
        self.save(pieces).unwrap()
    }

    /// The rows of the last checkpoint, sorted.
    fn saved(&self) -> Vec<(i64, i64)> {
        let job = self.archive.newest("job").unwrap();
        let rows = &job.states[&("o".to_owned(), 0)].tables[0].1;
        let values = |column: usize| rows.column(column).as_primitive::<Int64Type>().values().to_vec();
        let mut rows: Vec<(i64, i64)> = values(0).into_iter().zip(values(1)).collect();
        rows.sort_unstable();
        rows
    }

    fn check(&self) {
        let mut rows = self.rows.clone();
        rows.sort_unstable();
        assert_eq!(self.saved(), rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_rows_come_back(steps in prop::collection::vec((0..8_u8, 0..400_usize), 1..60)) {
        let mut viewed = Viewed::new();
        let mut next = 0;
        for (kind, rows) in steps {
            match kind {
                0..=2 => {
                    let fresh: Vec<(i64, i64)> = (next..).take(rows).map(|key| (key, key * 3)).collect();
                    next += i64::try_from(rows).unwrap();
                    viewed.insert(&fresh);
                }
                3 | 4 => {
                    let gone: Vec<_> = viewed.rows.iter().copied().skip(rows % 7).step_by(rows % 5 + 1).take(rows).collect();
                    viewed.retract(&gone);
                }
                // A version that no checkpoint has, or only one that has failed.
                5 => drop(viewed.view.version().unwrap()),
                _ => {
                    viewed.checkpoint();
                    viewed.check();
                }
            }
        }
        viewed.checkpoint();
        viewed.check();
    }
}

#[test]
fn what_a_checkpoint_has_is_not_written_again() {
    let mut viewed = Viewed::new();
    let rows: Vec<(i64, i64)> = (0..40_000).map(|key| (key, 1)).collect();
    rows.chunks(10_000).for_each(|rows| viewed.insert(rows));
    let whole = viewed.checkpoint();
    assert!(whole > 40_000 * 16);
    assert!(viewed.checkpoint() < 1_000);
    viewed.insert(&[(-1, 0), (-2, 0)]);
    viewed.retract(&[(5, 1), (20_000, 1), (39_999, 1)]);
    assert!(viewed.checkpoint() < 4_000);
    viewed.check();
    // Where all is new, it is one base, not a chain with a dead part.
    let gone = viewed.rows.clone();
    viewed.retract(&gone);
    viewed.insert(&rows);
    assert!(viewed.checkpoint() > 40_000 * 16);
    viewed.check();
}

#[test]
fn changes_of_another_checkpoint_are_refused_and_the_next_one_is_whole() {
    let mut viewed = Viewed::new();
    let tell = |since: Option<u64>, told: &[(i64, i64)], rows: usize| {
        let edits = vec![Edit { from: 0, rows: 1, fresh: 1 }];
        Rows::Changes(Changes { since: since.map(|epoch| (Epoch(epoch), edits)), told: batch(told), rows })
    };
    let base = |viewed: &Viewed| viewed.archive.base_of_next("job");
    viewed.save(tell(None, &[(1, 1), (2, 2)], 2)).unwrap();
    assert_eq!(base(&viewed), Some(Epoch(1)));
    viewed.save(tell(Some(1), &[(3, 3)], 2)).unwrap();
    assert_eq!((viewed.saved(), base(&viewed)), (vec![(1, 1), (3, 3)], Some(Epoch(2))));
    assert!(viewed.save(tell(Some(1), &[(4, 4)], 2)).is_err());
    assert_eq!((viewed.saved(), base(&viewed)), (vec![(1, 1), (3, 3)], None));
    viewed.save(tell(None, &[(5, 5)], 1)).unwrap();
    assert_eq!((viewed.saved(), base(&viewed)), (vec![(5, 5)], Some(Epoch(4))));
}
