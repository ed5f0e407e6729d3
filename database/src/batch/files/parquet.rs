//! Parquet files as a table of DataFusion: row groups pruned by their statistics, several partitions at once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::Fields;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::prelude::SessionContext;
use millstream_engine::ports::OptionValues;
use millstream_sql::SqlError;

use super::{absolute, types};
use crate::errors::from_datafusion;

/// The files of a path as a table; the partition columns come last.
pub(super) async fn table(
    context: &SessionContext,
    path: &str,
    files: &[PathBuf],
    partitions: &Fields,
) -> Result<Arc<dyn TableProvider>, SqlError> {
    let state = context.state();
    let plain = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
    // Partition columns are told by the part of a path below the table's, so then the path stays whole.
    let urls = if partitions.is_empty() {
        files.iter().map(|file| file_url(file)).collect::<Result<Vec<_>, _>>()
    } else {
        ListingTableUrl::parse(absolute(Path::new(plain)).to_string_lossy()).map(|url| vec![url])
    };
    let urls = urls.map_err(from_datafusion)?;
    let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
    let named = files.iter().all(|file| file.extension().is_some_and(|ending| ending == "parquet"));
    let columns = partitions.iter().map(|field| (field.name().clone(), field.data_type().clone())).collect();
    let options = ListingOptions::new(Arc::new(format))
        .with_file_extension(if named { ".parquet" } else { "" })
        .with_table_partition_cols(columns);
    let mut schemas = Vec::with_capacity(urls.len());
    for url in &urls {
        let schema = options.infer_schema(&state, url).await.map_err(from_datafusion)?;
        schemas.push(types::readable(&schema).as_ref().clone());
    }
    let merged = arrow::datatypes::Schema::try_merge(schemas).map_err(crate::errors::from_arrow)?;
    let config =
        ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options).with_schema(Arc::new(merged));
    let table = ListingTable::try_new(config).map_err(from_datafusion)?;
    let cache = context.runtime_env().cache_manager.get_file_statistic_cache();
    Ok(Arc::new(table.with_cache(cache)))
}

/// How the connector reads the same files.
pub(super) fn connector_options() -> OptionValues {
    let mut options = OptionValues::default();
    options.0.insert("format".to_owned(), "parquet".to_owned());
    options
}

/// The URL of a file, whatever characters its name has.
fn file_url(file: &Path) -> datafusion::error::Result<ListingTableUrl> {
    let mut url = String::from("file://");
    for byte in absolute(file).to_string_lossy().bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~=+,".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    ListingTableUrl::parse(url)
}
