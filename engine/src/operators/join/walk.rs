//! [`Walk`]: from changed rows of one input to the rows of the other that may be their partners.

use super::NONE;
use super::store::Store;
use crate::message::BATCH_ROWS;

/// Rows that are looked at in one go: whoever fills pairs asks in between whether to go on.
const LOOKS_MAX: usize = 64 * BATCH_ROWS;

/// Goes through the partners of some rows, the drivers, and can stop after any pair.
pub(super) struct Walk<'a> {
    drivers: std::slice::Iter<'a, u32>,
    driver: u32,
    rest: Rest,
    /// The chain to go through after the rest.
    then: u32,
    /// Of a null-aware join: the slot of rows that may equal every row, and are met by every row.
    null_slot: Option<u32>,
}

/// Which rows a driver still has to meet.
enum Rest {
    /// This row and those after it in its chain.
    Chain(u32),
    /// All rows from this one on.
    All(u32),
}

impl<'a> Walk<'a> {
    pub(super) fn new(drivers: &'a [u32], null_slot: Option<u32>) -> Self {
        Self { drivers: drivers.iter(), driver: NONE, rest: Rest::Chain(NONE), then: NONE, null_slot }
    }

    /// Adds pairs (driver, partner) that `accept` lets through until there are [`BATCH_ROWS`], or many rows have been looked at;
    /// `false` when there are no more. `own`: where the drivers are; `other`: where their partners are.
    pub(super) fn fill(
        &mut self,
        own: &Store,
        other: &Store,
        accept: impl Fn(u32, u32) -> bool,
        pairs: &mut (Vec<u32>, Vec<u32>),
    ) -> bool {
        let mut looks = 0;
        while pairs.0.len() < BATCH_ROWS && looks < LOOKS_MAX {
            looks += 1;
            let partner = match self.rest {
                Rest::Chain(NONE) => {
                    if self.then == NONE {
                        if !self.start(own, other) {
                            return false;
                        }
                    } else {
                        self.rest = Rest::Chain(std::mem::replace(&mut self.then, NONE));
                    }
                    continue;
                }
                Rest::Chain(row) => {
                    self.rest = Rest::Chain(other.after(row));
                    row
                }
                Rest::All(row) => {
                    let next = row + 1;
                    self.rest = if next < other.len() { Rest::All(next) } else { Rest::Chain(NONE) };
                    row
                }
            };
            if accept(self.driver, partner) {
                pairs.0.push(self.driver);
                pairs.1.push(partner);
            }
        }
        true
    }

    /// Goes on to the next driver, if there is one.
    fn start(&mut self, own: &Store, other: &Store) -> bool {
        let Some(&driver) = self.drivers.next() else { return false };
        self.driver = driver;
        let slot = own.slot(driver);
        let everything = self.null_slot == Some(slot) && slot != NONE;
        self.rest = match slot {
            NONE => Rest::Chain(NONE),
            _ if everything && other.len() > 0 => Rest::All(0),
            _ if everything => Rest::Chain(NONE),
            _ => Rest::Chain(other.first(slot)),
        };
        self.then = match self.null_slot {
            Some(null) if !everything && slot != NONE => other.first(null),
            _ => NONE,
        };
        true
    }
}
