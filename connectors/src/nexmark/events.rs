//! [`Events`]: what the fields of a batch of events have in common, worked out once: kinds, times, newest ids.

use arrow::buffer::{BooleanBuffer, NullBuffer};

use super::columns::Kind;
use super::config::Config;

/// An event of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) number: u64,
    /// Its place in the batch.
    pub(super) row: usize,
    /// Milliseconds since 1970.
    pub(super) time_ms: i64,
    /// Number of the newest person, from 0.
    pub(super) last_person: u64,
    /// Number of the newest auction, from 0; before the first there is none, which counts as 0.
    pub(super) last_auction: u64,
}

/// The events of a batch by kind, each kind in the batch's order.
#[derive(Debug)]
pub(super) struct Events {
    codes: Vec<i32>,
    persons: Vec<Event>,
    auctions: Vec<Event>,
    bids: Vec<Event>,
}

impl Events {
    pub(super) fn new(config: &Config, base_ms: i64, numbers: &[u64]) -> Self {
        let mut events = Self {
            codes: Vec::with_capacity(numbers.len()),
            persons: Vec::new(),
            auctions: Vec::new(),
            bids: Vec::with_capacity(numbers.len()),
        };
        let cycle = config.cycle();
        let (mut expected, mut round, mut offset) = (u64::MAX, 0, 0);
        for (row, &number) in numbers.iter().enumerate() {
            // Mostly the event behind the one before.
            (round, offset) = match number == expected {
                true if offset + 1 < cycle => (round, offset + 1),
                true => (round + 1, 0),
                false => (number / cycle, number % cycle),
            };
            expected = number.wrapping_add(1);
            let kind = config.kind_at(offset);
            let last_person = round * config.persons + offset.min(config.persons - 1);
            let last_auction = match kind {
                Kind::Person => (round * config.auctions).saturating_sub(1),
                Kind::Auction | Kind::Bid => {
                    round * config.auctions + (offset - config.persons).min(config.auctions - 1)
                }
            };
            let time_ms = config.time_ms(base_ms, number);
            events.codes.push(kind.code());
            let event = Event { number, row, time_ms, last_person, last_auction };
            match kind {
                Kind::Person => events.persons.push(event),
                Kind::Auction => events.auctions.push(event),
                Kind::Bid => events.bids.push(event),
            }
        }
        events
    }

    /// Number of events of all kinds.
    pub(super) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The column `event_type`.
    pub(super) fn codes(&self) -> &[i32] {
        &self.codes
    }

    /// The events of a kind.
    pub(super) fn of(&self, kind: Kind) -> &[Event] {
        match kind {
            Kind::Person => &self.persons,
            Kind::Auction => &self.auctions,
            Kind::Bid => &self.bids,
        }
    }

    /// Which rows are of the kind.
    pub(super) fn rows_of(&self, kind: Kind) -> NullBuffer {
        let code = kind.code();
        NullBuffer::new(BooleanBuffer::collect_bool(self.len(), |row| self.codes.get(row) == Some(&code)))
    }

    /// A value for each event of the kind; the other rows have 0.
    #[inline(never)] // Each loop keeps what it needs in registers.
    pub(super) fn fill(&self, kind: Kind, value: impl Fn(&Event) -> i64) -> Vec<i64> {
        let mut values = vec![0; self.len()];
        for event in self.of(kind) {
            if let Some(place) = values.get_mut(event.row) {
                *place = value(event);
            }
        }
        values
    }
}
