//! `COPY … TO` a directory: part files as the `filesystem` connector writes them, in directories `column=value` where
//! `PARTITION_BY` says so. They are seen when all of them are whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use millstream_connectors::find_files;
use millstream_engine::ports::{Boundedness, OptionValues, TableSpec};
use millstream_sql::ast::{CopyCompression, CopyExisting, CopyFormat, CopyOptions};
use millstream_sql::bound::BoundQuery;
use millstream_sql::catalog::{ConnectorTable, Relation};
use millstream_sql::{SqlError, SqlState};

use super::job::{blocking, open_sink};
use super::{Outcome, Session};

/// `duplicate_file`
const DUPLICATE_FILE: SqlState = SqlState("58P02");

/// Whether a path is that of a directory to be written to, and not of a file.
pub(super) fn is_folder(path: &str, options: &CopyOptions) -> bool {
    path.ends_with('/') || !options.partition_by.is_empty() || Path::new(path).is_dir()
}

impl Session {
    /// Writes the rows of a query to a directory. The answer is that of an `INSERT`.
    pub(super) async fn copy_to_folder(
        &self,
        query: &BoundQuery,
        path: &str,
        options: &CopyOptions,
    ) -> Result<Outcome, SqlError> {
        let looked_at = path.to_owned();
        let present = blocking(move || Ok(find_files(&looked_at)?)).await?;
        let present: Vec<PathBuf> = present.iter().flat_map(|files| files.paths()).map(Path::to_owned).collect();
        match options.existing {
            CopyExisting::Refuse if !present.is_empty() => {
                let error = SqlError::new(DUPLICATE_FILE, format!("directory \"{path}\" is not empty"));
                return Err(error.with_hint("OVERWRITE removes the files that are there, APPEND leaves them"));
            }
            CopyExisting::Overwrite if path.contains("://") => {
                return Err(SqlError::unsupported("COPY … TO an object store does not overwrite a directory"));
            }
            CopyExisting::Refuse | CopyExisting::Append | CopyExisting::Overwrite => (),
        }
        let target = target(self.database.catalog().next_id(), query, path, options)?;
        let sink = open_sink(self.database.catalog(), &target)?;
        let outcome = self.insert_batch(&target, sink, query).await?;
        if options.existing == CopyExisting::Overwrite {
            blocking(move || remove(&present)).await?;
        }
        Ok(outcome)
    }
}

/// The table that the directory is while it is written.
fn target(
    id: millstream_engine::plan::RelationId,
    query: &BoundQuery,
    path: &str,
    options: &CopyOptions,
) -> Result<Relation, SqlError> {
    let place = |name: &String| {
        let found = query.schema.fields().iter().position(|field| field.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column \"{name}\" of PARTITION_BY does not exist"))
        })
    };
    let partitioned_by = options.partition_by.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    if partitioned_by.len() == query.schema.fields().len() {
        let message = "PARTITION_BY names all columns: none is left for the files";
        return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    }
    let fields = query.schema.fields().iter().map(|field| match field.data_type() {
        DataType::Utf8View | DataType::LargeUtf8 => Arc::new(Field::new(field.name(), DataType::Utf8, true)),
        _ => Arc::clone(field),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut spec = TableSpec {
        name: path.to_owned(),
        schema,
        options: OptionValues::default(),
        primary_key: Vec::new(),
        partitioned_by,
    };
    spec.options.0.insert("path".to_owned(), path.to_owned());
    for (name, value) in format(options)? {
        spec.options.0.insert(name.to_owned(), value);
    }
    let table =
        ConnectorTable { connector: "filesystem".to_owned(), spec, watermark: None, boundedness: Boundedness::Bounded };
    Ok(Relation::undeclared(id, table))
}

/// The options of the connector that those of the statement stand for.
fn format(options: &CopyOptions) -> Result<Vec<(&'static str, String)>, SqlError> {
    let character = |byte: u8| char::from(byte).to_string();
    match options.format {
        CopyFormat::Parquet => Ok(vec![
            ("format", "parquet".to_owned()),
            (
                "parquet.compression",
                match options.compression {
                    None | Some(CopyCompression::Snappy) => "SNAPPY",
                    Some(CopyCompression::Zstd) => "ZSTD",
                    Some(CopyCompression::None | CopyCompression::Gzip) => "UNCOMPRESSED",
                }
                .to_owned(),
            ),
        ]),
        CopyFormat::Json | CopyFormat::Csv
            if options.compression.is_some_and(|asked| asked != CopyCompression::None) =>
        {
            let error = SqlError::unsupported("COPY … TO a directory does not pack files of json and csv");
            Err(error.with_hint("a file can be packed: COPY … TO 'name.csv.gz'"))
        }
        CopyFormat::Json => Ok(vec![("format", "json".to_owned())]),
        CopyFormat::Csv => {
            let mut csv = vec![
                ("format", "csv".to_owned()),
                ("csv.header", options.header.to_string()),
                ("csv.field-delimiter", character(options.delimiter)),
                ("csv.quote-character", character(options.quote)),
                ("csv.null-literal", options.null.clone()),
            ];
            // A quote that is doubled stands for itself anyhow.
            if options.escape != options.quote {
                csv.push(("csv.escape-character", character(options.escape)));
            }
            Ok(csv)
        }
        CopyFormat::Text => {
            let error = SqlError::unsupported("COPY … TO a directory is not in format text");
            Err(error.with_hint("the formats are csv, json and parquet: (FORMAT parquet)"))
        }
    }
}

/// Removes the files that new ones have taken the place of.
fn remove(files: &[PathBuf]) -> Result<(), SqlError> {
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let message = format!("could not remove file \"{}\": {error}", file.display());
                return Err(SqlError::new(SqlState::IO_ERROR, message));
            }
            Ok(()) | Err(_) => (),
        }
    }
    Ok(())
}
