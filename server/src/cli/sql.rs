//! `millstream sql`: statements in an engine of this process.

use std::io::{self, Read, Write, stdout};
use std::path::PathBuf;

use clap::Args;
use futures::StreamExt;
use millstream_engine::runtime::JobState;
use millstream_sql::SqlError;

use super::output::{Format, Printer};
use super::progress::Progress;
use super::report::error_text;
use super::server::stop_requested;
use crate::config::Config;
use crate::session::{Body, CopyIn, CopyOut, Database, Notice, Rows, Session};

/// Runs SQL in this process, from -c, -f or standard input
#[derive(Debug, Args)]
pub(super) struct SqlArguments {
    /// SQL to run; may be given several times
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    commands: Vec<String>,
    /// File with SQL to run
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// How rows are printed on standard output
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// Why a run stopped.
enum Stopped {
    /// A statement failed; it has been told.
    Failed,
    /// The user asked to stop.
    Asked,
    /// Standard output is gone, or standard input or the file cannot be read.
    Io(String),
}

/// Runs all statements, then waits for the jobs that they started. `Ok(false)` where one failed.
pub(super) async fn run(config: Config, arguments: SqlArguments) -> Result<bool, String> {
    let texts = texts(&arguments).map_err(|error| error.to_string())?;
    let database = Database::open_where_named(config).await.map_err(|error| error.to_string())?;
    let mut runner =
        Runner { session: database.session(), progress: Progress::new(database.clone()), format: arguments.output };
    let work = async {
        for text in &texts {
            runner.script(text).await?;
        }
        runner.wait_for_jobs(&database).await
    };
    let done = tokio::select! {
        done = work => done,
        () = stop_requested() => Err(Stopped::Asked),
    };
    database.shutdown();
    match done {
        Ok(()) | Err(Stopped::Asked) => Ok(true),
        Err(Stopped::Failed) => Ok(false),
        Err(Stopped::Io(error)) => Err(error),
    }
}

/// The scripts in the order in which they run.
fn texts(arguments: &SqlArguments) -> io::Result<Vec<String>> {
    let mut texts = arguments.commands.clone();
    if let Some(file) = &arguments.file {
        let read = std::fs::read_to_string(file);
        let named = |error| io::Error::other(format!("could not read \"{}\": {error}", file.display()));
        texts.push(read.map_err(named)?);
    }
    if texts.is_empty() {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text)?;
        texts.push(text);
    }
    Ok(texts)
}

struct Runner {
    session: Session,
    progress: Progress,
    format: Format,
}

impl Runner {
    async fn script(&mut self, text: &str) -> Result<(), Stopped> {
        let statements = millstream_sql::parse(text).map_err(|error| tell(&error, text, 0))?;
        for statement in &statements {
            let offset = statement.offset;
            let outcome = self.progress.during(self.session.execute(statement, &[])).await;
            let outcome = outcome.map_err(|error| tell(&error, text, offset))?;
            outcome.notices.iter().for_each(notify);
            match outcome.body {
                Body::Done(tag) => eprintln!("{tag}"),
                Body::CopyOut(copy) => self.copy_out(copy, text, offset).await?,
                Body::CopyIn(copy) => self.copy_in(&copy, text, offset).await?,
                Body::Rows(rows) => self.print(rows, false, text, offset).await?,
                Body::Subscription(rows) => self.print(rows, true, text, offset).await?,
            }
        }
        Ok(())
    }

    /// Prints rows; at once where they `follow` changes.
    async fn print(&mut self, mut rows: Rows, follow: bool, text: &str, offset: usize) -> Result<(), Stopped> {
        let style = self.session.settings().style();
        let out = io::BufWriter::new(stdout());
        let mut printer = Printer::new(self.format, &rows.schema, style, out)?;
        while let Some(batch) = self.progress.during(rows.batches.next()).await {
            let batch = batch.map_err(|error| {
                // What came before the error stays.
                if printer.rows() > 0 {
                    let _ = printer.finish();
                }
                tell(&error, text, offset)
            })?;
            printer.batch(&batch)?;
            if follow {
                printer.flush()?;
            }
        }
        printer.finish()?;
        Notice::after(&rows.notes).iter().for_each(notify);
        let count = printer.rows();
        eprintln!("({count} row{})", if count == 1 { "" } else { "s" });
        Ok(())
    }

    /// Prints the bytes of a `COPY … TO STDOUT`.
    async fn copy_out(&mut self, mut copy: CopyOut, text: &str, offset: usize) -> Result<(), Stopped> {
        let mut out = io::BufWriter::new(stdout());
        let (mut buffer, mut count) = (Vec::new(), 0);
        copy.encoder.header(&copy.rows.schema, &mut buffer);
        while let Some(batch) = self.progress.during(copy.rows.batches.next()).await {
            let batch = batch.map_err(|error| tell(&error, text, offset))?;
            (0..batch.num_rows()).for_each(|row| copy.encoder.row(&batch, row, &mut buffer));
            count += batch.num_rows();
            out.write_all(&buffer)?;
            buffer.clear();
        }
        out.write_all(&buffer)?;
        out.flush()?;
        eprintln!("COPY {count}");
        Ok(())
    }

    /// Reads the rows of a `COPY … FROM STDIN` from the standard input.
    async fn copy_in(&mut self, copy: &CopyIn, text: &str, offset: usize) -> Result<(), Stopped> {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        let outcome = self.progress.during(self.session.copy_from(copy, bytes)).await;
        let outcome = outcome.map_err(|error| tell(&error, text, offset))?;
        outcome.notices.iter().for_each(notify);
        if let Body::Done(tag) = outcome.body {
            eprintln!("{tag}");
        }
        Ok(())
    }

    /// Waits for continuous `INSERT`s: until they fail, or for ever.
    async fn wait_for_jobs(&mut self, database: &Database) -> Result<(), Stopped> {
        for job in database.running_inserts() {
            let status = self.progress.during(database.engine().finished(job)).await;
            let status = status.map_err(|error| tell(&error.into(), "", 0))?;
            if status.state == JobState::Failed {
                let message = status.error.unwrap_or_else(|| format!("job {job} failed"));
                let error = SqlError::new(millstream_sql::SqlState::DATA_EXCEPTION, message);
                let error = match status.hint {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                };
                return Err(tell(&error, "", 0));
            }
        }
        Ok(())
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        // A reader that has read enough closes its end.
        if error.kind() == io::ErrorKind::BrokenPipe { Self::Asked } else { Self::Io(error.to_string()) }
    }
}

fn tell(error: &SqlError, text: &str, offset: usize) -> Stopped {
    eprint!("{}", error_text(error, text, offset));
    Stopped::Failed
}

fn notify(notice: &Notice) {
    eprintln!("{}:  {}", notice.severity, notice.message);
}
