//! Tests of the crate: what is planned, what comes out, what the program brings.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panic")]

mod own;
mod plans;
mod results;

use std::fmt::Write;
use std::future::Future;

use arrow::array::RecordBatch;

use crate::{Result, TableEnvironment, TableResult};

/// Runs a test in a runtime of its own, with an environment of two shards and short epochs.
fn run<F: Future<Output = Result<()>>>(test: impl FnOnce(TableEnvironment) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let epoch = std::time::Duration::from_millis(5);
        let environment = TableEnvironment::builder().shards(2).epoch_interval(epoch).build().await.unwrap();
        if let Err(error) = test(environment).await {
            panic!("{error}: {:?}", error.parts());
        }
    });
}

/// The rows of batches as sorted lines.
fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let mut line = String::new();
            for column in batch.columns() {
                let text = arrow::util::display::array_value_to_string(column, row).unwrap();
                let _ = write!(line, "{text} ");
            }
            lines.push(line.trim_end().to_owned());
        }
    }
    lines.sort();
    lines
}

/// The rows that are left of a result, as sorted lines.
async fn rows(result: TableResult) -> Result<Vec<String>> {
    Ok(lines(&result.collect().await?))
}
