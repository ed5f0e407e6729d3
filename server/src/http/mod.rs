//! `/health` and `/metrics`.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use millstream_engine::runtime::{JobStatus, MemoryGuard};
use tokio::net::TcpListener;

use crate::session::Database;

/// The type that Prometheus reads.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Binds the address; port 0 takes a free one.
///
/// # Errors
/// Where the address is taken or not ours.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until the future is dropped.
///
/// # Errors
/// Where the listener breaks.
pub async fn serve(listener: TcpListener, database: Database) -> io::Result<()> {
    let routes = Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(database);
    axum::serve(listener, routes).await
}

async fn health() -> &'static str {
    "ok\n"
}

async fn metrics(State(database): State<Database>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], metrics_text(&database.engine().jobs(), &database.engine().config().memory))
}

/// A counter of jobs: name, meaning, value.
type Counter = (&'static str, &'static str, fn(&JobStatus) -> u64);

const COUNTERS: [Counter; 6] = [
    ("millstream_job_rows_in_total", "Rows read from connectors and views.", |job| job.metrics.rows_in),
    ("millstream_job_rows_out_total", "Rows that reached sinks and views.", |job| job.metrics.rows_out),
    ("millstream_job_late_rows_total", "Rows dropped because their windows were closed.", |job| job.metrics.late_rows),
    ("millstream_job_evicted_keys_total", "Keys forgotten because their time to live was over.", |job| {
        job.metrics.evicted_keys
    }),
    ("millstream_job_bad_rows_total", "Rows that could not be parsed or computed.", |job| job.metrics.bad_rows),
    ("millstream_job_sink_errors_total", "Rows that sinks refused.", |job| job.metrics.sink_errors),
];

fn metrics_text(jobs: &[JobStatus], memory: &MemoryGuard) -> String {
    let mut out = String::new();
    for (name, help, value) in COUNTERS {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
        for job in jobs {
            let _ = writeln!(out, "{name}{{{}}} {}", labels(job), value(job));
        }
    }
    let _ = writeln!(out, "# HELP millstream_job_info State of each job.\n# TYPE millstream_job_info gauge");
    for job in jobs {
        let _ = writeln!(out, "millstream_job_info{{{},state=\"{}\"}} 1", labels(job), job.state);
    }
    let used = millstream_database::resident_bytes().unwrap_or_else(|| memory.used_bytes());
    let _ =
        writeln!(out, "# HELP millstream_memory_bytes Memory of the process.\n# TYPE millstream_memory_bytes gauge");
    let _ = writeln!(out, "millstream_memory_bytes {used}");
    if let Some(limit) = memory.limit_bytes() {
        let name = "millstream_memory_limit_bytes";
        let _ = writeln!(out, "# HELP {name} Above it no source is read.\n# TYPE {name} gauge\n{name} {limit}");
    }
    out
}

fn labels(job: &JobStatus) -> String {
    let name = job.name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("job=\"{}\",name=\"{name}\"", job.id)
}

#[cfg(test)]
mod tests {
    use millstream_engine::runtime::{JobId, JobMetrics, JobState, JobStatus, MemoryGuard};
    use millstream_engine::time::{EventTime, ProcessingTime};

    use super::metrics_text;

    #[test]
    fn labels_are_escaped() {
        let metrics = JobMetrics {
            rows_in: 5,
            rows_out: 1,
            late_rows: 0,
            evicted_keys: 0,
            bad_rows: 0,
            sink_errors: 0,
            forgotten_rows: 0,
            watermark: EventTime::MIN,
        };
        let job = JobStatus {
            id: JobId(3),
            name: "a\"b".into(),
            state: JobState::Running,
            error: None,
            hopeless: false,
            held_back: false,
            hint: None,
            started: ProcessingTime(0),
            metrics,
        };
        let text = metrics_text(&[job], &MemoryGuard::unlimited());
        assert!(text.contains("millstream_job_rows_in_total{job=\"3\",name=\"a\\\"b\"} 5\n"), "{text}");
        assert!(text.contains("millstream_job_info{job=\"3\",name=\"a\\\"b\",state=\"RUNNING\"} 1\n"), "{text}");
    }
}
