//! [`BucketStore`]: a bucket as an object store of DataFusion, which reads Parquet there as it does on this machine: only the
//! columns and row groups that a query needs, several at a time. Nothing is written through it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use datafusion::object_store::path::Path;
use datafusion::object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryStreamExt};
use millstream_connectors::bucket::{Bucket, Object};

/// Requests for ranges of one file at a time.
const RANGES_AT_A_TIME: usize = 8;

/// See the module.
#[derive(Debug)]
pub(super) struct BucketStore(pub(super) Arc<Bucket>);

impl fmt::Display for BucketStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl BucketStore {
    /// Makes a call on a thread that may wait.
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Bucket) -> millstream_engine::Result<T> + Send + 'static,
    ) -> Result<T> {
        let bucket = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || call(&bucket)).await;
        done.map_err(failed)?.map_err(failed)
    }

    async fn range(&self, key: String, range: Range<u64>) -> Result<Bytes> {
        self.call(move |bucket| bucket.get_range(&key, range)).await
    }
}

fn failed(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "bucket", source: Box::new(source) }
}

fn unsupported(what: &str) -> Error {
    Error::NotSupported { source: format!("a bucket that is read takes no {what}").into() }
}

fn meta(object: &Object) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location: Path::parse(&object.key)?,
        last_modified: DateTime::from_timestamp_millis(object.modified_ms).unwrap_or_default(),
        size: object.size,
        e_tag: None,
        version: None,
    })
}

#[async_trait]
impl ObjectStore for BucketStore {
    async fn put_opts(&self, _location: &Path, _payload: PutPayload, _options: PutOptions) -> Result<PutResult> {
        Err(unsupported("objects"))
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(unsupported("objects"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let key = location.as_ref().to_owned();
        let found = self.call(move |bucket| bucket.head(&key)).await?;
        let missing = || Error::NotFound { path: location.to_string(), source: "no such object".into() };
        let meta = meta(&found.ok_or_else(missing)?)?;
        options.check_preconditions(&meta)?;
        let range = match &options.range {
            Some(range) => range.as_range(meta.size).map_err(failed)?,
            None => 0..meta.size,
        };
        let bytes = match options.head {
            true => Bytes::new(),
            false => self.range(location.as_ref().to_owned(), range.clone()).await?,
        };
        let payload = GetResultPayload::Stream(stream::once(std::future::ready(Ok(bytes))).boxed());
        Ok(GetResult { payload, meta, range, attributes: Attributes::new() })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let key = location.as_ref();
        let pieces: Vec<_> = ranges.iter().map(|range| self.range(key.to_owned(), range.clone()).boxed()).collect();
        stream::iter(pieces).buffered(RANGES_AT_A_TIME).try_collect().await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        locations.map(|_| Err(unsupported("deletions"))).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let prefix = prefix.map_or_else(String::new, |prefix| format!("{prefix}/"));
        let store = Self(Arc::clone(&self.0));
        let listed = async move { store.call(move |bucket| bucket.list(&prefix)).await };
        // Names that are no paths are markers of directories.
        let objects = |objects: Vec<Object>| {
            let files = objects.into_iter().filter(|object| !object.key.ends_with('/'));
            stream::iter(files.map(|object| meta(&object)).collect::<Vec<_>>())
        };
        stream::once(listed).map_ok(objects).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let root = Path::default();
        let base = prefix.unwrap_or(&root);
        let (mut common_prefixes, mut objects) = (Vec::<Path>::new(), Vec::new());
        for object in self.list(prefix).try_collect::<Vec<_>>().await? {
            let mut below = object.location.prefix_match(base).into_iter().flatten();
            let Some(first) = below.next() else { continue };
            if below.next().is_none() {
                drop(below);
                objects.push(object);
                continue;
            }
            let directory = base.clone().join(first);
            if common_prefixes.last() != Some(&directory) {
                common_prefixes.push(directory);
            }
        }
        Ok(ListResult { common_prefixes, objects })
    }

    async fn copy_opts(&self, _from: &Path, _to: &Path, _options: CopyOptions) -> Result<()> {
        Err(unsupported("copies"))
    }
}
