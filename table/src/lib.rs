//! Millstream as a library: streaming SQL and Flink's Table API in a Rust program, without a server.
//!
//! A [`TableEnvironment`] holds an engine and a catalog. A [`Table`] is a query that is built verb by verb under the names
//! of Flink's Table API; it becomes SQL ([`Table::to_sql`]) and takes the way of all SQL, so both give the same plans. A
//! result is a stream of Arrow batches with signs ([`TableResult`]).
//!
//! ```
//! use millstream_table::{Result, TableDescriptor, TableEnvironment, Tumble, col, lit};
//!
//! # fn main() -> Result<()> { tokio::runtime::Runtime::new().unwrap().block_on(run()) }
//! # async fn run() -> Result<()> {
//! let environment = TableEnvironment::create().await?;
//! let bids = TableDescriptor::for_connector("nexmark").column("bid", "ROW<auction BIGINT, price BIGINT, dateTime TIMESTAMP(3)>")
//!     .column_by_expression("ts", "bid.dateTime")
//!     .watermark("ts", "ts")
//!     .option("nexmark.event-num", "1000");
//! environment.create_table("events", &bids).await?;
//! let hot = environment
//!     .from("events")
//!     .filter("bid IS NOT NULL")
//!     .window(Tumble::over(lit(10).seconds()).on(col("ts")).alias("w"))
//!     .group_by([col("w")])
//!     .select([col("w").start().alias("since"), col("bid").count().alias("n")]);
//! let mut changes = hot.execute().await?;
//! while let Some(delta) = changes.next().await? {
//!     println!("{} rows, the first is {}", delta.rows(), if delta.is_retract(0) { "taken back" } else { "new" });
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The way in: [`TableEnvironment`] and [`TableDescriptor`] for what there is; [`Table`] and [`Expression`] for queries;
//! [`channel`], [`FnSink`], [`ScalarFunction`] and [`AggregateFunction`] for what the program itself brings.

mod channel;
mod descriptor;
mod embedded;
mod environment;
mod expression;
mod function;
mod grouped;
mod pipeline;
mod plan;
mod query;
mod result;
mod sink;
mod table;
mod window;

#[cfg(test)]
mod tests;

pub use channel::{BatchSender, channel};
pub use descriptor::TableDescriptor;
pub use environment::{Builder, TableEnvironment};
pub use expression::{
    Expression, ToExpression, ToOperand, and, array, call, call_sql, coalesce, col, concat, count_all,
    current_timestamp, if_then_else, lit, not, null_of, or, proctime, row, row_number,
};
pub use function::{AggregateFunction, ScalarFunction};
pub use grouped::{GroupedTable, OverWindowedTable, TableWindow, WindowedTable};
pub use pipeline::{StatementSet, TablePipeline};
pub use result::TableResult;
pub use sink::FnSink;
pub use table::Table;
pub use window::{
    Bound, CURRENT_RANGE, CURRENT_ROW, GroupWindow, Over, OverWindow, Session, Slide, SlideEvery, TimedWindow, Tumble,
    UNBOUNDED_RANGE, UNBOUNDED_ROW,
};

pub use millstream_database::session::Notice;
pub use millstream_engine::EngineError;
pub use millstream_engine::message::{Delta, Sign};
pub use millstream_engine::ports::{Connector, Sink, Source};
pub use millstream_sql::{NativeAccumulator as Accumulator, SqlError, SqlState};

/// What a call of this crate gives; its errors are those of SQL.
pub type Result<T, E = SqlError> = std::result::Result<T, E>;
