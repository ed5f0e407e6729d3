//! [`SessionIndex`]: which sessions are open for which key, and when they close.
//!
//! A session is `[first, last + gap]`: as in Flink, rows exactly a gap apart are one session. Closing sessions are found
//! through a calendar of buckets; an entry whose session has grown since is put into the bucket of its new end.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use crate::error::Result;
use crate::message::Epoch;
use crate::operators::group_table::GroupTable;
use crate::operators::told::{Telling, Told};

/// In place of a slot: the row is late.
pub(super) const LATE: u32 = u32::MAX;

/// See the module. Each session has a slot, for what its owner keeps of it.
pub(super) struct SessionIndex {
    gap: i64,
    table: GroupTable,
    keys: Vec<KeySessions>,
    calendar: BTreeMap<i64, Vec<(u32, u32)>>,
    bucket: i64,
    free: Vec<u32>,
    /// The slot of the key of each session, and whether the session is open: by its slot.
    owners: Vec<u32>,
    live: Vec<bool>,
    told: Told,
}

/// The open sessions of one key: mostly one.
#[derive(Default, Clone)]
struct KeySessions {
    first: Option<Session>,
    more: Vec<Session>,
}

/// An open session.
#[derive(Clone, Copy)]
pub(super) struct Session {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) slot: u32,
}

/// A closed session and the slot of its key.
#[derive(Clone, Copy)]
pub(super) struct Closed {
    pub(super) key: u32,
    pub(super) session: Session,
}

/// Two sessions became one: the slots of the rows before, and what was merged into what.
pub(super) struct Merge<'a> {
    pub(super) placed: &'a [u32],
    pub(super) from: u32,
    pub(super) into: u32,
}

impl SessionIndex {
    pub(super) fn new(gap: i64, types: &[DataType]) -> Result<Self> {
        Ok(Self {
            gap,
            table: GroupTable::new(types)?,
            keys: Vec::new(),
            calendar: BTreeMap::new(),
            bucket: (gap / 8).max(1_000),
            free: Vec::new(),
            owners: Vec::new(),
            live: Vec::new(),
            told: Told::default(),
        })
    }

    /// Slots ever handed out.
    pub(super) fn capacity_slots(&self) -> usize {
        self.live.len()
    }

    /// Finds or opens the session of each row; appends its slot, or [`LATE`], to `placed`. `merged` is told of sessions
    /// that a row joins into one, before that row is placed.
    pub(super) fn place(
        &mut self,
        keys: &[ArrayRef],
        times: &[i64],
        watermark: i64,
        placed: &mut Vec<u32>,
        merged: &mut dyn FnMut(Merge<'_>) -> Result<()>,
    ) -> Result<()> {
        let (mut of_key, first) = (Vec::with_capacity(times.len()), placed.len());
        self.table.intern(keys, times.len(), &mut of_key)?;
        self.keys.resize(self.table.capacity_slots(), KeySessions::default());
        let mut lonely = Vec::new();
        for (&key, &time) in of_key.iter().zip(times) {
            let end = time.saturating_add(self.gap);
            let sessions = &mut self.keys[key as usize];
            // The usual case: the one open session of the key goes on.
            if let (Some(open), true) = (&mut sessions.first, sessions.more.is_empty())
                && open.start <= end
                && time <= open.end
            {
                open.start = open.start.min(time);
                open.end = open.end.max(end);
                placed.push(open.slot);
                continue;
            }
            let slot = self.place_slowly(key, time, end, watermark, placed, merged)?;
            if slot == LATE {
                lonely.push(key);
            }
            placed.push(slot);
        }
        self.forget(&lonely);
        self.told.touch(placed.iter().skip(first).copied().filter(|slot| *slot != LATE));
        Ok(())
    }

    fn place_slowly(
        &mut self,
        key: u32,
        time: i64,
        end: i64,
        watermark: i64,
        placed: &[u32],
        merged: &mut dyn FnMut(Merge<'_>) -> Result<()>,
    ) -> Result<u32> {
        let sessions = &mut self.keys[key as usize];
        let touches = |session: &Session| session.start <= end && time <= session.end;
        let all = sessions.first.take().into_iter().chain(sessions.more.drain(..));
        let (mut touched, rest): (Vec<Session>, Vec<Session>) = all.partition(touches);
        let found = touched.pop();
        let session = match found {
            Some(mut session) => {
                session.start = session.start.min(time);
                session.end = session.end.max(end);
                for gone in touched {
                    merged(Merge { placed, from: gone.slot, into: session.slot })?;
                    session.start = session.start.min(gone.start);
                    session.end = session.end.max(gone.end);
                    self.live[gone.slot as usize] = false;
                    self.free.push(gone.slot);
                }
                Some(session)
            }
            None if end.saturating_sub(1_000) <= watermark => None,
            None => {
                let slot = self.open_slot(key);
                self.calendar.entry(end.div_euclid(self.bucket)).or_default().push((key, slot));
                Some(Session { start: time, end, slot })
            }
        };
        let sessions = &mut self.keys[key as usize];
        sessions.more = rest;
        sessions.first = session.or_else(|| sessions.more.pop());
        Ok(session.map_or(LATE, |session| session.slot))
    }

    /// Takes out the sessions that a watermark closes, in order of their ends.
    pub(super) fn close(&mut self, watermark: i64) -> Vec<Closed> {
        let due = watermark.saturating_add(1_000).div_euclid(self.bucket);
        let later = self.calendar.split_off(&due.saturating_add(1));
        let entries = std::mem::replace(&mut self.calendar, later);
        let mut closed = Vec::new();
        for (key, slot) in entries.into_values().flatten() {
            let sessions = &mut self.keys[key as usize];
            let Some(session) = sessions.iter().find(|session| session.slot == slot).copied() else { continue };
            if session.end.saturating_sub(1_000) <= watermark {
                sessions.remove(slot);
                closed.push(Closed { key, session });
            } else {
                self.calendar.entry(session.end.div_euclid(self.bucket)).or_default().push((key, slot));
            }
        }
        closed.sort_by_key(|closed| (closed.session.end, closed.key));
        closed
    }

    /// The end of the session that closes first, or an earlier moment that is after all of an empty part of the
    /// calendar: whoever closes at that moment and asks again gets on.
    pub(super) fn next_end(&self) -> Option<i64> {
        let mut buckets = self.calendar.iter();
        let (first, entries) = buckets.next()?;
        let open = |(key, slot): &(u32, u32)| {
            let sessions = self.keys.get(*key as usize)?;
            sessions.iter().find(|session| session.slot == *slot).map(|session| session.end)
        };
        let start = |bucket: i64| bucket.saturating_mul(self.bucket);
        let end = entries.iter().filter_map(open).min().unwrap_or_else(|| start(*first));
        // Sessions of the first bucket may have grown beyond those of the next.
        Some(buckets.next().map_or(end, |(next, _)| end.min(start(*next))))
    }

    /// The key columns of closed (or open) sessions.
    pub(super) fn key_columns(&self, sessions: &[Closed]) -> Result<Vec<ArrayRef>> {
        let keys: Vec<u32> = sessions.iter().map(|closed| closed.key).collect();
        self.table.keys(&keys)
    }

    /// Gives back the slots of closed sessions, once their owner has emptied them.
    pub(super) fn release(&mut self, closed: &[Closed]) {
        for closed in closed {
            self.live[closed.session.slot as usize] = false;
            self.free.push(closed.session.slot);
        }
        let keys: Vec<u32> = closed.iter().map(|closed| closed.key).collect();
        self.forget(&keys);
    }

    /// A slot for a new session of a key.
    fn open_slot(&mut self, key: u32) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.owners.push(key);
            self.live.push(true);
            // There are fewer sessions than keys and rows, which are 32 bits wide.
            (self.live.len() - 1) as u32
        });
        self.owners[slot as usize] = key;
        self.live[slot as usize] = true;
        slot
    }

    /// What a capture at `epoch` tells of the open sessions to whoever has that of `base`; and those it tells.
    pub(super) fn capture(&mut self, epoch: Epoch, base: Option<Epoch>) -> (Telling, Vec<Closed>) {
        let telling = self.told.tell(epoch, base, &self.live);
        let of = |slot: &u32| {
            let key = self.owners[*slot as usize];
            let session = self.keys[key as usize].iter().find(|session| session.slot == *slot).copied()?;
            Some(Closed { key, session })
        };
        let sessions = telling.slots.iter().filter_map(of).collect();
        (telling, sessions)
    }

    /// Opens sessions as they were; gives their slots.
    pub(super) fn reopen(&mut self, keys: &[ArrayRef], spans: &[(i64, i64)]) -> Result<Vec<u32>> {
        let mut of_key = Vec::new();
        self.table.intern(keys, spans.len(), &mut of_key)?;
        self.keys.resize(self.table.capacity_slots(), KeySessions::default());
        let mut slots = Vec::with_capacity(spans.len());
        for (&key, &(start, end)) in of_key.iter().zip(spans) {
            let slot = self.open_slot(key);
            let sessions = &mut self.keys[key as usize];
            sessions.more.extend(sessions.first.replace(Session { start, end, slot }));
            self.calendar.entry(end.div_euclid(self.bucket)).or_default().push((key, slot));
            slots.push(slot);
        }
        Ok(slots)
    }

    /// Forgets those of the keys that have no session.
    fn forget(&mut self, keys: &[u32]) {
        let empty: Vec<u32> = keys.iter().copied().filter(|&key| self.keys[key as usize].first.is_none()).collect();
        self.table.remove(&empty);
    }
}

impl KeySessions {
    fn iter(&self) -> impl Iterator<Item = &Session> {
        self.first.iter().chain(&self.more)
    }

    fn remove(&mut self, slot: u32) {
        if self.first.is_some_and(|first| first.slot == slot) {
            self.first = self.more.pop();
        } else {
            self.more.retain(|session| session.slot != slot);
        }
    }
}
