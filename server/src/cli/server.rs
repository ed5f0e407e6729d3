//! `millstream server`

use super::tell;
use crate::config::Config;
use crate::pgwire::PgServer;
use crate::session::Database;

/// Serves until Ctrl-C or a request to terminate.
pub(super) async fn run(config: Config) -> Result<(), String> {
    let (listen, http_listen) = (config.listen, config.http_listen);
    let database = Database::open(config).await.map_err(|error| error.to_string())?;
    let pg = PgServer::bind(listen).await.map_err(|error| format!("could not listen on {listen}: {error}"))?;
    let address = pg.address().map_err(|error| error.to_string())?;
    let http =
        crate::http::bind(http_listen).await.map_err(|error| format!("could not listen on {http_listen}: {error}"))?;
    tell(format_args!("millstream {} is ready", env!("CARGO_PKG_VERSION")));
    tell(format_args!("  psql -h {} -p {} -d millstream", address.ip(), address.port()));
    tell(format_args!("  http://{http_listen}/metrics"));
    tokio::select! {
        () = pg.serve(database.clone()) => (),
        done = crate::http::serve(http, database.clone()) => done.map_err(|error| error.to_string())?,
        () = stop_requested() => (),
    }
    database.shutdown();
    Ok(())
}

/// Returns when the process is asked to stop.
pub(crate) async fn stop_requested() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    let Ok(mut terminate) = terminate else {
        // Without that signal Ctrl-C is left.
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => (),
        _ = terminate.recv() => (),
    }
}
