//! The options of a `filesystem` table, read and checked.

use arrow::datatypes::Fields;
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{Boundedness, OptionDescriptor, OptionType, TableSpec};
use regex::Regex;

use super::listing::Location;
use super::partition;
use crate::formats::change_column::OWN_NAME;
use crate::formats::{FORMATS, Format};

/// The option that makes files of rows files of changes.
pub(super) const OP_COLUMN: &str = "changelog.op-column";

/// The option that says from which size on a file is read in parts.
const SPLIT_SIZE: &str = "source.split-size";
const SPLIT_BYTES: u64 = 128 << 20;

/// What the options of a table say.
#[derive(Debug, Clone)]
pub(super) struct FileTable {
    /// Where its files are.
    pub(super) location: Location,
    /// How rows stand in them.
    pub(super) format: Format,
    /// Microseconds between two looks for new files; `None`: the files are read once.
    pub(super) monitor_interval_us: Option<i64>,
    /// Bytes from which a file is read in parts.
    pub(super) split_bytes: u64,
    /// Directory name for null.
    pub(super) default_partition: String,
    /// Rows come and go: the column of the files that tells which, behind the table's own.
    pub(super) op_column: Option<String>,
}

impl FileTable {
    /// Reads the options.
    ///
    /// # Errors
    /// Where they cannot work.
    pub(super) fn new(spec: &TableSpec) -> Result<Self> {
        let options = &spec.options;
        let path = options
            .get("path")
            .ok_or_else(|| EngineError::config(format!("table \"{}\" has no option \"path\"", spec.name)))?;
        let pattern = match options.get("source.path.regex-pattern") {
            None => None,
            Some(text) => Some(Regex::new(&format!("^(?:{text})$")).map_err(|error| {
                EngineError::config(format!("option \"source.path.regex-pattern\" is no regular expression: {error}"))
            })?),
        };
        let table = Self {
            location: Location::parse(path)?.with_pattern(pattern),
            format: Format::from_options(&spec.name, options)?,
            monitor_interval_us: match options.get("source.monitor-interval") {
                Some(_) => Some(options.duration_us("source.monitor-interval", 0)?),
                None => None,
            },
            split_bytes: options.memory_size(SPLIT_SIZE, SPLIT_BYTES)?.max(1),
            default_partition: options.get("partition.default-name").unwrap_or(partition::DEFAULT_NAME).to_owned(),
            op_column: None,
        };
        let op_column = options.get(OP_COLUMN).map(str::to_owned);
        if op_column.is_some() && (table.format.tells_changes() || matches!(table.format, Format::Raw)) {
            let message = format!("format \"{}\" takes no option \"{OP_COLUMN}\"", table.format.name());
            return Err(EngineError::config(message));
        }
        let own = || table.format.tells_changes().then(|| OWN_NAME.to_owned());
        let op_column = op_column.or_else(own);
        if let Some(name) = op_column.as_ref().filter(|name| spec.schema.field_with_name(name).is_ok()) {
            return Err(EngineError::Config {
                message: format!("column \"{name}\" of option \"{OP_COLUMN}\" is a column of table \"{}\"", spec.name),
                hint: Some("the column stands in the files only: do not declare it".to_owned()),
            });
        }
        let table = Self { op_column, ..table };
        Ok(table)
    }

    /// Whether reading ends.
    pub(super) fn boundedness(&self) -> Boundedness {
        match self.monitor_interval_us {
            Some(_) => Boundedness::Unbounded,
            None => Boundedness::Bounded,
        }
    }

    /// Indexes of the columns that stand in the files: neither metadata nor partition columns.
    pub(super) fn stored(&self, spec: &TableSpec) -> Vec<usize> {
        let fields = spec.schema.fields().iter().enumerate();
        fields
            .filter(|(index, field)| {
                !field.metadata().contains_key(TableSpec::METADATA_KEY) && !spec.partitioned_by.contains(index)
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// Checks the columns against the format.
    ///
    /// # Errors
    /// Where the format cannot carry one of them, or a partition column has no text.
    pub(super) fn check_columns(&self, spec: &TableSpec) -> Result<()> {
        let stored: Fields =
            self.stored(spec).iter().filter_map(|index| spec.schema.fields().get(*index).cloned()).collect();
        self.format.check(&stored)?;
        for field in spec.partitioned_by.iter().filter_map(|index| spec.schema.fields().get(*index)) {
            if !crate::formats::is_text_scalar(field.data_type()) {
                return Err(EngineError::config(format!(
                    "table \"{}\" cannot be partitioned by \"{}\" of type {}",
                    spec.name,
                    field.name(),
                    crate::formats::sql_name(field.data_type())
                )));
            }
        }
        Ok(())
    }
}

/// The options of a source and those common to source and sink.
pub(super) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    let mut options = vec![
        OptionDescriptor {
            name: "path",
            kind: OptionType::String,
            required: true,
            default: None,
            doc: "A file, a directory (read with all below it) or a glob pattern; a local path or a URL with file://, s3://, gs:// or az://. Files of text formats may be packed: .gz, .zst, .bz2, .xz, .deflate, .snappy.",
        },
        OptionDescriptor {
            name: "format",
            kind: OptionType::Choice(FORMATS),
            required: true,
            default: None,
            doc: "How rows stand in the files.",
        },
        option(
            "source.monitor-interval",
            OptionType::Duration,
            None,
            "How often to look for new files; each is read once. Without it the table is read once and ends.",
        ),
        option(
            "source.path.regex-pattern",
            OptionType::String,
            None,
            "Only files whose whole path matches this regular expression are read.",
        ),
        option(
            OP_COLUMN,
            OptionType::String,
            None,
            "Rows come and go: the name of the column of the files that tells +I, -U, +U or -D. It is not declared.",
        ),
        option(
            SPLIT_SIZE,
            OptionType::MemorySize,
            Some("128MB"),
            "A bigger file is read in parts of about this size: Parquet by row groups; lines of JSON, raw and CSV without quotes by bytes.",
        ),
        option(
            "partition.default-name",
            OptionType::String,
            Some(partition::DEFAULT_NAME),
            "Directory name for a null or empty partition column.",
        ),
    ];
    options.extend(Format::options());
    options
}
