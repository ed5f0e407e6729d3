//! Every aggregate against DataFusion: random columns with nulls, filters and DISTINCT, in several batches; merged, taken
//! back, and restored from a snapshot on the way.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use arrow::array::{AsArray, Float64Array, Int64Array};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Field, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::ordered_tests::snapshot;
use super::*;
use crate::plan::{PairStatistic, Percentile, SortKey};

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
            .map(|_| (!self.next().is_multiple_of(5)).then(|| (self.next() % spread) as i64 - (spread / 2) as i64))
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
fn types() -> Vec<(DataType, String)> {
    const ORDERED: &str = "count count_pairs min max array_agg array_agg_desc first_value last_value";
    const NUMBERS: &str = "sum avg var_samp var_pop stddev_samp stddev_pop median percentile_cont covar_pop covar_samp corr \
        regr_slope regr_intercept regr_count regr_r2 regr_avgx regr_avgy regr_sxx regr_syy regr_sxy";
    const INTEGERS: &str = "bit_and bit_or bit_xor";
    let millis = DataType::Timestamp(TimeUnit::Millisecond, None);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let ordered = [DataType::Binary, DataType::Date32, millis, micros].map(|of| (of, ORDERED.to_owned()));
    let texts = [DataType::Utf8, DataType::Utf8View].map(|of| (of, format!("{ORDERED} string_agg")));
    let integers = [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64];
    let integers = integers.map(|of| (of, format!("{ORDERED} {NUMBERS} {INTEGERS}")));
    let floats = [DataType::Float32, DataType::Float64].map(|of| (of, format!("{ORDERED} {NUMBERS}")));
    let decimals = [DataType::Decimal128(10, 2), DataType::Decimal128(38, 10)];
    let decimals = decimals.map(|of| (of, format!("{ORDERED} {}", NUMBERS.replace("percentile_cont ", ""))));
    let flags = (DataType::Boolean, format!("{ORDERED} bool_and bool_or"));
    [flags].into_iter().chain(ordered).chain(texts).chain(integers).chain(floats).chain(decimals).collect()
}

fn function(name: &str) -> AggregateFunction {
    use PairStatistic::*;
    let pairs = AggregateFunction::OfPairs;
    match name {
        "count" | "count_pairs" => AggregateFunction::Count,
        "sum" => AggregateFunction::Sum,
        "avg" => AggregateFunction::Avg,
        "min" => AggregateFunction::Min,
        "max" => AggregateFunction::Max,
        "var_samp" => AggregateFunction::VarSamp,
        "var_pop" => AggregateFunction::VarPop,
        "stddev_samp" => AggregateFunction::StddevSamp,
        "stddev_pop" => AggregateFunction::StddevPop,
        "bool_and" => AggregateFunction::BoolAnd,
        "bool_or" => AggregateFunction::BoolOr,
        "bit_and" => AggregateFunction::BitAnd,
        "bit_or" => AggregateFunction::BitOr,
        "bit_xor" => AggregateFunction::BitXor,
        "first_value" => AggregateFunction::FirstValue,
        "last_value" => AggregateFunction::LastValue,
        "array_agg" | "array_agg_desc" => AggregateFunction::ArrayAgg,
        "string_agg" => AggregateFunction::StringAgg { separator: "-".into() },
        "median" => AggregateFunction::Median,
        "percentile_cont" => AggregateFunction::PercentileCont(Percentile { fraction: 0.3, descending: false }),
        "covar_pop" => pairs(CovarPop),
        "covar_samp" => pairs(CovarSamp),
        "corr" => pairs(Corr),
        "regr_slope" => pairs(RegrSlope),
        "regr_intercept" => pairs(RegrIntercept),
        "regr_count" => pairs(RegrCount),
        "regr_r2" => pairs(RegrR2),
        "regr_avgx" => pairs(RegrAvgX),
        "regr_avgy" => pairs(RegrAvgY),
        "regr_sxx" => pairs(RegrSxx),
        "regr_syy" => pairs(RegrSyy),
        "regr_sxy" => pairs(RegrSxy),
        other => panic!("aggregate {other}"),
    }
}

/// The call as SQL over `v` and `w`, its arguments and the columns of its order, descending or not.
fn sql(name: &str, distinct: bool, filter: &str) -> (String, Vec<usize>, Vec<(usize, bool)>) {
    let v = if distinct { "DISTINCT v" } else { "v" };
    match name {
        "count_pairs" => (format!("count(v, w) {filter}"), vec![1, 3], Vec::new()),
        "array_agg" => (format!("array_agg({v} ORDER BY v) {filter}"), vec![1], vec![(1, false)]),
        "array_agg_desc" => {
            (format!("array_agg(v ORDER BY w DESC NULLS LAST, v) {filter}"), vec![1], vec![(3, true), (1, false)])
        }
        "string_agg" => (format!("string_agg({v}, '-' ORDER BY v) {filter}"), vec![1], vec![(1, false)]),
        "first_value" | "last_value" => {
            (format!("{name}(v ORDER BY w, v) {filter} IGNORE NULLS"), vec![1], vec![(3, false), (1, false)])
        }
        "percentile_cont" => (format!("percentile_cont({v}, 0.3) {filter}"), vec![1], Vec::new()),
        pair if pair.starts_with("regr") || pair.starts_with("co") && pair != "count" => {
            (format!("{name}(v, w) {filter}"), vec![1, 3], Vec::new())
        }
        _ => (format!("{name}({v}) {filter}"), vec![1], Vec::new()),
    }
}

/// A mean of decimals is rounded; DataFusion's is cut. Of more digits than the result has it may be.
fn rounded(sql: &str, data_type: &DataType) -> String {
    let DataType::Decimal128(precision, scale) = data_type else { return sql.to_owned() };
    let finer = sql.replacen("v)", &format!("CAST(v AS DECIMAL(38, {})))", scale + 6), 1);
    let (precision, scale) = ((precision + 4).min(38), scale + 4);
    if sql.starts_with("avg") { format!("CAST({finer} AS DECIMAL({precision}, {scale}))") } else { sql.to_owned() }
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

/// Cells as text, floats to six digits, since sums come in another order.
fn text(columns: &[ArrayRef]) -> Vec<Vec<String>> {
    let cell = |column: &ArrayRef, row: usize| match column.data_type() {
        DataType::Float64 if column.is_valid(row) => {
            let value = column.as_primitive::<arrow::datatypes::Float64Type>().value(row);
            // A little more, so that what is between two roundings is not rounded either way.
            format!("{:.6}", value * (1.0 + 1e-11) + 0.0)
        }
        _ => array_value_to_string(column, row).unwrap(),
    };
    columns.iter().map(|column| (0..column.len()).map(|row| cell(column, row)).collect()).collect()
}

/// A batch `k`, `v`, `f` (the filter), `w`; a key is its slot.
fn batch(random: &mut Random, spread: u64, data_type: &DataType) -> (RecordBatch, Vec<u32>) {
    let slots: Vec<u32> = (0..ROWS).map(|_| u32::try_from(random.next() % GROUPS).unwrap()).collect();
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(slots.iter().map(|&slot| i64::from(slot))));
    let flags = random.column(4, &DataType::Boolean);
    let columns = [keys, random.column(spread, data_type), flags, random.column(20, &DataType::Int64)];
    let field = |(name, column): (&str, &ArrayRef)| Field::new(name, column.data_type().clone(), true);
    let fields: Vec<Field> = ["k", "v", "f", "w"].into_iter().zip(&columns).map(field).collect();
    (RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.to_vec()).unwrap(), slots)
}

/// The calls of one type as SQL and as specs, whose output types come from DataFusion.
fn calls(functions: &str) -> Vec<(String, AggregateCall)> {
    // DataFusion has no DISTINCT for the others, or takes no notice of it (`bit_xor`).
    const WITH_DISTINCT: &str = "count sum avg min max median percentile_cont string_agg array_agg";
    let mut calls = Vec::new();
    for name in functions.split_whitespace() {
        for (distinct, filter) in [(false, false), (false, true), (true, false), (true, true)] {
            if distinct && !WITH_DISTINCT.split(' ').any(|of| of == name) {
                continue;
            }
            let (sql, args, order) = sql(name, distinct, if filter { "FILTER (WHERE f)" } else { "" });
            let key = |(column, descending)| SortKey { column, descending, nulls_first: false };
            let call = AggregateCall {
                function: function(name),
                args,
                order_by: order.into_iter().map(key).collect(),
                distinct,
                filter: filter.then_some(2),
                output: Arc::new(Field::new("c", DataType::Null, true)),
            };
            calls.push((sql, call));
        }
    }
    calls
}

/// The aggregates of one type over random batches, and what DataFusion says of them.
struct Check {
    data_type: DataType,
    seed: u64,
    parts: Vec<(RecordBatch, Vec<u32>)>,
    noise: (RecordBatch, Vec<u32>),
    calls: Vec<AggregateCall>,
    texts: Vec<String>,
    expected: Vec<Vec<String>>,
}

const SLOTS: [u32; GROUPS as usize] = [0, 1, 2, 3, 4];

impl Check {
    fn new(data_type: &DataType, functions: &str, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let spread = if seed.is_multiple_of(2) { 8 } else { 100 };
        let parts: Vec<_> = (0..4).map(|_| batch(&mut random, spread, data_type)).collect();
        let noise = batch(&mut random, spread, data_type);
        let batches: Vec<RecordBatch> = parts.iter().map(|(batch, _)| batch.clone()).collect();
        let all = concat_batches(&batches[0].schema(), &batches).unwrap();
        let (texts, mut calls): (Vec<String>, Vec<AggregateCall>) = calls(functions).into_iter().unzip();
        let named = texts.iter().map(|sql| rounded(sql, data_type)).enumerate();
        let named: Vec<String> = named.map(|(at, sql)| format!("{sql} AS c{at}")).collect();
        let (expected, types) = oracle(&all, &named);
        for (call, field) in calls.iter_mut().zip(types.fields()) {
            call.output = Arc::clone(field);
        }
        Self { data_type: data_type.clone(), seed, parts, noise, calls, texts, expected }
    }

    fn set(&self, retracts: bool) -> AggregateSet {
        let mut set = AggregateSet::new(&self.calls, &self.parts[0].0.schema(), retracts).unwrap();
        set.resize(2 * SLOTS.len());
        set
    }

    fn same(&self, what: &str, set: &AggregateSet) {
        let columns = set.read(&SLOTS).unwrap();
        for (at, (column, expected)) in text(&columns).iter().zip(&self.expected).enumerate() {
            let Self { data_type, seed, .. } = self;
            let sql = &self.texts[at];
            assert_eq!(columns[at].data_type(), self.calls[at].output.data_type(), "type of {sql} of {data_type}");
            assert_eq!(column, expected, "{what}: {sql} of {data_type}, seed {seed}");
        }
    }

    fn insertions(&self) {
        let (mut one, mut first, mut second) = (self.set(false), self.set(false), self.set(false));
        for (at, (batch, slots)) in self.parts.iter().enumerate() {
            one.update(batch, slots).unwrap();
            if at % 2 == 0 { first.update(batch, slots).unwrap() } else { second.update(batch, slots).unwrap() }
        }
        self.same("all at once", &one);

        let far = SLOTS.map(|slot| slot + GROUPS as u32);
        let mut merged = self.set(false);
        merged.merge(&first, &SLOTS, &SLOTS).unwrap();
        merged.merge(&second, &SLOTS, &far).unwrap();
        for slot in SLOTS {
            merged.merge_within(slot + GROUPS as u32, slot).unwrap();
        }
        self.same("merged", &merged);

        let mut restored = self.set(false);
        restored.restore("p/", &snapshot(&mut first, "p/", &SLOTS), &SLOTS).unwrap();
        for (batch, slots) in self.parts.iter().skip(1).step_by(2) {
            restored.update(batch, slots).unwrap();
        }
        self.same("restored", &restored);
        restored.clear(&SLOTS);
        self.empty("cleared", &restored);
        for (batch, slots) in &self.parts {
            restored.update(batch, slots).unwrap();
        }
        self.same("used again", &restored);
    }

    fn empty(&self, what: &str, set: &AggregateSet) {
        let none = self.set(false).read(&SLOTS).unwrap();
        assert_eq!(text(&set.read(&SLOTS).unwrap()), text(&none), "{what}: {}", self.data_type);
    }

    /// Rows that do not stay come first or last, and their retractions after or before them.
    fn retractions(&self, early: bool) {
        let (batch, slots) = &self.noise;
        let noise = |set: &mut AggregateSet, retract: bool| {
            let signs = if retract { BooleanBuffer::new_set(ROWS) } else { BooleanBuffer::new_unset(ROWS) };
            set.update_signed(&Delta::signed(batch.clone(), signs), slots).unwrap();
        };
        let mut set = self.set(true);
        noise(&mut set, early);
        for (batch, slots) in &self.parts[..2] {
            set.update(batch, slots).unwrap();
        }
        if !early {
            let mut restored = self.set(true);
            restored.restore("", &snapshot(&mut set, "", &SLOTS), &SLOTS).unwrap();
            set = restored;
        }
        noise(&mut set, !early);
        // In one batch a row comes, goes and comes again.
        let (batch, slots) = &self.parts[2];
        let thrice = concat_batches(&batch.schema(), [batch, batch, batch]).unwrap();
        let signs = (0..3 * ROWS).map(|row| row / ROWS == 1).collect();
        set.update_signed(&Delta::signed(thrice, signs), &[slots.as_slice(), slots, slots].concat()).unwrap();
        let (batch, slots) = &self.parts[3];
        set.update(batch, slots).unwrap();
        self.same("retracted", &set);

        let mut merged = self.set(true);
        merged.merge(&set, &SLOTS, &SLOTS).unwrap();
        self.same("merged, retracted", &merged);
        for (batch, slots) in &self.parts {
            let delta = Delta::signed(batch.clone(), BooleanBuffer::new_set(ROWS));
            merged.update_signed(&delta, slots).unwrap();
        }
        self.empty("all retracted", &merged);
    }
}

#[test]
fn every_aggregate_of_every_type_equals_datafusion() {
    for (data_type, functions) in types() {
        for seed in 1..4 {
            let check = Check::new(&data_type, &functions, seed);
            check.insertions();
            check.retractions(false);
            check.retractions(true);
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
    restored.restore("", &snapshot(&mut both, "", &[0]), &[0]).unwrap();
    restored.update(&rows(&[Some("d")]), &[0]).unwrap();
    assert_eq!(text(&restored.read(&[0]).unwrap()), [["a"], ["d"]]);
}
