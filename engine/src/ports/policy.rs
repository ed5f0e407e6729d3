//! What a table's options say about rows that fail: sources and sinks with a policy, whatever their connector.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{
    Accepts, Boundedness, Guarantee, OptionValues, Sink, SinkContext, SinkRecovery, SinkWriter, Source, Split,
    SplitPlace, SplitReader,
};
use crate::error::Result;
use crate::message::Delta;
use crate::plan::ChangelogMode;
use crate::rejects::{OnError, RejectKind, Rejects, narrow};

/// The option of tables that are read.
pub const SOURCE_ON_ERROR: &str = "on-error";

/// The option of tables that are written.
pub const SINK_ON_ERROR: &str = "sink.on-error";

/// What is done with rows of a table that break its format.
pub fn source_policy(options: &OptionValues) -> OnError {
    options.get(SOURCE_ON_ERROR).and_then(OnError::parse).unwrap_or_default()
}

/// What is done with rows that a table refuses.
pub fn sink_policy(options: &OptionValues) -> OnError {
    options.get(SINK_ON_ERROR).and_then(OnError::parse).unwrap_or_default()
}

/// A source with another policy than its own.
pub fn source_with(source: Arc<dyn Source>, on_error: OnError) -> Arc<dyn Source> {
    if source.on_error() == on_error { source } else { Arc::new(WithPolicy { inner: source, on_error }) }
}

/// A sink with another policy than its own.
pub fn sink_with(sink: Arc<dyn Sink>, on_error: OnError) -> Arc<dyn Sink> {
    if sink.on_error() == on_error { sink } else { Arc::new(WithPolicy { inner: sink, on_error }) }
}

/// Hands rows to a writer; those that it refuses are rejected where they are not to end the writing.
///
/// # Errors
/// What the writer reports.
pub fn write(writer: &mut dyn SinkWriter, delta: &Delta, rejects: &mut Rejects) -> Result<()> {
    match rejects.on_error {
        OnError::Fail => writer.write(delta),
        OnError::Skip | OnError::Table => {
            narrow(RejectKind::Sink, delta, rejects, &mut |part| writer.write(part)).map(|_| ())
        }
    }
}

struct WithPolicy<T: ?Sized> {
    inner: Arc<T>,
    on_error: OnError,
}

impl<T: fmt::Debug + ?Sized> fmt::Debug for WithPolicy<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Source for WithPolicy<dyn Source> {
    fn schema(&self) -> SchemaRef {
        self.inner.schema()
    }

    fn boundedness(&self) -> Boundedness {
        self.inner.boundedness()
    }

    fn changelog(&self) -> ChangelogMode {
        self.inner.changelog()
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }

    fn stream_key(&self) -> Option<Vec<usize>> {
        self.inner.stream_key()
    }

    fn replayable(&self) -> bool {
        self.inner.replayable()
    }

    fn splits(&self, parallelism: usize) -> Result<Vec<Split>> {
        self.inner.splits(parallelism)
    }

    fn resume(&self, known: &[SplitPlace]) -> Result<Vec<Split>> {
        self.inner.resume(known)
    }

    fn reader(&self, split: &Split) -> Result<Box<dyn SplitReader>> {
        self.inner.reader(split)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl Sink for WithPolicy<dyn Sink> {
    fn accepts(&self) -> Accepts {
        self.inner.accepts()
    }

    fn upsert_key(&self) -> Option<Vec<usize>> {
        self.inner.upsert_key()
    }

    fn on_error(&self) -> OnError {
        self.on_error
    }

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    fn withholds(&self) -> bool {
        self.inner.withholds()
    }

    fn recover(&self, recovery: &SinkRecovery<'_>) -> Result<()> {
        self.inner.recover(recovery)
    }

    fn run(&self) -> Option<String> {
        self.inner.run()
    }

    fn settle(&self, run: &str) -> Result<()> {
        self.inner.settle(run)
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        self.inner.writer(context)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
