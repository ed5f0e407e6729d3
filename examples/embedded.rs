//! Millstream inside a Rust program: a stream of this program, a window over it, its results printed as they come.
//!
//! `cargo run -p millstream-table --example embedded`

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use millstream_table::{Result, TableDescriptor, TableEnvironment, Tumble, channel, col, lit};

#[tokio::main]
async fn main() -> Result<()> {
    let start = Instant::now();
    let environment = TableEnvironment::create().await?;

    // A source of this program: batches go into the channel, and the table reads them out of it.
    let schema = Arc::new(Schema::new(vec![
        Field::new("item", DataType::Utf8, false),
        Field::new("price", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]));
    let (sender, source) = channel(Arc::clone(&schema), 16);
    let sales = TableDescriptor::for_source(source).watermark("ts", "ts - INTERVAL '1' SECOND");
    environment.create_table("sales", &sales).await?;

    // A window: what each item brought in every ten seconds.
    let totals = environment
        .from("sales")
        .filter(col("price").is_greater(0))
        .window(Tumble::over(lit(10).seconds()).on(col("ts")).alias("w"))
        .group_by([col("w"), col("item")])
        .select([col("w").start().alias("since"), col("item"), col("price").sum().alias("total")]);
    let result = totals.execute().await?;

    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["tea", "tea", "cake", "tea"])),
        Arc::new(Int64Array::from(vec![3, 4, 7, 5])),
        Arc::new(TimestampMillisecondArray::from(vec![1_000, 4_000, 9_000, 12_000])),
    ];
    let batch = RecordBatch::try_new(schema, columns).map_err(millstream_table::EngineError::from)?;
    sender.send(batch).await?;
    // The stream ends here, so that all windows close; one that goes on closes them by its watermark.
    drop(sender);

    let mut out = std::io::stdout().lock();
    result.print(&mut out).await?;
    let _ = writeln!(out, "{} ms", start.elapsed().as_millis());
    Ok(())
}
