//! The `filesystem` sink: what its options say, and the [`Sink`] that makes a writer for each shard.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::{FieldRef, Fields};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{
    Accepts, Guarantee, OptionDescriptor, OptionType, OptionValues, Sink, SinkContext, SinkRecovery, SinkWriter,
    TableSpec,
};
use millstream_engine::time::Clock;

use super::format_token;
use super::partition_commit::{Completion, Partitions, Trigger};
use super::table::FileTable;
use super::writer::{FileWriter, tag};
use crate::formats::change_column;

const DEFAULT_FILE_SIZE: u64 = 128 << 20;
const DEFAULT_ROLLOVER_US: i64 = 30 * 60 * 1_000_000;

/// Tells the openings of one process apart.
static OPENINGS: AtomicU64 = AtomicU64::new(0);

/// A table of files, opened for writing.
pub(super) struct FileSink {
    /// Its options.
    pub(super) table: FileTable,
    /// The directory.
    pub(super) directory: PathBuf,
    /// Columns that stand in the files, and their indexes in the input.
    pub(super) stored: (Fields, Vec<usize>),
    /// Names and input indexes of the partition columns.
    pub(super) partitioned_by: Vec<(String, usize)>,
    /// A file of so many bytes is ended.
    pub(super) roll_bytes: u64,
    /// A file of this age is ended at the next epoch.
    pub(super) roll_us: i64,
    /// Marks for complete partitions, where they are asked for.
    pub(super) partitions: Option<Partitions>,
    /// Tells the age of files.
    pub(super) clock: Arc<dyn Clock>,
    /// Part of the file names that no other opening has.
    pub(super) run: String,
}

impl fmt::Debug for FileSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileSink").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl FileSink {
    /// Opens a table for writing.
    ///
    /// # Errors
    /// Where the options or columns cannot be written.
    pub(super) fn new(spec: &TableSpec, clock: Arc<dyn Clock>) -> Result<Self> {
        let table = FileTable::new(spec)?;
        let directory = table.location.path.clone();
        if directory.is_file() {
            return Err(EngineError::Config {
                message: format!(
                    "path \"{}\" of table \"{}\" is a file, not a directory",
                    directory.display(),
                    spec.name
                ),
                hint: Some("rows are written to part files in a directory".to_owned()),
            });
        }
        // Metadata columns are read only and do not come with the rows.
        let is_written = |index: &usize| {
            let field = spec.schema.fields().get(*index);
            field.is_some_and(|field| !field.metadata().contains_key(TableSpec::METADATA_KEY))
        };
        let written: Vec<usize> = (0..spec.schema.fields().len()).filter(is_written).collect();
        let place = |column: &usize| written.iter().position(|index| index == column);
        let stored = table.stored(spec);
        let mut fields: Vec<FieldRef> =
            stored.iter().filter_map(|index| spec.schema.fields().get(*index).cloned()).collect();
        let mut places: Vec<usize> = stored.iter().filter_map(place).collect();
        if let Some(name) = &table.op_column {
            // The writer puts it behind the columns that come in.
            fields.push(change_column::field(name));
            places.push(written.len());
        }
        let partitioned_by = spec
            .partitioned_by
            .iter()
            .filter_map(|index| Some((spec.schema.fields().get(*index)?.name().clone(), place(index)?)))
            .collect();
        let opening = OPENINGS.fetch_add(1, Ordering::Relaxed);
        let run = format!("{:x}-{:x}-{opening:x}", clock.now().0, std::process::id());
        Ok(Self {
            directory,
            stored: (fields.into(), places),
            partitioned_by,
            roll_bytes: spec.options.memory_size("sink.rolling-policy.file-size", DEFAULT_FILE_SIZE)?,
            roll_us: spec.options.duration_us("sink.rolling-policy.rollover-interval", DEFAULT_ROLLOVER_US)?,
            partitions: completion(&spec.options)?.map(|found| Partitions::new(found, table.location.place.clone())),
            table,
            clock,
            run,
        })
    }
}

/// Checks the options that say when a partition is complete.
///
/// # Errors
/// Where they contradict one another or the table.
pub(super) fn check(spec: &TableSpec) -> Result<()> {
    let Some(completion) = completion(&spec.options)? else { return Ok(()) };
    if spec.partitioned_by.is_empty() {
        return Err(EngineError::Config {
            message: format!("table \"{}\" has \"sink.partition-commit.policy.kind\" but no partitions", spec.name),
            hint: Some("add PARTITIONED BY (column, …)".to_owned()),
        });
    }
    let Trigger::PartitionTime(Some(pattern)) = &completion.trigger else { return Ok(()) };
    let names: Vec<&str> = spec
        .partitioned_by
        .iter()
        .filter_map(|index| Some(spec.schema.fields().get(*index)?.name().as_str()))
        .collect();
    for name in pattern.split('$').skip(1) {
        if !names.iter().any(|known| name.starts_with(known)) {
            return Err(EngineError::Config {
                message: format!(
                    "option \"partition.time-extractor.timestamp-pattern\" names no partition column at \"${name}\""
                ),
                hint: Some(format!("the partition columns are {}", names.join(", "))),
            });
        }
    }
    Ok(())
}

/// What the options say about complete partitions; `None` where nothing is to be done about them.
fn completion(options: &OptionValues) -> Result<Option<Completion>> {
    if options.get("sink.partition-commit.policy.kind").is_none() {
        return Ok(None);
    }
    let trigger = match options.get("sink.partition-commit.trigger") {
        Some(word) if word.eq_ignore_ascii_case("partition-time") => {
            Trigger::PartitionTime(options.get("partition.time-extractor.timestamp-pattern").map(str::to_owned))
        }
        Some(_) | None => Trigger::ProcessTime,
    };
    Ok(Some(Completion {
        trigger,
        delay_us: options.duration_us("sink.partition-commit.delay", 0)?,
        success_file: options.get("sink.partition-commit.success-file.name").unwrap_or("_SUCCESS").to_owned(),
    }))
}

/// A [`Sink`] that its writers share.
#[derive(Debug)]
pub(super) struct SharedFileSink(pub(super) Arc<FileSink>);

impl Sink for SharedFileSink {
    fn accepts(&self) -> Accepts {
        if self.0.table.op_column.is_some() { Accepts::Retract } else { Accepts::Append }
    }

    fn guarantee(&self) -> Guarantee {
        // Files appear when the checkpoint that they belong to is complete.
        Guarantee::ExactlyOnce
    }

    fn withholds(&self) -> bool {
        true
    }

    fn recover(&self, recovery: &SinkRecovery<'_>) -> Result<()> {
        let mut hidden = BTreeSet::new();
        for token in recovery.kept {
            hidden.extend(format_token::read(token)?.into_iter().map(|(hidden, _)| hidden));
        }
        self.0.table.location.place.remove_unfinished(&self.0.directory, &tag(recovery.job), &hidden)
    }

    fn run(&self) -> Option<String> {
        Some(self.0.run.clone())
    }

    fn settle(&self, run: &str) -> Result<()> {
        self.0.table.location.place.settle(&self.0.directory, &format!("part-{run}-"))
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(FileWriter::new(Arc::clone(&self.0), &context)))
    }

    fn describe(&self) -> String {
        format!("filesystem {} ({})", self.0.directory.display(), self.0.table.format.name())
    }
}

/// The options of the sink.
pub(super) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    vec![
        option(
            "sink.rolling-policy.file-size",
            OptionType::MemorySize,
            Some("128MB"),
            "A part file of this size is ended and becomes visible.",
        ),
        option(
            "sink.rolling-policy.rollover-interval",
            OptionType::Duration,
            Some("30 min"),
            "A part file of this age is ended at the next epoch and becomes visible.",
        ),
        option(
            "sink.rolling-policy.check-interval",
            OptionType::Duration,
            Some("1 min"),
            "Accepted for Flink's sake: ages are looked at in every epoch.",
        ),
        option(
            "sink.partition-commit.trigger",
            OptionType::Choice(&["process-time", "partition-time"]),
            Some("process-time"),
            "Whether a partition is complete by the clock or by the watermark.",
        ),
        option(
            "sink.partition-commit.delay",
            OptionType::Duration,
            Some("0 s"),
            "How long after the partition's time, or its first row, it is complete.",
        ),
        option(
            "sink.partition-commit.policy.kind",
            OptionType::Choice(&["success-file"]),
            None,
            "What marks a complete partition: success-file writes an empty file into it.",
        ),
        option("sink.partition-commit.success-file.name", OptionType::String, Some("_SUCCESS"), "Name of the mark."),
        option(
            "partition.time-extractor.kind",
            OptionType::Choice(&["default"]),
            Some("default"),
            "How the time of a partition is found: default follows the pattern.",
        ),
        option(
            "partition.time-extractor.timestamp-pattern",
            OptionType::String,
            None,
            "The time of a partition made of its columns, such as '$dt $hm:00'. Without it: the first column.",
        ),
    ]
}
