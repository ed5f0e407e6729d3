//! The threads of queries: what plans and evaluates a query runs on threads that serve nobody else, so that an
//! evaluation, however long, holds up neither the clients of the server nor another query.
//!
//! A lane is a few threads with an executor of their own. A query has a lane to itself until it is done, and the
//! operating system shares the cores out among the lanes. What runs on it is in [`super`].

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use millstream_sql::{SqlError, SqlState};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;

/// The stack of a thread that plans statements, which may be nested deeply. Memory is taken as it is used.
const STACK_BYTES: usize = 32 << 20;

/// Where more queries than this run at a time, they share lanes.
const LANES_MAX: usize = 64;

/// Batches that are computed before the reader wants them.
const BATCHES_AHEAD: usize = 1;

/// `admin_shutdown`
const SHUTDOWN: SqlState = SqlState("57P01");

/// Batches as they are computed.
pub type Batches = BoxStream<'static, Result<RecordBatch, SqlError>>;

/// All lanes. Cheap to clone; the threads end with the last clone, when what they evaluate has.
#[derive(Debug, Clone)]
pub struct QueryThreads(Arc<Lanes>);

#[derive(Debug)]
struct Lanes {
    threads: usize,
    first: Lane,
    /// Made where more queries ran at a time.
    more: Mutex<Vec<Lane>>,
}

#[derive(Debug)]
struct Lane {
    handle: Handle,
    /// Gone when the lane ends.
    runtime: Option<Runtime>,
    /// The queries that have it.
    queries: Arc<AtomicUsize>,
}

/// A query's right to its lane.
#[derive(Debug)]
struct Held(Arc<AtomicUsize>);

/// A task that ends, at its next await, where nobody waits for it any more.
#[derive(Debug)]
struct Task<T>(JoinHandle<T>);

impl QueryThreads {
    /// Lanes of as many threads each.
    ///
    /// # Errors
    /// Where the first lane cannot be made.
    pub fn start(threads: usize) -> io::Result<Self> {
        let threads = threads.max(1);
        Ok(Self(Arc::new(Lanes { threads, first: Lane::start(threads)?, more: Mutex::default() })))
    }

    /// Runs `work` on a lane. Where the caller goes away, it ends at its next await. A panic goes on in the caller.
    ///
    /// # Errors
    /// Those of `work`; 57P01 where the threads have ended.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SqlError>> + Send + 'static,
    ) -> Result<T, SqlError> {
        self.spawn(|held| async move {
            let result = work.await;
            drop(held);
            result
        })
        .finished()
        .await?
    }

    /// Runs `plan` on a lane, and there also computes its batches. It returns with the first of them, so that a small result
    /// wakes its reader once. Dropping the stream ends the computation at its next await.
    ///
    /// # Errors
    /// Those of `plan` and of the first batch; 57P01 where the threads have ended. Other errors of rows are in the stream.
    pub async fn stream(
        &self,
        plan: impl Future<Output = Result<Batches, SqlError>> + Send + 'static,
    ) -> Result<Batches, SqlError> {
        let (sender, mut receiver) = mpsc::channel(BATCHES_AHEAD);
        let task = self.spawn(|held| async move {
            let mut batches = plan.await?;
            while let Some(batch) = batches.next().await {
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            // Readers are told the end when all that the query held is given back.
            drop((batches, held));
            Ok(())
        });
        match receiver.recv().await {
            Some(first) => {
                let first = first?;
                Ok(stream::once(async move { Ok(first) }).chain(received(receiver, task)).boxed())
            }
            None => task.finished().await?.map(|()| stream::empty().boxed()),
        }
    }

    /// Starts `work` on a lane that it has until it drops what it is given.
    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl FnOnce(Held) -> F,
    ) -> Task<T> {
        let mut more = self.0.more.lock();
        // What was left while it evaluates still keeps the threads of its lane.
        if self.0.least(&more).load() != (0, 0) && more.len() + 1 < LANES_MAX {
            match Lane::start(self.0.threads) {
                Ok(lane) => more.push(lane),
                Err(error) => {
                    tracing::warn!(%error, "could not start threads for a query, which shares those of others")
                }
            }
        }
        let least = self.0.least(&more);
        least.queries.fetch_add(1, Ordering::Relaxed);
        Task(least.handle.spawn(work(Held(Arc::clone(&least.queries)))))
    }
}

impl Lanes {
    /// The lane that has least to do.
    fn least<'a>(&'a self, more: &'a [Lane]) -> &'a Lane {
        more.iter().fold(&self.first, |least, lane| if lane.load() < least.load() { lane } else { least })
    }
}

impl Lane {
    fn start(threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime), queries: Arc::default() })
    }

    /// Queries, and then tasks that still run: of two lanes the lesser one is to be preferred.
    fn load(&self) -> (usize, usize) {
        (self.queries.load(Ordering::Relaxed), self.handle.metrics().num_alive_tasks())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // An evaluation that nobody waits for ends when it ends.
            runtime.shutdown_background();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<T> Task<T> {
    async fn finished(mut self) -> Result<T, SqlError> {
        (&mut self.0).await.map_err(|error| match error.try_into_panic() {
            Ok(cause) => resume_unwind(cause),
            Err(_) => SqlError::new(SHUTDOWN, "the query was ended because the database is"),
        })
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The batches that a task sends.
fn received(receiver: Receiver<Result<RecordBatch, SqlError>>, task: Task<Result<(), SqlError>>) -> Batches {
    let batches = stream::unfold((receiver, Some(task)), |(mut receiver, mut task)| async move {
        match receiver.recv().await {
            Some(batch) => Some((batch, (receiver, task))),
            // The sender is gone: the task has ended, or the database has.
            None => match task.take()?.finished().await {
                Ok(Ok(())) => None,
                Ok(Err(error)) | Err(error) => Some((Err(error), (receiver, None))),
            },
        }
    });
    batches.boxed()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::panic::AssertUnwindSafe;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use futures::FutureExt;

    use super::QueryThreads;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread")]
    async fn what_evaluates_holds_nobody_up_even_when_nobody_waits_for_it() {
        let threads = QueryThreads::start(1).unwrap();
        let (begun, begins) = channel();
        let (go_on, waits) = channel::<()>();
        let evaluates = threads.clone();
        let held = tokio::spawn(async move {
            let work = async move {
                begun.send(()).unwrap();
                Ok(waits.recv().is_ok())
            };
            evaluates.run(work).await
        });
        tokio::task::spawn_blocking(move || begins.recv_timeout(PATIENCE)).await.unwrap().unwrap();
        for _ in 0..20 {
            let other = tokio::time::timeout(PATIENCE, threads.run(async { Ok(1) })).await;
            assert_eq!(other.unwrap().unwrap(), 1);
            // From the second time on nobody waits for what evaluates.
            held.abort();
        }
        // Lanes are used again; a few are made where the one before had not quite ended.
        assert!(threads.0.more.lock().len() < 10);
        drop(go_on);
    }

    #[tokio::test]
    async fn a_panic_goes_on_in_the_caller() {
        let threads = QueryThreads::start(1).unwrap();
        let work = threads.run::<()>(async { panic!("so it is") });
        let cause = AssertUnwindSafe(work).catch_unwind().await.unwrap_err();
        assert_eq!(cause.downcast_ref::<&str>(), Some(&"so it is"));
    }
}
