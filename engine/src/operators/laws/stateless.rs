//! The steps of stateless operators under law, in the form of [`cases`](super::cases).

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::cases::{Case, millis, row_fields, rows, window_fields, window_of};
use super::harness::Times;
use super::oracle::{scalar, windows};
use crate::plan::{GroupingSet, OperatorSpec, StatelessSpec, Step, WindowTime};

pub(super) fn stateless(window: &str) -> Case {
    let number = |name| Field::new(name, DataType::Int64, true);
    let projected: SchemaRef = Arc::new(Schema::new(vec![number("twice"), millis("ts"), number("k")]));
    let output: SchemaRef = Arc::new(Schema::new(
        projected.fields().iter().map(|field| field.as_ref().clone()).chain(window_fields()).collect::<Vec<_>>(),
    ));
    let exprs = ["v * 2", "ts", "k"].map(|sql| scalar(sql, &rows())).to_vec();
    let steps = vec![
        Step::Filter(scalar("v > 1", &rows())),
        Step::Project { exprs, schema: projected },
        Step::AssignWindows { window: window_of(window), time: WindowTime::Event(1), schema: Arc::clone(&output) },
    ];
    let win = windows("t", window);
    Case {
        name: format!("stateless {window}"),
        spec: OperatorSpec::Stateless(StatelessSpec { steps }),
        inputs: vec![rows()],
        output,
        times: Times::NotBefore(5),
        result: format!("SELECT v * 2, ts, k, ws, we, we - 1 FROM ({win}) WHERE v > 1"),
        late: None,
        retracts: true,
    }
}

pub(super) fn expand() -> Case {
    let mut fields = row_fields();
    fields.push(Field::new("id", DataType::Int32, false));
    let output: SchemaRef = Arc::new(Schema::new(fields));
    let sets = [(vec![], 0), (vec![0], 1), (vec![3, 0], 3)].map(|(left_out, id)| GroupingSet { left_out, id });
    let step = Step::Expand { sets: sets.to_vec(), schema: Arc::clone(&output) };
    Case {
        name: "expand".into(),
        spec: OperatorSpec::Stateless(StatelessSpec { steps: vec![step] }),
        inputs: vec![rows()],
        output,
        times: Times::NotBefore(1),
        result: "SELECT k, ts, v, b, 0 FROM t UNION ALL SELECT NULL, ts, v, b, 1 FROM t \
            UNION ALL SELECT NULL, ts, v, NULL, 3 FROM t"
            .into(),
        late: None,
        retracts: true,
    }
}

/// No element for one half of the rows, one or two for the others.
pub(super) fn unnest() -> Case {
    let mut fields = row_fields();
    fields.push(Field::new("e", DataType::Int64, true));
    let output: SchemaRef = Arc::new(Schema::new(fields));
    let lists = "CASE WHEN v > 3 THEN make_array(named_struct('e', v), named_struct('e', v + 1)) \
        WHEN v > 1 THEN make_array(named_struct('e', k)) END";
    let step = Step::Unnest { list: scalar(lists, &rows()), schema: Arc::clone(&output) };
    Case {
        name: "unnest".into(),
        spec: OperatorSpec::Stateless(StatelessSpec { steps: vec![step] }),
        inputs: vec![rows()],
        output,
        times: Times::NotBefore(1),
        result:
            "SELECT k, ts, v, b, v AS e FROM t WHERE v > 3 UNION ALL SELECT k, ts, v, b, v + 1 AS e FROM t WHERE v > 3 \
            UNION ALL SELECT k, ts, v, b, k AS e FROM t WHERE v > 1 AND v <= 3"
                .into(),
        late: None,
        retracts: true,
    }
}
