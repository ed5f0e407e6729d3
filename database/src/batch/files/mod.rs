//! Files that a query names as tables: from a [`FileScan`] to a relation for the binder, and for Parquet to a table of
//! DataFusion's own, which prunes row groups and reads them in parallel.
//!
//! CSV and JSON are read by the `filesystem` connector, and so is everything where a dataflow reads the files.

mod bucket_store;
mod parquet;
mod types;
mod views;

pub(super) use views::with_views;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use millstream_connectors::{Compression, FoundFiles};
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Boundedness, OptionValues, TableSpec};
use millstream_sql::catalog::{ConnectorTable, Relation};
use millstream_sql::{FileFormat, FileScan, SqlError, SqlState};

/// Files that were looked at.
#[derive(Debug, Clone)]
pub struct OpenFiles {
    /// The relation, under the key of the scan.
    pub relation: Arc<Relation>,
    /// What batch queries read; `None`: the connector.
    pub table: Option<Arc<dyn TableProvider>>,
}

/// Looks at the files of a scan. The relation gets this id.
///
/// # Errors
/// 58P01 where there is no file; where it cannot be read, or is not what its name says.
pub async fn open(context: &SessionContext, scan: &FileScan, id: RelationId) -> Result<OpenFiles, SqlError> {
    let path = millstream_connectors::list_of_paths(&scan.paths);
    let found = blocking(move || Ok(millstream_connectors::find_files(&path)?)).await?;
    let files = found.filter(|files| files.paths().next().is_some()).ok_or_else(|| missing(scan))?;
    let format = match scan.format {
        Some(format) => format,
        None => files.paths().next().and_then(format_of).ok_or_else(|| unknown_format(scan))?,
    };
    let partitions = if scan.flag("hive_partitioning", true) { files.partition_columns() } else { Fields::empty() };
    match format {
        FileFormat::Parquet if for_connector(scan, &files, &partitions) => {
            let table = parquet::table(context, &files, &Fields::empty()).await?;
            let options = parquet::connector_options();
            Ok(by_connector(scan, id, table.schema().fields(), &partitions, options))
        }
        FileFormat::Parquet => {
            let table = parquet::table(context, &files, &partitions).await?;
            let relation = relation(scan, id, table.schema(), &partitions, parquet::connector_options());
            Ok(OpenFiles { relation, table: Some(table) })
        }
        FileFormat::Csv => {
            let options = csv_options(scan);
            let inferred = blocking(move || Ok(millstream_connectors::infer_csv(&files, &options)?)).await?;
            let (columns, mut options) = inferred;
            options.0.insert("format".to_owned(), "csv".to_owned());
            Ok(by_connector(scan, id, &as_asked(scan, &columns)?, &partitions, options))
        }
        FileFormat::Json => {
            let mut options = OptionValues::default();
            if let Some((_, value)) = scan.options.iter().find(|(name, _)| name == "ignore_errors") {
                options.0.insert("json.ignore-parse-errors".to_owned(), value.clone());
            }
            let inferred = blocking(move || Ok(millstream_connectors::infer_json(&files, &options)?)).await?;
            let (columns, mut options) = inferred;
            options.0.insert("format".to_owned(), "json".to_owned());
            Ok(by_connector(scan, id, &columns, &partitions, options))
        }
    }
}

/// Whether Parquet files are to be read by the connector: DataFusion does not look at the directories of partitions where it is
/// given a pattern or a list, knows no partition of null, and has no column of the file's name.
fn for_connector(scan: &FileScan, files: &FoundFiles, partitions: &Fields) -> bool {
    let one = matches!(scan.paths.as_slice(), [path] if !path.contains(['*', '?', '[']));
    scan.flag("filename", false) || (!partitions.is_empty() && (!one || files.has_null_partition()))
}

/// The columns of CSV files under the names and types that the query gives them.
fn as_asked(scan: &FileScan, columns: &Fields) -> Result<Fields, SqlError> {
    if scan.names.len() > columns.len() {
        let message = format!("names has {} names, the files have {} columns", scan.names.len(), columns.len());
        return Err(placed(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message), scan));
    }
    let texts = scan.flag("all_varchar", false);
    let asked = columns.iter().enumerate().map(|(index, column)| {
        let name = scan.names.get(index).unwrap_or(column.name());
        let data_type = if texts { &DataType::Utf8 } else { column.data_type() };
        Field::new(name, data_type.clone(), column.is_nullable())
    });
    Ok(asked.collect())
}

/// Runs what reads files on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SqlError> + Send + 'static,
) -> Result<T, SqlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))?
}

/// What the name of a file says, endings of compression not counted.
fn format_of(file: &Path) -> Option<FileFormat> {
    let name = file.file_name()?.to_str()?.to_ascii_lowercase();
    let packed = match Compression::of(file) {
        Compression::None => None,
        Compression::Gzip
        | Compression::Zstd
        | Compression::Deflate
        | Compression::Snappy
        | Compression::Bzip2
        | Compression::Xz => name.rsplit_once('.'),
    };
    match (packed.map_or(name.as_str(), |(name, _)| name).rsplit('.').next()?, packed.is_some()) {
        ("parquet" | "parq", false) => Some(FileFormat::Parquet),
        ("csv" | "tsv", _) => Some(FileFormat::Csv),
        ("json" | "jsonl" | "ndjson", _) => Some(FileFormat::Json),
        _ => None,
    }
}

/// The options of the connector that the arguments of `read_csv` stand for.
fn csv_options(scan: &FileScan) -> OptionValues {
    let mut options = OptionValues::default();
    for (name, value) in &scan.options {
        let key = match name.as_str() {
            "header" => "csv.header",
            "delimiter" => "csv.field-delimiter",
            "quote" => "csv.quote-character",
            "escape" => "csv.escape-character",
            "null" => "csv.null-literal",
            "comments" => "csv.allow-comments",
            "ignore_errors" => "csv.ignore-parse-errors",
            _ => continue,
        };
        options.0.insert(key.to_owned(), value.clone());
    }
    // Nothing between two delimiters is null in a file that nobody declared; `""` is the empty text.
    options.0.entry("csv.null-literal".to_owned()).or_default();
    options
}

fn by_connector(
    scan: &FileScan,
    id: RelationId,
    columns: &Fields,
    partitions: &Fields,
    options: OptionValues,
) -> OpenFiles {
    let columns = columns.iter().filter(|column| partitions.find(column.name()).is_none());
    let schema = Schema::new(columns.chain(partitions.iter()).cloned().collect::<Vec<_>>());
    OpenFiles { relation: relation(scan, id, Arc::new(schema), partitions, options), table: None }
}

/// The relation of files: a table of the `filesystem` connector whose last columns are the partitions, and the name of the file
/// where it is asked for.
fn relation(
    scan: &FileScan,
    id: RelationId,
    schema: SchemaRef,
    partitions: &Fields,
    mut options: OptionValues,
) -> Arc<Relation> {
    options.0.insert("path".to_owned(), millstream_connectors::list_of_paths(&scan.paths));
    let columns = schema.fields().len();
    let partitioned_by = (columns - partitions.len().min(columns)..columns).collect();
    let schema = if scan.flag("filename", false) { with_file_name(&schema) } else { schema };
    let spec = TableSpec { name: scan.key.clone(), partitioned_by, schema, options, primary_key: Vec::new() };
    let table =
        ConnectorTable { connector: "filesystem".to_owned(), spec, watermark: None, boundedness: Boundedness::Bounded };
    Arc::new(Relation::undeclared(id, table))
}

/// A schema with column `filename` behind the others.
fn with_file_name(schema: &Schema) -> SchemaRef {
    let key = HashMap::from([(TableSpec::METADATA_KEY.to_owned(), "file.path".to_owned())]);
    let name = Arc::new(Field::new("filename", DataType::Utf8, true).with_metadata(key));
    let fields: Vec<_> = schema.fields().iter().filter(|field| field.name() != name.name()).cloned().collect();
    Arc::new(Schema::new(fields.into_iter().chain([name]).collect::<Vec<_>>()))
}

fn placed(error: SqlError, scan: &FileScan) -> SqlError {
    match scan.position {
        Some(position) => error.at(position),
        None => error,
    }
}

fn missing(scan: &FileScan) -> SqlError {
    let message = format!("could not open file \"{}\": no such file or directory", scan.path());
    placed(SqlError::new(SqlState::UNDEFINED_FILE, message), scan)
}

fn unknown_format(scan: &FileScan) -> SqlError {
    let message = format!("cannot tell the format of \"{}\" by its name", scan.path());
    let hint = "names end in .parquet, .csv, .json, .jsonl or .ndjson; else use read_parquet, read_csv or read_json";
    placed(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint), scan)
}

/// Absolute, as tables are read wherever the server stands.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
