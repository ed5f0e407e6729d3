//! Lookup joins against a table that answers when it is told to.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use parking_lot::Mutex;

use super::LookupJoin;
use crate::error::{EngineError, Result};
use crate::message::{Delta, Epoch};
use crate::operators::{Context, Emitted, Operator, Outbox};
use crate::plan::{JoinKey, JoinKind, LookupJoinSpec};
use crate::ports::{Answer, Lookup, LookupCache};
use crate::time::{EventTime, ProcessingTime};

fn schema(names: [&str; 2]) -> SchemaRef {
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Int64, true)).to_vec()))
}

fn batch(schema: &SchemaRef, rows: &[(Option<i64>, i64)]) -> RecordBatch {
    let keys: ArrayRef = Arc::new(rows.iter().map(|(key, _)| *key).collect::<Int64Array>());
    let values: ArrayRef = Arc::new(rows.iter().map(|(_, value)| *value).collect::<Int64Array>());
    RecordBatch::try_new(Arc::clone(schema), vec![keys, values]).unwrap()
}

/// Keeps what it is asked for.
#[derive(Debug)]
struct Table {
    cache: Option<LookupCache>,
    asked: Mutex<Vec<(Vec<i64>, Answer)>>,
}

impl Lookup for Table {
    fn schema(&self) -> SchemaRef {
        schema(["key", "value"])
    }

    fn look_up(&self, keys: RecordBatch, answer: Answer) {
        let keys = keys.column(0).as_primitive::<Int64Type>().values().to_vec();
        self.asked.lock().push((keys, answer));
    }

    fn cache(&self) -> Option<LookupCache> {
        self.cache
    }

    fn describe(&self) -> String {
        "a table".to_owned()
    }
}

struct Test {
    table: Arc<Table>,
    operator: LookupJoin,
    out: Outbox,
}

impl Test {
    fn new(kind: JoinKind, cache: Option<LookupCache>) -> Self {
        let table = Arc::new(Table { cache, asked: Mutex::default() });
        let left = schema(["k", "v"]);
        let fields = [left.fields().to_vec(), table.schema().fields().to_vec()].concat();
        let spec = LookupJoinSpec {
            kind,
            table: "t".to_owned(),
            lookup: Arc::clone(&table) as Arc<dyn Lookup>,
            keys: vec![JoinKey { left: 0, right: 0, null_equal: false }],
            residual: None,
        };
        let operator = LookupJoin::new(&spec, &left, Arc::new(Schema::new(fields))).unwrap();
        Self { table, operator, out: Outbox::default() }
    }

    fn call(&mut self, run: impl FnOnce(&mut LookupJoin, &mut Context<'_>) -> Result<()>) -> Result<String> {
        run(&mut self.operator, &mut Context::new(ProcessingTime(0), &mut self.out))?;
        let said = std::mem::take(&mut self.out.items).into_iter().map(|item| match item {
            Emitted::Watermark(watermark) => format!("watermark {}", watermark.0),
            Emitted::Delta(delta) => {
                let column = |index: usize| delta.batch.column(index).as_primitive::<Int64Type>();
                let cell = |index: usize, row: usize| {
                    column(index).iter().nth(row).flatten().map_or("_".to_owned(), |value| value.to_string())
                };
                let rows = (0..delta.rows()).map(|row| format!("{}:{}", cell(1, row), cell(3, row)));
                rows.collect::<Vec<_>>().join(" ")
            }
        });
        Ok(said.collect::<Vec<_>>().join(", "))
    }

    fn rows(&mut self, rows: &[(Option<i64>, i64)]) -> String {
        let delta = Delta::append(batch(&schema(["k", "v"]), rows));
        self.call(|operator, context| operator.on_delta(0, delta, context)).unwrap()
    }

    fn look(&mut self) -> Result<String> {
        self.call(|operator, context| operator.on_timer(ProcessingTime(0), context))
    }

    /// The keys that are asked for.
    fn asked(&self) -> Vec<Vec<i64>> {
        self.table.asked.lock().iter().map(|(keys, _)| keys.clone()).collect()
    }

    fn answer(&self, question: usize, rows: Result<&[(Option<i64>, i64)]>) {
        let (_, answer) = self.table.asked.lock().remove(question);
        answer.give(rows.map(|rows| batch(&self.table.schema(), rows)));
    }
}

#[test]
fn rows_come_out_in_order_and_barriers_wait_for_them() {
    let mut test = Test::new(JoinKind::Left, None);
    assert_eq!(test.rows(&[(Some(1), 10), (None, 11), (Some(2), 12), (Some(1), 13)]), "");
    assert_eq!(test.rows(&[(Some(3), 14)]), "");
    assert_eq!(test.asked(), [vec![1, 2], vec![3]]);
    assert_eq!(test.call(|operator, context| operator.on_watermark(EventTime(5), context)).unwrap(), "");
    assert_eq!(test.call(|operator, context| operator.on_barrier(Epoch(1), context)).unwrap(), "");
    assert_eq!(test.out.hold.take(), Some(true));
    test.answer(1, Ok(&[(Some(3), 300)]));
    assert_eq!(test.look().unwrap(), "");
    assert!(test.out.timer.is_some() && test.out.hold.is_none());
    // The rows of a key may come in any order.
    test.answer(0, Ok(&[(Some(1), 101), (Some(1), 100)]));
    assert_eq!(test.look().unwrap(), "10:100 10:101 13:100 13:101, 11:_ 12:_, 14:300, watermark 5");
    assert_eq!(test.out.hold.take(), Some(false));
}

#[test]
fn an_inner_join_gives_pairs_only_and_asks_for_nothing_without_keys() {
    let mut test = Test::new(JoinKind::Inner, None);
    assert_eq!(test.rows(&[(None, 1)]), "");
    assert_eq!(test.asked(), Vec::<Vec<i64>>::new());
    test.rows(&[(Some(1), 2), (Some(2), 3)]);
    test.answer(0, Ok(&[(Some(2), 20)]));
    assert_eq!(test.look().unwrap(), "3:20");
    assert_eq!(test.call(|operator, context| operator.on_barrier(Epoch(1), context)).unwrap(), "");
    assert_eq!(test.out.hold, None);
}

#[test]
fn a_cache_answers_for_keys_that_were_asked_for() {
    let mut test = Test::new(JoinKind::Left, Some(LookupCache { rows_max: None, expire_us: None }));
    test.rows(&[(Some(1), 1), (Some(2), 2)]);
    test.answer(0, Ok(&[(Some(1), 10)]));
    assert_eq!(test.look().unwrap(), "1:10, 2:_");
    assert_eq!(test.rows(&[(Some(2), 3), (Some(1), 4)]), "4:10, 3:_");
    test.rows(&[(Some(1), 5), (Some(3), 6)]);
    assert_eq!(test.asked(), [vec![3]]);
    test.answer(0, Ok(&[(Some(3), 30)]));
    assert_eq!(test.look().unwrap(), "5:10 6:30");
}

#[test]
fn a_lookup_that_fails_fails_the_job() {
    let mut test = Test::new(JoinKind::Left, None);
    test.rows(&[(Some(1), 1)]);
    test.answer(0, Err(EngineError::io("could not ask", "gone")));
    assert!(test.look().unwrap_err().to_string().contains("gone"));
}
