//! The `print` connector: writes each change as a line, `+I[1, a]` or `-D[1, a]`, to standard output.
//!
//! An update is two lines, the old row's `-U` and the new row's `+U`, where they stand together as updating operators
//! emit them; Flink's marks.

use std::fmt::{self, Write as _};
use std::io::{self, Write};
use std::sync::Arc;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use millstream_engine::message::{Delta, Epoch};
use millstream_engine::ports::{
    Accepts, Boundedness, Capabilities, CommitToken, Connector, ConnectorDescriptor, Guarantee, OptionDescriptor,
    OptionType, ScanRequest, Sink, SinkContext, SinkWriter, Source, TableSpec,
};
use millstream_engine::{EngineError, Result};

use crate::formats::change_column::mark;

/// See the module.
#[derive(Debug)]
pub(crate) struct Print {
    descriptor: ConnectorDescriptor,
}

impl Default for Print {
    fn default() -> Self {
        let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
        let identifier = option("print-identifier", OptionType::String, None, "Text before each line.");
        let error = option("standard-error", OptionType::Boolean, Some("false"), "Write to standard error instead.");
        Self {
            descriptor: ConnectorDescriptor {
                name: "print",
                doc: "Writes each change as a line to standard output or error.",
                options: vec![identifier, error],
                capabilities: Capabilities { sink: true, sink_retracts: true, ..Capabilities::default() },
                metadata: Vec::new(),
            },
        }
    }
}

impl Connector for Print {
    fn descriptor(&self) -> &ConnectorDescriptor {
        &self.descriptor
    }

    fn validate(&self, _table: &TableSpec) -> Result<()> {
        Ok(())
    }

    fn source(&self, table: &TableSpec, _request: &ScanRequest) -> Result<Arc<dyn Source>> {
        Err(EngineError::config(format!("table \"{}\" cannot be read: print keeps no rows", table.name)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let identifier = table.options.get("print-identifier").map(str::to_owned);
        let error = table.options.get("standard-error").is_some_and(|text| text.eq_ignore_ascii_case("true"));
        Ok(Arc::new(PrintSink { identifier, error }))
    }

    fn boundedness(&self, _table: &TableSpec) -> Boundedness {
        Boundedness::Bounded
    }
}

#[derive(Debug, Clone)]
struct PrintSink {
    identifier: Option<String>,
    error: bool,
}

impl Sink for PrintSink {
    fn accepts(&self) -> Accepts {
        Accepts::Retract
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        // As Flink: the number of the writer stands before the row where there are several.
        let prefix = match (&self.identifier, context.shards) {
            (Some(identifier), 1) => format!("{identifier}> "),
            (Some(identifier), _) => format!("{identifier}:{}> ", context.shard + 1),
            (None, 1) => String::new(),
            (None, _) => format!("{}> ", context.shard + 1),
        };
        Ok(Box::new(PrintWriter { prefix, error: self.error }))
    }

    fn describe(&self) -> String {
        "print".into()
    }
}

struct PrintWriter {
    prefix: String,
    error: bool,
}

impl SinkWriter for PrintWriter {
    fn write(&mut self, delta: &Delta) -> Result<()> {
        let text = lines(delta, &self.prefix)?;
        let written = if self.error {
            io::stderr().lock().write_all(text.as_bytes())
        } else {
            let mut out = io::stdout().lock();
            out.write_all(text.as_bytes()).and_then(|()| out.flush())
        };
        written.map_err(|error| EngineError::io("cannot print", error))
    }

    fn prepare(&mut self, _epoch: Epoch) -> Result<Option<CommitToken>> {
        Ok(None)
    }

    fn commit(&mut self, _token: &CommitToken) -> Result<()> {
        Ok(())
    }

    fn on_end(&mut self) {}
}

/// The lines of a delta.
fn lines(delta: &Delta, prefix: &str) -> Result<String> {
    let options = FormatOptions::default().with_null("null");
    let columns = delta.batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    for row in 0..delta.rows() {
        let mark = mark(delta, row);
        write_row(&mut text, prefix, mark, &columns, row)
            .map_err(|_| EngineError::Evaluate("a value cannot be printed".into()))?;
    }
    Ok(text)
}

fn write_row(text: &mut String, prefix: &str, mark: &str, columns: &[ArrayFormatter<'_>], row: usize) -> fmt::Result {
    write!(text, "{prefix}{mark}[")?;
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        write!(text, "{}", column.value(row))?;
    }
    text.push_str("]\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use arrow::buffer::BooleanBuffer;

    use super::*;

    #[test]
    fn updates_inserts_and_deletes_have_their_marks() {
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 2, 3]));
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), Some("b"), None, Some("c")]));
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
        let delta = Delta::signed(batch, BooleanBuffer::from(vec![false, true, false, true]));
        let want = "x> +I[1, a]\nx> -U[2, b]\nx> +U[2, null]\nx> -D[3, c]\n";
        assert_eq!(lines(&delta, "x> ").unwrap(), want);
    }
}
