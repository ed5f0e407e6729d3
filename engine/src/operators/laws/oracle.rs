//! The oracle: DataFusion answers a query over all rows at once.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::harness::{Cells, Folded, batch_of, cells_of};
use crate::expr::Scalar;

/// The columns of the oracle's tables `t` (port 0), `u` (port 1) and `x` (port 2), all whole numbers: the row's number, key, time in
/// milliseconds, value, flag, and the watermark when the row arrived.
pub(super) fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(["id", "k", "ts", "v", "b", "w"].map(field).to_vec()))
}

/// The result of a query as folded rows.
pub(super) fn query(sql: &str, tables: &[Vec<Cells>]) -> Folded {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    for (name, rows) in ["t", "u", "x"].iter().zip(tables) {
        context.register_batch(*name, batch_of(&schema(), rows)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches: Vec<RecordBatch> = runtime.block_on(async { context.sql(sql).await?.collect().await }).unwrap();
    let mut folded = Folded::new();
    for cells in batches.iter().flat_map(cells_of) {
        *folded.entry(cells).or_default() += 1;
    }
    folded
}

/// An expression over the columns of a schema.
pub(super) fn scalar(sql: &str, schema: &SchemaRef) -> Scalar {
    let schema = DFSchema::try_from(schema.as_ref().clone()).unwrap();
    let expr = SessionContext::new().parse_sql_expr(sql, &schema).unwrap();
    Scalar::compile(&expr, &schema).unwrap()
}

/// A query prefix that names `win`: the rows of a table once for each of their windows (`ws`, `we`).
pub(super) fn windows(table: &str, window: &str) -> String {
    let modulo = |step: i64, offset: i64| format!("((ts - ({offset})) % {step} + {step}) % {step}");
    let numbers = |upto: i64| (0..=upto).map(|n| format!("({n})")).collect::<Vec<_>>().join(", ");
    let spans: Vec<i64> = window.split(' ').skip(1).map(|word| word.parse().unwrap()).collect();
    match (window.split(' ').next(), &spans[..]) {
        (Some("tumble"), [size, offset]) => {
            let start = format!("ts - ({})", modulo(*size, *offset));
            format!("SELECT *, {start} AS ws, {start} + {size} AS we FROM {table}")
        }
        (Some("hop"), [slide, size, offset]) => {
            let (last, steps) = (modulo(*slide, *offset), numbers(size / slide + 1));
            let start = format!("ts - ({last}) - n * {slide}");
            let all = format!(
                "SELECT *, {start} AS ws, {start} + {size} AS we FROM {table} CROSS JOIN (VALUES {steps}) AS x(n)"
            );
            format!("SELECT * FROM ({all}) WHERE we > ts")
        }
        (Some("cumulate"), [step, size, offset]) => {
            let (start, steps) = (modulo(*size, *offset), numbers(size / step - 1));
            let start = format!("ts - ({start})");
            let all = format!(
                "SELECT *, {start} AS ws, {start} + (n + 1) * {step} AS we FROM {table} CROSS JOIN (VALUES {steps}) AS x(n)"
            );
            format!("SELECT * FROM ({all}) WHERE we > ts")
        }
        (other, spans) => panic!("window {other:?} {spans:?}"),
    }
}

/// The rows of `t` with the number of their session in their key (`s`).
pub(super) fn sessions(gap: i64) -> String {
    let by_key = "OVER (PARTITION BY k ORDER BY ts, id)";
    let marked = format!("SELECT *, CASE WHEN ts - lag(ts) {by_key} <= {gap} THEN 0 ELSE 1 END AS fresh FROM t");
    format!("SELECT *, sum(fresh) {by_key} AS s FROM ({marked})")
}
