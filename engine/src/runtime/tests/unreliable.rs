//! [`Unreliable`]: a store that fails as stores do, by a seed.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{EngineError, Result};
use crate::ports::StateStore;

/// A store some of whose calls fail.
#[derive(Debug)]
pub(super) struct Unreliable {
    inner: Arc<dyn StateStore>,
    one_in: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: u64,
    /// Calls until the process dies: then nothing is answered any more. `None`: it lives.
    left: Option<u64>,
    /// Writes that come later.
    late: Vec<Write>,
    /// Of all calls and what became of them.
    trace: u64,
}

#[derive(Debug, Clone)]
struct Write {
    path: String,
    bytes: Vec<u8>,
    if_absent: bool,
}

/// What becomes of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fate {
    Done,
    /// Nothing happens.
    Lost,
    /// Half of it is there.
    Torn,
    /// It is done, and nobody is told.
    Unanswered,
    /// It is done later, and nobody is told.
    Late,
}

impl Unreliable {
    /// A store of whose calls one in `one_in` fails; 0: none.
    pub(super) fn new(inner: Arc<dyn StateStore>, seed: u64, one_in: u64) -> Self {
        let state = State { random: seed, left: None, late: Vec::new(), trace: 0 };
        Self { inner, one_in, state: Mutex::new(state) }
    }

    /// The process dies with the call after so many others, and is there again with the next call of this.
    pub(super) fn dies_after(&self, calls: Option<u64>) {
        self.state.lock().left = calls;
    }

    /// A number for all calls so far and what became of them.
    pub(super) fn trace(&self) -> u64 {
        self.state.lock().trace
    }

    fn fate(&self, path: &str, bytes: &[u8], one_in: u64) -> Fate {
        let mut state = self.state.lock();
        let last = state.left == Some(0);
        let dead = state.left.is_some_and(|left| left == u64::MAX);
        state.left = state.left.map(|left| left.wrapping_sub(u64::from(!dead)));
        let fails = last || (one_in > 0 && state.random(one_in) == 0);
        let fate = match (dead, fails) {
            (true, _) => Fate::Lost,
            (false, false) => Fate::Done,
            (false, true) => {
                let fates = [Fate::Lost, Fate::Torn, Fate::Unanswered, Fate::Late];
                fates[usize::try_from(state.random(4)).unwrap()]
            }
        };
        let mut hasher = Xxh3::with_seed(state.trace);
        // What is written is as long as it was where it is the same: of long objects the ends are enough.
        let ends = [&bytes[..bytes.len().min(64)], &bytes[bytes.len() - bytes.len().min(64)..]];
        (path, bytes.len(), ends, fate).hash(&mut hasher);
        state.trace = hasher.finish();
        fate
    }

    /// What is late may come now.
    fn deliver(&self) {
        let due = {
            let mut state = self.state.lock();
            if state.late.is_empty() || state.random(4) > 0 { None } else { Some(state.late.remove(0)) }
        };
        match due {
            Some(write) if write.if_absent => drop(self.inner.put_if_absent(&write.path, &write.bytes).unwrap()),
            Some(write) => self.inner.put(&write.path, &write.bytes).unwrap(),
            None => {}
        }
    }

    fn write(&self, write: Write) -> Result<bool> {
        self.deliver();
        let fate = self.fate(&write.path, &write.bytes, self.one_in);
        let put = |bytes: &[u8]| match write.if_absent {
            true => self.inner.put_if_absent(&write.path, bytes),
            false => self.inner.put(&write.path, bytes).map(|()| true),
        };
        match fate {
            Fate::Done => return put(&write.bytes),
            Fate::Lost => {}
            Fate::Torn => drop(put(&write.bytes[..write.bytes.len() / 2])?),
            Fate::Unanswered => drop(put(&write.bytes)?),
            Fate::Late => self.state.lock().late.push(write.clone()),
        }
        Err(no_answer())
    }

    fn check(&self, path: &str, one_in: u64) -> Result<()> {
        self.deliver();
        if self.fate(path, &[], one_in) == Fate::Done { Ok(()) } else { Err(no_answer()) }
    }
}

impl State {
    fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(97);
        (self.random >> 33) % below
    }
}

fn no_answer() -> EngineError {
    EngineError::io("the store", "no answer")
}

impl StateStore for Unreliable {
    fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.write(Write { path: path.to_owned(), bytes: bytes.to_vec(), if_absent: false }).map(drop)
    }

    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        self.write(Write { path: path.to_owned(), bytes: bytes.to_vec(), if_absent: true })
    }

    fn get(&self, path: &str) -> Result<Option<Vec<u8>>> {
        // Recovery reads many objects: it would never succeed.
        self.check(path, self.one_in * 16)?;
        self.inner.get(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.check(prefix, self.one_in)?;
        self.inner.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<()> {
        self.deliver();
        match self.fate(path, &[], self.one_in) {
            Fate::Done => self.inner.delete(path),
            Fate::Lost | Fate::Torn | Fate::Late => Err(no_answer()),
            Fate::Unanswered => {
                self.inner.delete(path)?;
                Err(no_answer())
            }
        }
    }

    fn describe(&self) -> String {
        "unreliable".into()
    }
}
