//! How long after an event a view shows it, at a fixed rate of events.
//!
//! The generator gives an event when its time has come, by the clock; a subscription to a view tells when a row is there.
//! A row's age is the clock then less the time of its event: a view is published before a subscriber hears of it.

use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, TimestampMillisecondType};
use futures::StreamExt;
use millstream_engine::time::{Clock, SystemClock};
use serde::{Deserialize, Serialize};

use super::child::told;
use super::usage;
use crate::session::{Body, Session};

/// What is followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Follow {
    /// What the figures are of.
    pub(super) name: String,
    /// Statements that come before.
    pub(super) setup: String,
    /// The query of the view.
    pub(super) select: String,
    /// The column with the time of the event that made a row.
    pub(super) column: usize,
    /// Events a second.
    pub(super) rate: u64,
    /// Seconds that count, and seconds before those.
    pub(super) seconds: u64,
    pub(super) warmup_seconds: u64,
}

/// Ages of rows when they were seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) query: String,
    pub(super) events_per_second: u64,
    pub(super) rows: u64,
    pub(super) p50_ms: u64,
    pub(super) p99_ms: u64,
    pub(super) p999_ms: u64,
    pub(super) max_ms: u64,
    /// CPU seconds a second.
    pub(super) cpu: f64,
    pub(super) peak_memory_bytes: u64,
}

/// Makes a view and follows it.
pub(super) async fn follow(session: &mut Session, follow: &Follow) -> Result<Latency, String> {
    let script = format!("{} CREATE MATERIALIZED VIEW followed AS {};", follow.setup, follow.select);
    session.execute_script(&script).await.map_err(|error| told(&error))?;
    let outcome = session.execute_script("SUBSCRIBE TO followed").await.map_err(|error| told(&error))?;
    let Some(Body::Subscription(mut rows)) = outcome.map(|outcome| outcome.body) else {
        return Err("no subscription".into());
    };
    let from_ms = now_ms() + i64::try_from(follow.warmup_seconds * 1_000).unwrap_or(0);
    let until_ms = from_ms + i64::try_from(follow.seconds * 1_000).unwrap_or(0);
    let all = Duration::from_secs(follow.warmup_seconds + follow.seconds);
    let cpu_before = usage::cpu_seconds().map_err(|error| error.to_string())?;
    let mut ages = Vec::new();
    // Rows of the last seconds may still be on their way when the time is over: they are waited for, but not for ever.
    let read = async {
        while let Some(batch) = rows.batches.next().await {
            let batch = batch.map_err(|error| told(&error))?;
            if !add(&mut ages, &batch, follow.column, now_ms(), from_ms..until_ms)? {
                break;
            }
        }
        Ok::<(), String>(())
    };
    match tokio::time::timeout(all * 3, read).await {
        Ok(done) => done?,
        Err(_) => return Err(format!("{} does not keep up with {} events a second", follow.name, follow.rate)),
    }
    let cpu = usage::cpu_seconds().map_err(|error| error.to_string())? - cpu_before;
    if ages.is_empty() {
        return Err(format!("{} gave no rows in {} s", follow.name, follow.seconds));
    }
    ages.sort_unstable();
    Ok(Latency {
        query: follow.name.clone(),
        events_per_second: follow.rate,
        rows: ages.len() as u64,
        p50_ms: quantile(&ages, 500),
        p99_ms: quantile(&ages, 990),
        p999_ms: quantile(&ages, 999),
        max_ms: quantile(&ages, 1_000),
        cpu: cpu / all.as_secs_f64(),
        peak_memory_bytes: usage::peak_bytes().map_err(|error| error.to_string())?,
    })
}

/// Adds the ages of the rows whose events are within a time; false where all are behind it.
fn add(
    ages: &mut Vec<u64>,
    batch: &RecordBatch,
    column: usize,
    now_ms: i64,
    within: std::ops::Range<i64>,
) -> Result<bool, String> {
    let sign = batch.columns().get(1).and_then(|signs| signs.as_primitive_opt::<Int32Type>());
    // The columns of a subscription begin with the epoch and the sign.
    let times = batch.columns().get(column + 2).and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
    let (Some(sign), Some(times)) = (sign, times) else {
        return Err("the column of the events' time is no TIMESTAMP(3)".into());
    };
    let mut more = batch.num_rows() == 0;
    for row in 0..batch.num_rows() {
        if sign.value(row) < 0 || times.is_null(row) {
            continue;
        }
        let time = times.value(row);
        more |= time < within.end;
        if within.contains(&time) {
            ages.push(u64::try_from(now_ms - time).unwrap_or(0));
        }
    }
    Ok(more)
}

/// The least age that so many of a thousand do not exceed, of ages in order.
fn quantile(ages: &[u64], per_mille: usize) -> u64 {
    let place = (ages.len() * per_mille).div_ceil(1_000).max(1);
    ages.get(place - 1).copied().unwrap_or(0)
}

fn now_ms() -> i64 {
    SystemClock.now().0.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampMillisecondArray};

    use super::{add, quantile};

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let ages: Vec<u64> = (1..=1_000).collect();
        assert_eq!([500, 990, 999, 1_000].map(|part| quantile(&ages, part)), [500, 990, 999, 1_000]);
        assert_eq!([500, 1_000].map(|part| quantile(&[7], part)), [7, 7]);
    }

    #[test]
    fn ages_of_the_time_that_counts() {
        let batch = RecordBatch::try_from_iter([
            ("epoch", Arc::new(Int64Array::from(vec![1, 1, 1, 1])) as ArrayRef),
            ("sign", Arc::new(Int32Array::from(vec![1, -1, 1, 1]))),
            ("time", Arc::new(TimestampMillisecondArray::from(vec![90, 110, 110, 250]))),
        ])
        .unwrap();
        let mut ages = Vec::new();
        assert!(add(&mut ages, &batch, 0, 300, 100..200).unwrap());
        assert_eq!(ages, [190], "one is too early, one a retraction, one too late");
        assert!(!add(&mut ages, &batch, 0, 300, 0..50).unwrap(), "all are behind");
    }
}
