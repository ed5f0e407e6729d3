//! Exactly once: messages that are staged with a checkpoint and sent in a transaction of Kafka when it is complete.
//!
//! There is one decision: the checkpoint's manifest. A row is in the topic if and only if it came before a checkpoint that is
//! complete. How that is held, though a transaction of Kafka belongs to the connection that began it and cannot be taken
//! over, so that a prepared one is lost with its process:
//!
//! - **Stage.** Until a checkpoint the messages of a shard are kept in the state store, as chunks. When the checkpoint is
//!   prepared all chunks are durable, and its token names them, the shard's *lane* and a *number* that grows.
//! - **Commit.** When the manifest is durable, the chunks are sent in one transaction that also sets the *ledger*, the offset
//!   of a consumer group named as the lane, to the number. Then the chunks are deleted.
//! - **Recover.** A token whose chunks are gone is committed. For another one a producer is made with the transactional id of
//!   its lane. That aborts or completes what a dead or slow process had begun, and shuts it out (its epoch is old). Only then
//!   the ledger is read: a number not below the token's says that the transaction was committed, together with its messages
//!   or not at all. Else the chunks are sent again.
//!
//! Why no order of crashes breaks it. *Before the manifest:* the token is in no checkpoint, nothing was sent, the rows are read
//! again and staged again. *Between manifest and commit, or in the midst of it:* the transaction is aborted by the next producer
//! of the lane and sent again. *Between commit and the deletion of the chunks:* the ledger says so. *A process that lives on
//! though another has taken over* can only commit what is in a durable manifest, which is rightly in the topic; it either has
//! the epoch, or reads the ledger after it got the epoch, as everybody does: so a number is committed once. A new writer of a
//! lane takes numbers above its ledger.
//!
//! As a transaction lasts only as long as sending what is staged, it does not hold back those who read the topic for a
//! checkpoint's interval, and `transaction.timeout.ms` need not be longer than a checkpoint and a restart: one that runs out is
//! aborted by the broker and sent again. Rows are never lost with a transaction. The price is that they are written to the
//! state store once.
//!
//! Brokers forget the offsets of a group that is not used (`offsets.retention.minutes`, 7 days). The ledger is only asked where
//! chunks are still there: a server that dies between a commit and the deletion of its chunks, and is away for longer than that,
//! sends these rows again.

mod format_staged;
mod format_token;
mod transactor;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use millstream_engine::error::{EngineError, Result};
use millstream_engine::message::Epoch;
use millstream_engine::ports::{CommitToken, MemoryStateStore, SINK_AREA, SinkContext, SinkRecovery, StateStore};

use self::format_staged::Chunk;
use self::format_token::Staged;
use self::transactor::Transactor;
use self::worker::Worker;
use super::outgoing::Outgoing;
use super::settings::Settings;

/// A chunk of this size is written.
const CHUNK_BYTES: usize = 4 << 20;

/// Bytes that wait to be written above which no more rows are taken.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// The transactions of one shard of one sink.
pub(super) struct Lane {
    name: String,
    topic: String,
    /// Partitions of the topic.
    pub(super) partitions: usize,
    /// The last number that was given.
    number: i64,
    /// What the paths of its chunks begin with.
    prefix: String,
    chunk: Chunk,
    /// The paths of the chunks since the last checkpoint, and how many there were in all.
    chunks: Vec<String>,
    written: u64,
    /// Those that may be committed.
    prepared: Vec<CommitToken>,
    keeper: Worker<(String, Vec<u8>)>,
    /// The last chunk that was asked to be written, and the last one of those that were prepared.
    kept: u64,
    awaited: u64,
    committer: Worker<Staged>,
    /// The last transaction that was asked for.
    committing: u64,
}

/// Whose transactions.
pub(super) struct LaneName<'a> {
    /// `sink.transactional-id-prefix`.
    pub(super) prefix: &'a str,
    pub(super) topic: &'a str,
    /// A text that no other process and no other time has.
    pub(super) run: &'a str,
}

impl LaneName<'_> {
    /// The lane of a shard.
    fn of(&self, context: &SinkContext, shard: usize) -> String {
        let own = format!("{}-{}-{}-{shard}", self.prefix, context.job, context.sink);
        // Nobody continues where there are no checkpoints: nobody may be shut out either.
        if context.store.is_some() { own } else { format!("{own}-{}", self.run) }
    }
}

/// Lanes that wait for their writers. The brokers take a while for each, so that all of a job are opened at once.
#[derive(Default)]
pub(super) struct OpenedLanes(Vec<(String, Transactor)>);

impl OpenedLanes {
    /// Forgets those that no writer has come for.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn take(&mut self, lane: &str) -> Option<Transactor> {
        let place = self.0.iter().position(|(name, _)| name == lane)?;
        Some(self.0.swap_remove(place).1)
    }

    /// Opens the lanes of this shard and of those behind it.
    fn open(&mut self, settings: &Settings, name: &LaneName<'_>, context: &SinkContext) -> Result<()> {
        let open = |shard: usize| -> Result<(String, Transactor)> {
            let lane = name.of(context, shard);
            let mut transactor = Transactor::new(settings.clone(), &lane, name.topic);
            transactor.begin()?;
            Ok((lane, transactor))
        };
        let open = &open;
        self.0 = thread::scope(|scope| {
            let threads: Vec<_> =
                (context.shard..context.shards).map(|shard| scope.spawn(move || open(shard))).collect();
            let ended = |thread: thread::ScopedJoinHandle<'_, Result<(String, Transactor)>>| {
                thread.join().unwrap_or_else(|_| Err(EngineError::Internal("a lane could not be opened".into())))
            };
            // All of them end before one of them fails.
            let all: Vec<Result<(String, Transactor)>> = threads.into_iter().map(ended).collect();
            all.into_iter().collect::<Result<_>>()
        })?;
        Ok(())
    }
}

impl Lane {
    /// A lane for one writer. Whoever wrote in it before is shut out.
    ///
    /// # Errors
    /// Where the brokers do not answer, or forbid transactions.
    pub(super) fn open(
        settings: &Settings,
        name: &LaneName<'_>,
        context: &SinkContext,
        opened: &mut OpenedLanes,
    ) -> Result<Self> {
        let LaneName { topic, run, .. } = *name;
        let lane = name.of(context, context.shard);
        let store = context.store.clone().unwrap_or_else(|| Arc::<MemoryStateStore>::default());
        let mut transactor = match opened.take(&lane) {
            Some(transactor) => transactor,
            None => {
                opened.open(settings, name, context)?;
                opened.take(&lane).ok_or_else(|| EngineError::Internal("a lane that is not open".into()))?
            }
        };
        let (committed, partitions) = transactor.begin()?;
        let to = Arc::clone(&store);
        let keeper = Worker::new("kafka-keeper", context.wake.clone(), move |(path, bytes): (String, Vec<u8>), _| {
            to.put(&path, &bytes)
        })?;
        let mut sweep =
            Some(Sweep { area: context.area(), shard: context.shard, shards: context.shards, run: run.into() });
        let committer = Worker::new("kafka-committer", context.wake.clone(), move |staged: Staged, stopped| {
            transactor.commit(&staged, &*store, stopped)?;
            forget(&*store, &staged);
            if let Some(sweep) = sweep.take() {
                sweep.run(&*store);
            }
            Ok(())
        })?;
        Ok(Self {
            name: lane,
            topic: topic.to_owned(),
            partitions,
            number: committed.unwrap_or(0),
            prefix: format!("{}{}-{run}-", context.area(), context.shard),
            chunk: Chunk::default(),
            chunks: Vec::new(),
            written: 0,
            prepared: Vec::new(),
            keeper,
            kept: 0,
            awaited: 0,
            committer,
            committing: 0,
        })
    }

    /// Whether more messages may be staged.
    pub(super) fn ready(&self) -> bool {
        self.keeper.bytes() < WAITING_BYTES_MAX
    }

    /// Stages a message.
    ///
    /// # Errors
    /// Where it is too long to be written.
    pub(super) fn stage(&mut self, message: &Outgoing<'_>) -> Result<()> {
        self.chunk.push(message)?;
        if self.chunk.len() >= CHUNK_BYTES {
            self.keep();
        }
        Ok(())
    }

    fn keep(&mut self) {
        let path = format!("{}{:08}", self.prefix, self.written);
        self.written += 1;
        self.chunks.push(path.clone());
        let bytes = self.chunk.finish();
        let length = bytes.len();
        self.kept = self.keeper.ask((path, bytes), length);
    }

    /// Ends what is staged: it can be committed when [`Self::is_prepared`]. `None` where nothing is.
    pub(super) fn prepare(&mut self, epoch: Epoch) -> Option<CommitToken> {
        if self.chunk.len() > 0 {
            self.keep();
        }
        if self.chunks.is_empty() {
            return None;
        }
        self.awaited = self.kept;
        self.number = i64::try_from(epoch.0).unwrap_or(0).max(self.number + 1);
        let (lane, topic) = (self.name.clone(), self.topic.clone());
        let chunks = std::mem::take(&mut self.chunks);
        let token = Staged { lane, number: self.number, topic, chunks }.write();
        self.prepared.push(token.clone());
        Some(token)
    }

    /// Whether all that was prepared is durable.
    ///
    /// # Errors
    /// Where it cannot be made so.
    pub(super) fn is_prepared(&self) -> Result<bool> {
        self.keeper.has_done(self.awaited)
    }

    /// Begins to commit what was prepared. What others prepared was committed when they were recovered.
    ///
    /// # Errors
    /// Where the token is not of this connector.
    pub(super) fn commit(&mut self, token: &CommitToken) -> Result<()> {
        if let Some(place) = self.prepared.iter().position(|prepared| prepared == token) {
            self.prepared.remove(place);
            self.committing = self.committer.ask(Staged::read(token)?, 0);
        }
        Ok(())
    }

    /// Whether all that was to be committed is.
    ///
    /// # Errors
    /// Where it could not be.
    pub(super) fn is_committed(&self) -> Result<bool> {
        self.committer.has_done(self.committing)
    }
}

/// Commits what is part of a checkpoint and may not be in the topic yet.
///
/// # Errors
/// Where the brokers do not answer, or do not take it.
pub(super) fn recover(settings: &Settings, recovery: &SinkRecovery<'_>) -> Result<()> {
    if recovery.kept.is_empty() {
        return Ok(());
    }
    let there: BTreeSet<String> = recovery.store.list(&format!("{SINK_AREA}{}/", recovery.job))?.into_iter().collect();
    let mut lanes: BTreeMap<(String, String), Vec<Staged>> = BTreeMap::new();
    for token in recovery.kept {
        let staged = Staged::read(token)?;
        if staged.chunks.iter().all(|path| there.contains(path)) {
            lanes.entry((staged.lane.clone(), staged.topic.clone())).or_default().push(staged);
        }
    }
    for ((lane, topic), mut all) in lanes {
        all.sort_by_key(|staged| staged.number);
        let mut transactor = Transactor::new(settings.clone(), &lane, &topic);
        for staged in all {
            transactor.commit(&staged, &**recovery.store, &|| false)?;
            forget(&**recovery.store, &staged);
        }
    }
    Ok(())
}

/// Deletes what is committed. What stays is found to be committed by the ledger.
fn forget(store: &dyn StateStore, staged: &Staged) {
    for path in &staged.chunks {
        if let Err(error) = store.delete(path) {
            tracing::warn!(%error, "messages that are committed cannot be deleted");
        }
    }
}

/// Deletes the chunks that earlier writers of a shard left outside of every checkpoint. Not before this one's first checkpoint
/// is complete: until then one of theirs may turn out to be.
struct Sweep {
    area: String,
    shard: usize,
    shards: usize,
    run: String,
}

impl Sweep {
    fn run(&self, store: &dyn StateStore) {
        let is_left = |path: &&String| {
            let name = path.strip_prefix(&self.area).and_then(|name| name.split_once('-'));
            name.is_some_and(|(shard, rest)| {
                let shard = shard.parse().ok();
                let is_own = shard == Some(self.shard) || (self.shard == 0 && shard >= Some(self.shards));
                is_own && !rest.starts_with(&self.run)
            })
        };
        let listed = store.list(&self.area);
        let swept = listed.and_then(|paths| paths.iter().filter(is_left).try_for_each(|path| store.delete(path)));
        if let Err(error) = swept {
            tracing::warn!(%error, "what an earlier writer left cannot be deleted");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settings() -> Settings {
        use arrow::datatypes::{DataType, Field, Schema};
        use millstream_engine::ports::{OptionValues, TableSpec};
        let options = [("topic", "t"), ("format", "json"), ("properties.bootstrap.servers", "127.0.0.1:1")];
        let options: BTreeMap<String, String> = options.map(|(key, value)| (key.into(), value.into())).into();
        let spec = TableSpec {
            name: "t".into(),
            schema: Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)])),
            options: OptionValues(options),
            partitioned_by: Vec::new(),
            primary_key: Vec::new(),
        };
        Settings::new(super::super::settings::Flavour::Append, &spec).unwrap()
    }

    #[test]
    fn what_is_no_longer_kept_needs_no_broker() {
        let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::default());
        let staged = |chunks: &[&str]| {
            let chunks = chunks.iter().map(|chunk| (*chunk).to_owned()).collect();
            Staged { lane: "l".into(), number: 3, topic: "t".into(), chunks }.write()
        };
        let recover = |token: &CommitToken| {
            let kept = std::slice::from_ref(token);
            recover(&settings(), &SinkRecovery { job: "j", sink: 0, kept, store: &store })
        };
        store.put("sinks/j/0/0-r-00000001", b"").unwrap();
        // One of two chunks was deleted already: the transaction is committed.
        recover(&staged(&["sinks/j/0/0-r-00000000", "sinks/j/0/0-r-00000001"])).unwrap();
        assert!(recover(&CommitToken("{}".into())).is_err());
    }

    #[test]
    fn what_earlier_writers_left_is_swept() {
        let store = MemoryStateStore::default();
        let names = ["0-old-1", "0-new-1", "1-old-1", "2-old-1", "3-old-1", "x"];
        for name in names {
            store.put(&format!("sinks/j/7/{name}"), b"").unwrap();
        }
        let sweep = |shard| Sweep { area: "sinks/j/7/".into(), shard, shards: 2, run: "new".into() }.run(&store);
        sweep(1);
        assert_eq!(store.list("sinks/j/7/").unwrap().len(), 5);
        sweep(0);
        assert_eq!(store.list("sinks/j/7/").unwrap(), ["sinks/j/7/0-new-1", "sinks/j/7/x"]);
    }
}
