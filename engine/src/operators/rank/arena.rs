//! [`RowArena`]: rows as bytes, found by number.
//!
//! Rows lie in segments. A segment of which most is dead is emptied into the current one, so that memory stays within
//! about twice what lives, without a long pause. Numbers stay as long as their rows.

use crate::error::{EngineError, Result};

/// Bytes after which a segment is full. A longer row has one of its own.
const SEGMENT_BYTES: usize = 1 << 20;

/// See the module. A row has a sort key and the rest.
#[derive(Default)]
pub(crate) struct RowArena {
    segments: Vec<Segment>,
    /// Where each row lies.
    places: Vec<Place>,
    /// Whether a number is a row's.
    live: Vec<bool>,
    /// Numbers and segments that can be used again.
    free: Vec<u32>,
    free_segments: Vec<usize>,
    current: usize,
}

#[derive(Default)]
struct Segment {
    bytes: Vec<u8>,
    /// The rows that were put here, dead ones too.
    ids: Vec<u32>,
    dead: usize,
}

#[derive(Clone, Copy, Default)]
struct Place {
    segment: u32,
    start: u32,
    len: u32,
    sort_len: u32,
}

impl RowArena {
    /// Keeps a row; gives its number.
    ///
    /// # Errors
    /// Where there are over 2^32 rows, or a row has over 2 GiB.
    pub(crate) fn push(&mut self, sort_key: &[u8], rest: &[u8]) -> Result<u32> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.places.push(Place::default());
                self.live.push(false);
                u32::try_from(self.places.len() - 1).map_err(|_| too_large())?
            }
        };
        self.place(id, sort_key, rest)?;
        self.live[id as usize] = true;
        Ok(id)
    }

    /// Which numbers are rows', by number.
    pub(crate) fn live(&self) -> &[bool] {
        &self.live
    }

    fn place(&mut self, id: u32, sort_key: &[u8], rest: &[u8]) -> Result<()> {
        let current = self.segments.get(self.current);
        if current.is_none_or(|segment| segment.bytes.len() + sort_key.len() + rest.len() > SEGMENT_BYTES) {
            self.current = self.free_segments.pop().unwrap_or_else(|| {
                self.segments.push(Segment::default());
                self.segments.len() - 1
            });
        }
        let segment = &mut self.segments[self.current];
        let number = |value: usize| u32::try_from(value).map_err(|_| too_large());
        self.places[id as usize] = Place {
            segment: number(self.current)?,
            start: number(segment.bytes.len())?,
            len: number(sort_key.len() + rest.len())?,
            sort_len: number(sort_key.len())?,
        };
        segment.bytes.extend_from_slice(sort_key);
        segment.bytes.extend_from_slice(rest);
        segment.ids.push(id);
        Ok(())
    }

    /// The sort key of a row.
    pub(crate) fn sort_key(&self, id: u32) -> &[u8] {
        let place = self.places[id as usize];
        &self.segments[place.segment as usize].bytes[place.start as usize..][..place.sort_len as usize]
    }

    /// What a row has besides its sort key.
    pub(crate) fn rest(&self, id: u32) -> &[u8] {
        let place = self.places[id as usize];
        let row = &self.segments[place.segment as usize].bytes[place.start as usize..][..place.len as usize];
        &row[place.sort_len as usize..]
    }

    /// Forgets rows. Their numbers are handed out again.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub(crate) fn remove(&mut self, ids: &[u32]) -> Result<()> {
        for &id in ids {
            let place =
                std::mem::replace(&mut self.places[id as usize], Place { segment: u32::MAX, ..Place::default() });
            self.free.push(id);
            self.live[id as usize] = false;
            let at = place.segment as usize;
            let Some(segment) = self.segments.get_mut(at) else { continue };
            segment.dead += place.len as usize;
            if at != self.current && segment.dead * 2 >= segment.bytes.len() {
                self.empty(at)?;
            }
        }
        Ok(())
    }

    /// Moves what lives in a segment to the current one.
    fn empty(&mut self, at: usize) -> Result<()> {
        let segment = std::mem::take(&mut self.segments[at]);
        for id in segment.ids {
            let place = self.places[id as usize];
            if place.segment as usize == at {
                let row = &segment.bytes[place.start as usize..][..place.len as usize];
                let (sort_key, rest) = row.split_at(place.sort_len as usize);
                self.place(id, sort_key, rest)?;
            }
        }
        self.free_segments.push(at);
        Ok(())
    }
}

fn too_large() -> EngineError {
    EngineError::Unsupported("over 2^32 rows kept in order on one shard".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_outlive_the_segments_they_were_put_in() {
        let mut arena = RowArena::default();
        let row = |number: u32| number.to_le_bytes().repeat(100);
        let ids: Vec<u32> =
            (0..20_000).map(|number| arena.push(&row(number)[..8], &row(number)[8..]).unwrap()).collect();
        let (gone, kept): (Vec<u32>, Vec<u32>) = ids.iter().partition(|id| *id % 7 != 0);
        arena.remove(&gone).unwrap();
        for &id in &kept {
            assert_eq!([arena.sort_key(id), arena.rest(id)].concat(), row(id));
        }
        let bytes: usize = arena.segments.iter().map(|segment| segment.bytes.len()).sum();
        assert!(bytes < 3 * kept.len() * 400 + SEGMENT_BYTES, "{bytes} bytes are kept");
        let again = arena.push(b"a", b"b").unwrap();
        assert!(gone.contains(&again));
        assert_eq!((arena.sort_key(again), arena.rest(again)), (&b"a"[..], &b"b"[..]));
    }

    #[test]
    fn a_row_may_be_longer_than_a_segment() {
        let mut arena = RowArena::default();
        let long = vec![7; 3 * SEGMENT_BYTES];
        let ids = [arena.push(&[], &long).unwrap(), arena.push(&[1], &[]).unwrap()];
        assert_eq!(arena.rest(ids[0]), long);
        assert_eq!(arena.sort_key(ids[1]), [1]);
    }
}
