//! `millstream demo`: a server, a stream of auctions, and views whose results move on the terminal.

mod screen;

use std::io::IsTerminal;
use std::time::Duration;

use clap::Args;
use millstream_sql::SqlError;

use crate::config::Config;
use crate::pgwire::PgServer;
use crate::session::{Body, Database, Session};
use screen::Screen;

/// Shows live results over a stream of auctions
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Ends after so many seconds [default: at Ctrl-C]
    #[arg(long)]
    seconds: Option<u64>,
}

/// The stream and the views on it.
const SETUP: &str = include_str!("demo.sql");

/// What is shown: a title, and the query behind it.
const PANELS: [(&str, &str); 3] = [
    (
        "bids a second",
        "SELECT window_start AS second, bids, revenue, average FROM bids_per_second ORDER BY second DESC LIMIT 6",
    ),
    (
        "hot auctions of the last 10 seconds",
        "SELECT auction, bids, high FROM hot_auctions WHERE window_end = (SELECT max(window_end) FROM hot_auctions) ORDER BY bids DESC, auction LIMIT 6",
    ),
    ("channels since the start", "SELECT channel, bids, bidders, high FROM channels ORDER BY bids DESC LIMIT 5"),
];

/// Time between two pictures on a terminal, and between two lines elsewhere.
const REDRAW: Duration = Duration::from_millis(500);
const REPRINT: Duration = Duration::from_secs(1);

/// Runs until Ctrl-C, or for as long as asked.
pub(crate) async fn run(config: Config, arguments: DemoArguments) -> Result<bool, String> {
    let listen = config.listen;
    let database = Database::open_where_named(config).await.map_err(|error| error.to_string())?;
    // Another server may hold the port: a demo takes any.
    let pg = match PgServer::bind(listen).await {
        Ok(server) => server,
        Err(_) => {
            let any = std::net::SocketAddr::new(listen.ip(), 0);
            PgServer::bind(any).await.map_err(|error| format!("could not listen on {any}: {error}"))?
        }
    };
    let address = pg.address().map_err(|error| error.to_string())?;
    let psql = format!("psql -h {} -p {} -d millstream", address.ip(), address.port());
    let work = async {
        let mut session = database.session();
        session.execute_script(SETUP).await?;
        show(&mut session, &psql).await
    };
    let limit = async {
        match arguments.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let done = tokio::select! {
        done = work => done,
        () = pg.serve(database.clone()) => Ok(()),
        () = crate::cli::stop_requested() => Ok(()),
        () = limit => Ok(()),
    };
    database.shutdown();
    done.map(|()| true).map_err(|error| error.to_string())
}

/// Reads the views again and again and shows them.
async fn show(session: &mut Session, psql: &str) -> Result<(), SqlError> {
    let terminal = std::io::stdout().is_terminal();
    let mut screen = Screen::new(terminal, psql);
    let mut ticks = tokio::time::interval(if terminal { REDRAW } else { REPRINT });
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let mut panels = Vec::with_capacity(PANELS.len());
        for (title, query) in PANELS {
            panels.push((title, rows(session, query).await?));
        }
        if screen.draw(&panels).is_err() {
            // Nobody looks any more.
            return Ok(());
        }
    }
}

/// The rows of a query as texts under their names.
async fn rows(session: &mut Session, query: &str) -> Result<Vec<Vec<String>>, SqlError> {
    let Some(outcome) = session.execute_script(query).await? else {
        return Ok(Vec::new());
    };
    match outcome.body {
        Body::Rows(rows) => {
            let style = session.settings().style();
            let header = rows.schema.fields().iter().map(|field| field.name().clone()).collect();
            let mut lines = vec![header];
            for batch in rows.collect().await? {
                for row in 0..batch.num_rows() {
                    let cells = batch.columns().iter();
                    let cells =
                        cells.map(|cell| crate::encode::text_value(cell.as_ref(), row, style).unwrap_or_default());
                    lines.push(cells.collect());
                }
            }
            Ok(lines)
        }
        Body::Subscription(_) | Body::CopyOut(_) | Body::CopyIn(_) | Body::Done(_) => Ok(Vec::new()),
    }
}
