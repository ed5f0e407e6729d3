//! Parquet files as a table of DataFusion: row groups pruned by their statistics, several partitions at once.

use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Fields, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use millstream_connectors::FoundFiles;
use millstream_engine::ports::OptionValues;
use millstream_sql::error::from_datafusion;
use millstream_sql::{SqlError, SqlState};

use super::bucket_store::BucketStore;
use super::views::{TwoWays, view_schema};
use super::{absolute, types};

/// Files whose schemas are read at the same time.
const SCHEMAS_AT_A_TIME: usize = 16;

/// The files as a table; the partition columns come last.
pub(super) async fn table(
    context: &SessionContext,
    files: &FoundFiles,
    partitions: &Fields,
) -> Result<Arc<dyn TableProvider>, SqlError> {
    let state = context.state();
    let each = files.paths().map(|file| url(files, file, "")).collect::<Result<Vec<_>, _>>();
    let each = each.map_err(from_datafusion)?;
    // Partition columns are told by the part of a path below the table's, so then the path stays whole.
    let urls = if partitions.is_empty() {
        each.clone()
    } else {
        vec![url(files, files.base(), "/").map_err(from_datafusion)?]
    };
    if let (Some(bucket), Some(url)) = (files.bucket(), urls.first()) {
        context.register_object_store(url.object_store().as_ref(), Arc::new(BucketStore(Arc::clone(bucket))));
    }
    let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
    let named = files.paths().all(|file| file.extension().is_some_and(|ending| ending == "parquet"));
    let columns = partitions.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
    let options = ListingOptions::new(Arc::new(format))
        .with_file_extension(if named { ".parquet" } else { "" })
        .with_table_partition_cols(columns);
    let schema_of = |(url, path)| {
        // A damaged schema makes the library assert.
        let read = AssertUnwindSafe(options.infer_schema(&state, url)).catch_unwind();
        let read = read.map(move |read| match read {
            Ok(read) => read.map_err(|error| in_file(path, from_datafusion(error))),
            Err(_) => Err(in_file(path, SqlError::new(SqlState::IO_ERROR, "the file's schema is damaged"))),
        });
        read.boxed()
    };
    let schemas: Vec<_> = each.iter().zip(files.paths()).map(schema_of).collect();
    let schemas: Vec<SchemaRef> = stream::iter(schemas).buffered(SCHEMAS_AT_A_TIME).try_collect().await?;
    let merged = types::merged(&schemas).map_err(|error| SqlError::new(SqlState::DATATYPE_MISMATCH, error))?;
    if merged.fields().is_empty() {
        let message = format!("\"{}\" has no columns: nothing is in its files", files.base().display());
        return Err(SqlError::new(SqlState::DATA_EXCEPTION, message));
    }
    let cache = context.runtime_env().cache_manager.get_file_statistic_cache();
    let table = |schema| -> Result<Arc<dyn TableProvider>, SqlError> {
        let config = ListingTableConfig::new_with_multi_paths(urls.clone()).with_listing_options(options.clone());
        let table = ListingTable::try_new(config.with_schema(schema)).map_err(from_datafusion)?;
        Ok(Arc::new(table.with_cache(cache.clone())))
    };
    let (plain, views) = (table(Arc::new(merged.clone()))?, table(view_schema(&merged))?);
    Ok(Arc::new(TwoWays { plain, views }))
}

/// An error of a file, with its name.
fn in_file(path: &Path, error: SqlError) -> SqlError {
    let message = format!("cannot read Parquet file \"{}\": {}", path.display(), error.parts().message);
    SqlError::new(error.parts().state, message)
}

/// How the connector reads the same files.
pub(super) fn connector_options() -> OptionValues {
    let mut options = OptionValues::default();
    options.0.insert("format".to_owned(), "parquet".to_owned());
    options
}

/// The URL of a file or directory, whatever characters its name has.
///
/// In a bucket the scheme tells the settings too: two buckets of one name at two services are two stores.
fn url(files: &FoundFiles, path: &Path, ending: &str) -> datafusion::error::Result<ListingTableUrl> {
    let (mut url, path) = match files.bucket() {
        None => (String::from("file://"), absolute(path).to_string_lossy().into_owned()),
        Some(bucket) => {
            let key = path.to_string_lossy();
            let key = key.strip_prefix(bucket.name()).unwrap_or(&key);
            (format!("bucket-{:x}://files", bucket.identity()), key.to_owned())
        }
    };
    for byte in path.trim_end_matches('/').bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~=+,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    ListingTableUrl::parse(url + ending)
}
