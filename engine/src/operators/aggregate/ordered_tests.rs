//! Tests of aggregates that DataFusion has not, or that depend on the order of arrival.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use arrow::array::{Float64Array, Int64Array, StringArray};
use arrow::datatypes::Field;
use arrow::util::display::array_value_to_string;

use super::*;
use crate::checkpoint::table::Table;
use crate::message::Epoch;
use crate::operators::OperatorState;
use crate::plan::Percentile;

fn call(function: AggregateFunction, output: DataType) -> AggregateCall {
    let output = Arc::new(Field::new("c", output, true));
    AggregateCall { function, args: vec![0], order_by: Vec::new(), distinct: false, filter: None, output }
}

/// The state of slots `0 ..`, which are the places of their rows.
pub(super) fn snapshot(set: &mut AggregateSet, prefix: &str, slots: &[u32]) -> OperatorState {
    let mut tables = vec![Table::whole(&format!("{prefix}calls"), set.calls_table(slots).unwrap())];
    tables.extend(set.capture_distinct(prefix, Epoch(1), None).unwrap());
    Table::state(tables).unwrap()
}

/// A set of one slot over one column.
fn set(calls: &[AggregateCall], column: &ArrayRef, retracts: bool) -> AggregateSet {
    let schema = Schema::new(vec![Field::new("v", column.data_type().clone(), true)]);
    let mut set = AggregateSet::new(calls, &schema, retracts).unwrap();
    set.resize(1);
    set
}

fn update(set: &mut AggregateSet, column: &ArrayRef, retract: bool) {
    let batch = RecordBatch::try_from_iter([("v", Arc::clone(column))]).unwrap();
    let rows = batch.num_rows();
    let signs = if retract { BooleanBuffer::new_set(rows) } else { BooleanBuffer::new_unset(rows) };
    set.update_signed(&Delta::signed(batch, signs), &vec![0; rows]).unwrap();
}

fn read(set: &AggregateSet) -> Vec<String> {
    let text = |column: &ArrayRef| array_value_to_string(column, 0).unwrap();
    set.read(&[0]).unwrap().iter().map(text).collect()
}

fn numbers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn percentiles_from_both_ends() {
    let at = |fraction, descending| Percentile { fraction, descending };
    let calls: Vec<AggregateCall> =
        [(0.0, false), (0.25, false), (0.5, false), (0.51, false), (1.0, false), (0.25, true)]
            .into_iter()
            .map(|(fraction, descending)| {
                call(AggregateFunction::PercentileDisc(at(fraction, descending)), DataType::Int64)
            })
            .chain([
                call(AggregateFunction::PercentileCont(at(0.25, false)), DataType::Float64),
                call(AggregateFunction::PercentileCont(at(0.25, true)), DataType::Float64),
                call(AggregateFunction::Median, DataType::Int64),
            ])
            .collect();
    let column = numbers(&[Some(40), Some(10), None, Some(30), Some(20)]);
    let mut set = set(&calls, &column, true);
    assert_eq!(read(&set), [""; 9]);
    update(&mut set, &column, false);
    assert_eq!(read(&set), ["10", "10", "20", "30", "40", "40", "17.5", "32.5", "25"]);
    update(&mut set, &numbers(&[Some(10), Some(40)]), true);
    assert_eq!(read(&set), ["20", "20", "20", "30", "30", "30", "22.5", "27.5", "25"]);
}

#[test]
fn floats_come_and_go() {
    let calls = [AggregateFunction::Sum, AggregateFunction::Avg, AggregateFunction::VarPop];
    let calls = calls.map(|function| call(function, DataType::Float64));
    let floats = |values: &[f64]| -> ArrayRef { Arc::new(Float64Array::from(values.to_vec())) };
    let mut set = set(&calls, &floats(&[]), true);
    update(&mut set, &floats(&[0.5, 1e100, f64::NAN, f64::INFINITY, 1.5]), false);
    assert_eq!(read(&set), ["NaN", "NaN", "NaN"]);
    update(&mut set, &floats(&[f64::NAN]), true);
    assert_eq!(read(&set), ["inf", "inf", "NaN"]);
    update(&mut set, &floats(&[f64::INFINITY, 1e100]), true);
    assert_eq!(read(&set)[..2], ["2.0", "1.0"]);
}

#[test]
fn rows_in_the_order_of_arrival() {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let calls = [
        call(AggregateFunction::FirstValue, DataType::Utf8),
        call(AggregateFunction::LastValue, DataType::Utf8),
        call(AggregateFunction::ArrayAgg, list),
        call(AggregateFunction::StringAgg { separator: ", ".into() }, DataType::Utf8),
    ];
    let column = texts(&[None, Some("b"), Some("a"), Some("b"), Some("c"), None]);
    for retracts in [false, true] {
        let mut set = set(&calls, &column, retracts);
        assert_eq!(read(&set), [""; 4]);
        update(&mut set, &column, false);
        assert_eq!(read(&set), ["b", "c", "[, b, a, b, c, ]", "b, a, b, c"]);
    }
    let mut changing = set(&calls, &column, true);
    // The first of the equal rows goes; the debt of a row that has not come is paid when it does.
    update(&mut changing, &column, false);
    update(&mut changing, &texts(&[Some("b"), Some("d"), None]), true);
    assert_eq!(read(&changing), ["a", "c", "[a, b, c, ]", "a, b, c"]);
    update(&mut changing, &texts(&[Some("d"), Some("e")]), false);
    assert_eq!(read(&changing), ["a", "e", "[a, b, c, , e]", "a, b, c, e"]);
    let mut restored = set(&calls, &column, true);
    restored.restore("", &snapshot(&mut changing, "", &[0]), &[0]).unwrap();
    update(&mut restored, &texts(&[Some("f")]), false);
    update(&mut restored, &texts(&[Some("a"), Some("e")]), true);
    assert_eq!(read(&restored), ["b", "f", "[b, c, , f]", "b, c, f"]);
}

#[test]
fn lists_of_distinct_values_of_several_sets() {
    let item = DataType::List(Arc::new(Field::new_list_field(DataType::Int64, true)));
    let calls = [AggregateCall { distinct: true, ..call(AggregateFunction::ArrayAgg, item) }];
    let (first, second) = (numbers(&[Some(1), None, Some(2), Some(1)]), numbers(&[Some(3), Some(2), Some(4)]));
    for retracts in [false, true] {
        let (mut one, mut other) = (set(&calls, &first, retracts), set(&calls, &first, retracts));
        update(&mut one, &first, false);
        update(&mut other, &second, false);
        one.merge(&other, &[0], &[0]).unwrap();
        let mut found =
            read(&one).remove(0).trim_matches(['[', ']']).split(", ").map(str::to_owned).collect::<Vec<_>>();
        found.sort();
        assert_eq!(found, ["", "1", "2", "3", "4"]);
    }
}

#[test]
fn aggregates_over_insertions_refuse_retractions() {
    let column = numbers(&[Some(1)]);
    let mut set = set(&[call(AggregateFunction::Min, DataType::Int64)], &column, false);
    let batch = RecordBatch::try_from_iter([("v", column)]).unwrap();
    let delta = Delta::signed(batch, BooleanBuffer::new_set(1));
    assert!(set.update_signed(&delta, &[0]).is_err());
}
