//! Evaluations that take long hold nobody up: who connects is answered while every core evaluates, and a timeout or a
//! cancel answers in the midst of one. What evaluates here is a function that goes on until the test lets it go.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Int64Type};
use millstream_server::config::Config;
use millstream_server::pgwire::PgServer;
use millstream_server::session::Database;
use millstream_sql::NativeFunction;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// How long anything may take that should be done at once: nothing lets the evaluations go before.
const PATIENCE: Duration = Duration::from_secs(20);

/// The threads that serve the wire.
const THREADS: usize = 2;

/// What `hold(x)` waits for.
#[derive(Default)]
struct Gate {
    /// The arguments of evaluations that have begun, and whether they may end.
    state: Mutex<(HashSet<i64>, bool)>,
    changed: Condvar,
}

impl Gate {
    fn hold(&self, argument: i64) {
        let mut state = self.state.lock().unwrap();
        state.0.insert(argument);
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |(_, open)| !*open).unwrap());
    }

    /// Waits until the evaluation has begun.
    async fn begun(self: &Arc<Self>, argument: i64) {
        let gate = Arc::clone(self);
        let waits = move || {
            let state = gate.state.lock().unwrap();
            let waited = gate.changed.wait_timeout_while(state, PATIENCE, |(begun, _)| !begun.contains(&argument));
            assert!(!waited.unwrap().1.timed_out(), "hold({argument}) has not begun");
        };
        tokio::task::spawn_blocking(waits).await.unwrap();
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// A server whose threads are not those of its clients.
struct Server {
    gate: Arc<Gate>,
    address: SocketAddr,
    database: Database,
    runtime: Option<Runtime>,
}

impl Server {
    async fn start() -> Self {
        let gate = Arc::new(Gate::default());
        let database = Database::start(Config { shards: THREADS, ..Config::standard() }).unwrap();
        let held = Arc::clone(&gate);
        let kernel = move |columns: &[ArrayRef], _: usize| {
            held.hold(columns[0].as_primitive::<Int64Type>().value(0));
            Ok(Arc::clone(&columns[0]))
        };
        let hold = NativeFunction::scalar("hold", vec![DataType::Int64], DataType::Int64, Arc::new(kernel));
        database.session().create_native_function(hold).await.unwrap();
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().unwrap();
        let serving = database.clone();
        let server = runtime.spawn(async { PgServer::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap() });
        let server = server.await.unwrap();
        let address = server.address().unwrap();
        runtime.spawn(server.serve(serving));
        Self { gate, address, database, runtime: Some(runtime) }
    }

    async fn connect(&self) -> Client {
        let settings = format!("host={} port={} user=tester dbname=t", self.address.ip(), self.address.port());
        let (client, connection) = at_once(tokio_postgres::connect(&settings, NoTls)).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gate.open();
        self.database.shutdown();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn at_once<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it is held up")
}

/// The first value of each row, or the code of the error.
async fn values(client: &Client, text: &str) -> Result<Vec<String>, String> {
    match client.simple_query(text).await {
        Ok(messages) => Ok(messages.iter().filter_map(first).collect()),
        Err(error) => Err(error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned())),
    }
}

fn first(message: &SimpleQueryMessage) -> Option<String> {
    match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }
}

/// Two statements that hold: evaluated while it is planned, and while it runs.
fn held(from: i64) -> [(i64, String); 2] {
    let runs = format!("SELECT hold(x) FROM generate_series({0}, {0}) t(x)", from + 1);
    [(from, format!("SELECT hold({from})")), (from + 1, runs)]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_is_answered_while_every_thread_evaluates() {
    let server = Server::start().await;
    let mut running = Vec::new();
    for (number, text) in [held(1), held(3)].into_iter().flatten() {
        let client = server.connect().await;
        running.push((number, tokio::spawn(async move { values(&client, &text).await })));
    }
    assert!(running.len() >= 2 * THREADS);
    for (number, _) in &running {
        server.gate.begun(*number).await;
    }
    let client = server.connect().await;
    assert_eq!(at_once(values(&client, "SELECT 1")).await, Ok(vec!["1".to_owned()]));
    // One that is computed on several threads.
    let groups = "SELECT COUNT(*) FROM (SELECT x % 7 AS g FROM generate_series(1, 50000) t(x) GROUP BY x % 7) t";
    assert_eq!(at_once(values(&client, groups)).await, Ok(vec!["7".to_owned()]));
    assert_eq!(at_once(values(&client, "SELECT relname FROM pg_class WHERE 1 = 0")).await, Ok(vec![]));
    server.gate.open();
    for (number, running) in running {
        assert_eq!(at_once(running).await.unwrap(), Ok(vec![number.to_string()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_and_a_cancel_answer_in_the_midst_of_an_evaluation() {
    let server = Server::start().await;
    let client = server.connect().await;
    for (_, text) in held(1) {
        at_once(values(&client, "SET statement_timeout = '50 ms'")).await.unwrap();
        assert_eq!(at_once(values(&client, &text)).await, Err("57014".to_owned()), "{text}");
        at_once(values(&client, "RESET statement_timeout")).await.unwrap();
        assert_eq!(at_once(values(&client, "SELECT 1")).await, Ok(vec!["1".to_owned()]));
    }
    for (number, text) in held(3) {
        let cancelled = async {
            server.gate.begun(number).await;
            client.cancel_token().cancel_query(NoTls).await.unwrap();
        };
        let (answer, ()) = at_once(async { tokio::join!(values(&client, &text), cancelled) }).await;
        assert_eq!(answer, Err("57014".to_owned()), "{text}");
        assert_eq!(at_once(values(&client, "SELECT 1")).await, Ok(vec!["1".to_owned()]));
    }
}
