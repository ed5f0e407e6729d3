//! [`Apart`]: a reader that waits for a network, read on a thread of its own, so that a shard does not wait for it.
//!
//! One poll is always ahead of the shard's. Where the shard has what was read, the next poll is under way.

use std::sync::{Arc, LazyLock};

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{ReadContext, ReadPoll, SplitReader, WakeHandle};
use millstream_engine::rejects::Rejects;
use millstream_engine::time::ProcessingTime;
use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};

/// Files that are read at the same time; further ones wait.
const THREADS_MAX: usize = 64;

/// Its threads wait for the network.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).max_blocking_threads(THREADS_MAX).thread_name("millstream-files").build()
});

/// Makes the reader, on the thread where it is read.
type Open = Box<dyn FnOnce() -> Result<Box<dyn SplitReader>> + Send>;

/// See the module.
pub(super) struct Apart {
    state: State,
    /// Where the rows that were given away end.
    offset: String,
}

enum State {
    /// Not opened yet; `Some`: to be continued from an offset.
    New(Open, Option<String>),
    /// Open, and nothing under way.
    Idle(Box<dyn SplitReader>),
    /// A poll is under way, or its answer waits; whether it was told of a flush.
    Away(Arc<Mutex<Option<Read>>>, bool),
    /// It has failed.
    Broken,
}

/// What a poll gave.
struct Read {
    reader: Option<Box<dyn SplitReader>>,
    answer: Result<ReadPoll>,
    rejects: Rejects,
    offset: String,
}

/// What a poll is told.
struct Ask {
    rows_max: usize,
    now: ProcessingTime,
    flushing: bool,
    rejects: Rejects,
    wake: WakeHandle,
}

impl Ask {
    fn of(context: &ReadContext<'_>) -> Self {
        Self {
            rows_max: context.rows_max,
            now: context.now,
            flushing: context.flushing,
            rejects: Rejects::new(context.rejects.on_error),
            wake: context.wake.clone(),
        }
    }
}

impl Apart {
    /// A reader that stands at offset `start` when it is made.
    pub(super) fn new(start: String, open: impl FnOnce() -> Result<Box<dyn SplitReader>> + Send + 'static) -> Self {
        Self { state: State::New(Box::new(open), None), offset: start }
    }

    /// Sends the reader off for its next rows.
    fn send(&mut self, ask: Ask) -> Result<()> {
        let runtime = RUNTIME.as_ref().map_err(|error| EngineError::io("could not start a thread for files", error))?;
        let slot = Arc::new(Mutex::new(None));
        let into = Arc::clone(&slot);
        let open: Open = match std::mem::replace(&mut self.state, State::Away(slot, ask.flushing)) {
            State::Idle(reader) => Box::new(move || Ok(reader)),
            State::New(open, None) => open,
            State::New(open, Some(offset)) => Box::new(move || {
                let mut reader = open()?;
                reader.seek(&offset)?;
                Ok(reader)
            }),
            State::Away(..) | State::Broken => {
                return Err(EngineError::Internal("a reader of files was sent off twice".to_owned()));
            }
        };
        runtime.spawn_blocking(move || {
            let (read, wake) = read(open, ask);
            *into.lock() = Some(read);
            wake.wake();
        });
        Ok(())
    }
}

/// Opens a reader where it is not, and polls it once.
fn read(open: Open, ask: Ask) -> (Read, WakeHandle) {
    let Ask { rows_max, now, flushing, mut rejects, wake } = ask;
    let mut reader = match open() {
        Ok(reader) => reader,
        Err(error) => return (Read { reader: None, answer: Err(error), rejects, offset: String::new() }, wake),
    };
    let mut context = ReadContext { rows_max, now, flushing, wake: &wake, rejects: &mut rejects };
    let answer = reader.poll(&mut context);
    let offset = reader.offset();
    (Read { reader: Some(reader), answer, rejects, offset }, wake)
}

impl SplitReader for Apart {
    fn poll(&mut self, context: &mut ReadContext<'_>) -> Result<ReadPoll> {
        let (slot, told) = match &self.state {
            State::New(..) | State::Idle(_) => {
                self.send(Ask::of(context))?;
                return Ok(ReadPoll::Fetching { retry_at: None });
            }
            State::Away(slot, flushing) => (Arc::clone(slot), *flushing),
            State::Broken => return Err(EngineError::Internal("a reader of files is read after it failed".to_owned())),
        };
        let Some(read) = slot.lock().take() else { return Ok(ReadPoll::Fetching { retry_at: None }) };
        context.rejects.absorb(read.rejects);
        self.state = State::Broken;
        let answer = read.answer?;
        self.offset = read.offset;
        self.state = read.reader.map_or(State::Broken, State::Idle);
        match &answer {
            ReadPoll::Batch(_) | ReadPoll::Changes(_) => self.send(Ask::of(context))?,
            // What has come since it looked must be in this flush.
            ReadPoll::Pending { .. } if context.flushing && !told => {
                self.send(Ask::of(context))?;
                return Ok(ReadPoll::Fetching { retry_at: None });
            }
            // Nothing is ahead: the next poll must hear of the time and of a flush.
            ReadPoll::Fetching { .. } | ReadPoll::Pending { .. } | ReadPoll::Splits(_) | ReadPoll::End => {}
        }
        Ok(answer)
    }

    fn offset(&self) -> String {
        self.offset.clone()
    }

    fn seek(&mut self, offset: &str) -> Result<()> {
        match std::mem::replace(&mut self.state, State::Broken) {
            State::New(open, _) => self.state = State::New(open, Some(offset.to_owned())),
            State::Idle(mut reader) => {
                let offset = offset.to_owned();
                self.state = State::New(
                    Box::new(move || {
                        reader.seek(&offset)?;
                        Ok(reader)
                    }),
                    None,
                );
            }
            State::Away(..) | State::Broken => {
                return Err(EngineError::Internal("a reader of files was moved while it reads".to_owned()));
            }
        }
        self.offset = offset.to_owned();
        Ok(())
    }
}
