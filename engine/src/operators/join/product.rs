//! [`Product`]: the rows of several stores that share a key, each with each.

use std::ops::Range;

use super::NONE;
use super::store::Store;
use crate::message::BATCH_ROWS;

/// Goes through all combinations of some rows of one store, the drivers, with the rows of their slot in each other store.
pub(super) struct Product<'a> {
    stores: &'a [Store],
    /// Where the drivers are.
    port: usize,
    drivers: Range<u32>,
    /// The row of each store that the next combination has. Empty: the next driver is to be found.
    current: Vec<u32>,
}

impl<'a> Product<'a> {
    pub(super) fn new(stores: &'a [Store], port: usize, drivers: Range<u32>) -> Self {
        Self { stores, port, drivers, current: Vec::new() }
    }

    /// The next combinations, [`BATCH_ROWS`] at the most: of each store the rows, as many. None are left where there are none.
    pub(super) fn next_rows(&mut self) -> Vec<Vec<u32>> {
        let mut found: Vec<Vec<u32>> = vec![Vec::new(); self.stores.len()];
        let mut count = 0;
        while count < BATCH_ROWS && (!self.current.is_empty() || self.start()) {
            found.iter_mut().zip(&self.current).for_each(|(rows, row)| rows.push(*row));
            count += 1;
            self.advance();
        }
        found
    }

    /// Goes on to the next driver that meets rows in all stores.
    fn start(&mut self) -> bool {
        let Some(own) = self.stores.get(self.port) else { return false };
        for driver in self.drivers.by_ref() {
            let slot = own.slot(driver);
            let first = |(port, store): (usize, &Store)| if port == self.port { driver } else { store.first(slot) };
            self.current.extend(self.stores.iter().enumerate().map(first));
            if !self.current.contains(&NONE) {
                return true;
            }
            self.current.clear();
        }
        false
    }

    /// The combination after the current one: the last store goes on first.
    fn advance(&mut self) {
        for (port, store) in self.stores.iter().enumerate().rev().filter(|(port, _)| *port != self.port) {
            let Some(row) = self.current.get_mut(port) else { break };
            let slot = store.slot(*row);
            *row = store.after(*row);
            if *row != NONE {
                return;
            }
            *row = store.first(slot);
        }
        self.current.clear();
    }
}
