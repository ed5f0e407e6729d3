//! Every aggregate against DataFusion: random columns with nulls, filters and DISTINCT, in several batches; merged, taken
//! back, and restored from a snapshot on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use arrow::array::{AsArray, Float64Array, Int64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::*;

const GROUPS: u64 = 5;
const ROWS: usize = 60;

/// Numbers that look random (xorshift), the same for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn column(&mut self, spread: u64, data_type: &DataType) -> ArrayRef {
        let values: Int64Array = (0..ROWS)
            .map(|_| (self.next() % 5 > 0).then(|| (self.next() % spread) as i64 - (spread / 2) as i64))
            .collect();
        if *data_type == DataType::Boolean {
            return Arc::new(values.iter().map(|value| value.map(|value| value > 0)).collect::<BooleanArray>());
        }
        if data_type.is_floating() {
            let quarters: Float64Array = values.iter().map(|value| value.map(|value| value as f64 / 4.0)).collect();
            return cast(&quarters, data_type).unwrap();
        }
        let values: ArrayRef = Arc::new(values);
        // Dates come from 32 bits, binary from text, decimals with a fraction from floats.
        match data_type {
            DataType::Date32 => cast(&cast(&values, &DataType::Int32).unwrap(), data_type).unwrap(),
            DataType::Binary => cast(&cast(&values, &DataType::Utf8).unwrap(), data_type).unwrap(),
            _ => cast(&values, data_type).unwrap(),
        }
    }
}

/// The argument types, with the aggregates that take them.
fn types() -> Vec<(DataType, &'static str)> {
    const NUMBERS: &str = "count sum avg min max var_samp var_pop stddev_samp stddev_pop";
    const ORDERED: &str = "count min max";
    let ordered = [
        DataType::Utf8,
        DataType::Utf8View,
        DataType::Binary,
        DataType::Boolean,
        DataType::Date32,
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    ];
    let numbers = [
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(10, 2),
        DataType::Decimal128(38, 10),
    ];
    let ordered = ordered.into_iter().map(|of| (of, ORDERED));
    ordered.chain(numbers.into_iter().map(|of| (of, NUMBERS))).collect()
}

fn function(name: &str) -> AggregateFunction {
    match name {
        "count" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "var_samp" => AggregateFunction::VarSamp,
        "var_pop" => AggregateFunction::VarPop,
        "stddev_samp" => AggregateFunction::StddevSamp,
        "stddev_pop" => AggregateFunction::StddevPop,
        other => panic!("aggregate {other}"),
    }
}

/// DataFusion's result by key, and its types.
fn oracle(batch: &RecordBatch, calls: &[String]) -> (Vec<Vec<String>>, SchemaRef) {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    context.register_batch("t", batch.clone()).unwrap();
    let sql = format!("SELECT {} FROM t GROUP BY k ORDER BY k", calls.join(", "));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (schema, batches) = runtime.block_on(async {
        let frame = context.sql(&sql).await.unwrap();
        let schema = Arc::new(frame.schema().as_arrow().clone());
        (schema, frame.collect().await.unwrap())
    });
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    (text(all.columns()), schema)
}

/// Cells as text, floats to nine digits, since sums come in another order.
fn text(columns: &[ArrayRef]) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        DataType::Float64 if column.is_valid(row) => {
            let value = column.as_primitive::<arrow::datatypes::Float64Type>().value(row);
            format!("{:.9}", value + 0.0)
        }
        _ => array_value_to_string(column, row).unwrap(),
    };
    columns.iter().map(|column| (0..column.len()).map(|row| cell(column, row)).collect()).collect()
}

/// A batch `k`, `v`, `f` (the filter); a key is its slot.
fn batch(random: &mut Random, spread: u64, data_type: &DataType) -> (RecordBatch, Vec<u32>) {
    let slots: Vec<u32> = (0..ROWS).map(|_| u32::try_from(random.next() % GROUPS).unwrap()).collect();
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| i64::from(slot))));
    let columns = [keys, random.column(spread, data_type), random.column(4, &DataType::Boolean)];
    let field = |(name, column): (&str, &ArrayRef)| Field::new(name, column.data_type().clone(), true);
    let fields: Vec<Field> = ["k", "v", "f"].into_iter().zip(&columns).map(field).collect();
    (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap(), slots)
}

/// The calls of one type as SQL and as specs; their output types come from DataFusion.
fn texts(functions: &str) -> Vec<(String, AggregateFunction, bool, bool)> {
    let mut calls = Vec::new();
    for name in functions.split(' ') {
        for (distinct, filter) in [(false, false), (false, true), (true, false), (true, true)] {
            // DataFusion has no DISTINCT for the deviations.
            if distinct && name.contains('_') {
                continue;
            }
            let arg = if distinct { "DISTINCT v" } else { "v" };
            let rows = if filter { "FILTER (WHERE f)" } else { "" };
            calls.push((format!("{name}({arg}) {rows}"), function(name), distinct, filter));
        }
    }
    calls
}

fn check(data_type: &DataType, functions: &str, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let spread = if seed.is_multiple_of(2) { 8 } else { 100 };
    let parts: Vec<_> = (0..4).map(|_| batch(&mut random, spread, data_type)).collect();
    let batches: Vec<RecordBatch> = parts.iter().map(|(batch, _)| batch.clone()).collect();
    let all = concat_batches(&batches[0].schema(), &batches).unwrap();
    let texts = texts(functions);
    let named: Vec<String> = texts.iter().enumerate().map(|(at, (sql, ..))| format!("{sql} AS c{at}")).collect();
    let (expected, types) = oracle(&all, &named);
    let call =
        |(at, (_, function, distinct, filter)): (usize, &(String, AggregateFunction, bool, bool))| AggregateCall {
            function: function.clone(),
            args: vec![1],
            order_by: Vec::new(),
            distinct: *distinct,
            filter: filter.then_some(2),
            output: Arc::new(types.field(at).clone()),
        };
    let calls: Vec<AggregateCall> = texts.iter().enumerate().map(call).collect();
    let schema = all.schema();
    let slots: Vec<u32> = (0..GROUPS as u32).collect();
    let new = || {
        let mut set = AggregateSet::new(&calls, &schema, false).unwrap();
        set.resize(2 * slots.len());
        set
    };
    let differ = |what: &str, set: &AggregateSet| {
        let columns = set.read(&slots).unwrap();
        for ((column, expected), (at, (sql, ..))) in text(&columns).iter().zip(&expected).zip(texts.iter().enumerate())
        {
            assert_eq!(columns[at].data_type(), types.field(at).data_type(), "type of {sql} of {data_type}");
            assert_eq!(column, expected, "{what}: {sql} of {data_type}, seed {seed}");
        }
    };
    let (mut one, mut first, mut second) = (new(), new(), new());
    for (at, (batch, slots)) in parts.iter().enumerate() {
        one.update(batch, slots).unwrap();
        if at % 2 == 0 { first.update(batch, slots).unwrap() } else { second.update(batch, slots).unwrap() }
    }
    differ("all at once", &one);

    let far: Vec<u32> = slots.iter().map(|slot| slot + GROUPS as u32).collect();
    let mut merged = new();
    merged.merge(&first, &slots, &slots).unwrap();
    merged.merge(&second, &slots, &far).unwrap();
    for &slot in &slots {
        merged.merge_within(slot + GROUPS as u32, slot).unwrap();
    }
    differ("merged", &merged);

    let mut restored = new();
    restored.restore("p/", &first.snapshot("p/", &slots).unwrap(), &slots).unwrap();
    for (batch, slots) in parts.iter().skip(1).step_by(2) {
        restored.update(batch, slots).unwrap();
    }
    differ("restored", &restored);

    restored.clear(&slots);
    assert_eq!(text(&restored.read(&slots).unwrap()), text(&new().read(&slots).unwrap()), "cleared {data_type}");
    for (batch, slots) in &parts {
        restored.update(batch, slots).unwrap();
    }
    differ("used again", &restored);
}

#[test]
fn every_aggregate_of_every_type_equals_datafusion() {
    for (data_type, functions) in types() {
        for seed in 1..5 {
            check(&data_type, functions, seed);
        }
    }
}

#[test]
fn what_was_merged_can_be_taken_back() {
    let mut random = Random(11);
    let (rows, slots) = batch(&mut random, 50, &DataType::Int64);
    let (other, other_slots) = batch(&mut random, 50, &DataType::Int64);
    let call = |function, filter| AggregateCall {
        function,
        args: vec![1],
        order_by: Vec::new(),
        distinct: false,
        filter,
        output: Arc::new(Field::new("c", DataType::Int64, true)),
    };
    let calls = [call(AggregateFunction::Count, None), call(AggregateFunction::Sum, Some(2))];
    let filled = |rows: &RecordBatch, slots: &[u32]| {
        let mut set = AggregateSet::new(&calls, &rows.schema(), false).unwrap();
        set.resize(GROUPS as usize);
        set.update(rows, slots).unwrap();
        set
    };
    let all: Vec<u32> = (0..GROUPS as u32).collect();
    let (mut set, other) = (filled(&rows, &slots), filled(&other, &other_slots));
    assert!(set.is_invertible());
    let before = set.read(&all).unwrap();
    set.merge(&other, &all, &all).unwrap();
    assert_ne!(set.read(&all).unwrap(), before);
    set.unmerge(&other, &all, &all).unwrap();
    assert_eq!(set.read(&all).unwrap(), before);
}

#[test]
fn first_and_last_go_by_arrival_across_sets() {
    let rows = |values: &[Option<&str>]| {
        let column: ArrayRef = Arc::new(arrow::array::StringArray::from(values.to_vec()));
        RecordBatch::try_from_iter([("v", column)]).unwrap()
    };
    let call = |function| AggregateCall {
        function,
        args: vec![0],
        order_by: Vec::new(),
        distinct: false,
        filter: None,
        output: Arc::new(Field::new("c", DataType::Utf8, true)),
    };
    let calls = [call(AggregateFunction::FirstValue), call(AggregateFunction::LastValue)];
    let new = || {
        let schema = Schema::new(vec![Field::new("v", DataType::Utf8, true)]);
        let mut set = AggregateSet::new(&calls, &schema, false).unwrap();
        set.resize(1);
        set
    };
    let (mut early, mut late, mut both) = (new(), new(), new());
    // The early slice got its row only after two thousand others.
    early.update_arrived(&rows(&[Some("a")]), None, &[0], Some(Arrival { first: 2_000, rows: None })).unwrap();
    let places = [3, 7, 9];
    let arrival = Arrival { first: 3_000, rows: Some(&places) };
    late.update_arrived(&rows(&[None, Some("b"), Some("c")]), None, &[0, 0, 0], Some(arrival)).unwrap();
    both.merge(&late, &[0], &[0]).unwrap();
    both.merge(&early, &[0], &[0]).unwrap();
    assert_eq!(text(&both.read(&[0]).unwrap()), [["a"], ["c"]]);
    let mut restored = new();
    restored.restore("", &both.snapshot("", &[0]).unwrap(), &[0]).unwrap();
    restored.update(&rows(&[Some("d")]), &[0]).unwrap();
    assert_eq!(text(&restored.read(&[0]).unwrap()), [["a"], ["d"]]);
}
