//! [`Client`]: a connection to a server, made anew when it is lost, on a thread for input and output.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Mutex;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row, RowStream};

/// Time between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Runs the connections of all tables.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread().worker_threads(1).thread_name("millstream-postgres").enable_all().build()
});

/// What runs the connections.
///
/// # Errors
/// Where there is no thread for them.
pub(super) fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| EngineError::io("could not start a thread for PostgreSQL", error))
}

/// See the module.
#[derive(Debug)]
pub(super) struct Client {
    config: Config,
    retries_max: usize,
    connection: Mutex<Option<Arc<tokio_postgres::Client>>>,
}

impl Client {
    pub(super) fn new(config: Config, retries_max: usize) -> Self {
        Self { config, retries_max, connection: Mutex::new(None) }
    }

    /// The rows of a query whose parameters are arrays of texts. Tries again where the connection fails.
    ///
    /// # Errors
    /// What the server says; that it cannot be reached.
    pub(super) async fn rows(&self, query: &str, parameters: &[Vec<String>]) -> Result<Vec<Row>> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|texts| -> &(dyn ToSql + Sync) { texts }).collect();
        let mut retry = tokio::time::interval(RETRY_INTERVAL);
        // The first tick is at once.
        retry.tick().await;
        for retries_left in (0..=self.retries_max).rev() {
            let found = match self.connected().await {
                Ok(client) => client.query(query, &parameters).await,
                Err(error) => Err(error),
            };
            match found {
                Ok(rows) => return Ok(rows),
                // The server's own errors come again.
                Err(error) if error.as_db_error().is_some() && !error.is_closed() => return Err(failed(&error)),
                Err(error) if retries_left == 0 => return Err(failed(&error)),
                Err(_) => {
                    self.connection.lock().await.take();
                    retry.tick().await;
                }
            }
        }
        Err(EngineError::Internal("a lookup was not tried".into()))
    }

    /// The rows of a query without parameters, one after another.
    ///
    /// # Errors
    /// As [`Self::rows`]; nothing is tried again.
    pub(super) async fn stream(&self, query: &str) -> Result<RowStream> {
        let client = self.connected().await.map_err(|error| failed(&error))?;
        client.query_raw(query, std::iter::empty::<String>()).await.map_err(|error| failed(&error))
    }

    async fn connected(&self) -> Result<Arc<tokio_postgres::Client>, tokio_postgres::Error> {
        let mut connection = self.connection.lock().await;
        if let Some(client) = connection.as_ref().filter(|client| !client.is_closed()) {
            return Ok(Arc::clone(client));
        }
        let (client, driver) = self.config.connect(NoTls).await?;
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to PostgreSQL ended");
            }
        });
        client.batch_execute("SET DateStyle = 'ISO'; SET TimeZone = 'UTC'; SET extra_float_digits = 1").await?;
        let client = Arc::new(client);
        *connection = Some(Arc::clone(&client));
        Ok(client)
    }
}

/// An error of a server or of the way to it.
pub(super) fn failed(error: &tokio_postgres::Error) -> EngineError {
    match error.as_db_error() {
        Some(said) => EngineError::io("PostgreSQL refused a query", said.message()),
        None => {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            EngineError::io("could not query PostgreSQL", cause)
        }
    }
}
