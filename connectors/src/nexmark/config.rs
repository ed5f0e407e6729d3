//! What a Nexmark table is told: rates, proportions, ratios; and the arithmetic of events that follows from them.
//!
//! Option names and the arithmetic are those of the Nexmark generator for Flink.

use millstream_engine::ports::{OptionDescriptor, OptionType, OptionValues};
use millstream_engine::{EngineError, Result};

use super::columns::Kind;

/// Ids begin here.
pub(super) const FIRST_ID: i64 = 1_000;

/// The parameters of the generator.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) first_rate: u64,
    pub(super) next_rate: u64,
    pub(super) events: Option<u64>,
    pub(super) persons: u64,
    pub(super) auctions: u64,
    pub(super) bids: u64,
    pub(super) hot_auctions: u64,
    pub(super) hot_bidders: u64,
    pub(super) hot_sellers: u64,
    pub(super) auctions_in_flight: u64,
    pub(super) people_active: u64,
    pub(super) bid_bytes: u64,
    pub(super) auction_bytes: u64,
    pub(super) person_bytes: u64,
    pub(super) seed: u64,
    /// Milliseconds since 1970 of event 0; none: when the job starts.
    pub(super) base_time_ms: Option<i64>,
    pub(super) materialize_all: bool,
    /// Microseconds from one event to the next, where that is a whole number and always the same.
    step_us: Option<u64>,
}

/// Seconds that each of the two rates lasts.
const RATE_SECONDS: u64 = 300;

/// All options of the connector.
pub(super) fn options() -> Vec<OptionDescriptor> {
    let integer = |name, default, doc| OptionDescriptor {
        name,
        kind: OptionType::Integer,
        required: false,
        default: Some(default),
        doc,
    };
    vec![
        integer("first-event.rate", "10000", "Events a second of event time, in the first and every other period."),
        integer("next-event.rate", "10000", "Events a second of event time in the periods between."),
        integer("events.num", "0", "How many events; 0: endless, then paced by the clock at the rate."),
        integer("person.proportion", "1", "Persons among the events."),
        integer("auction.proportion", "3", "Auctions among the events."),
        integer("bid.proportion", "46", "Bids among the events."),
        integer("person.avg-size", "200", "Bytes of a person on average."),
        integer("auction.avg-size", "500", "Bytes of an auction on average."),
        integer("bid.avg-size", "100", "Bytes of a bid on average."),
        integer("bid.hot-ratio.auctions", "2", "One in so many bids is not on a hot auction."),
        integer("bid.hot-ratio.bidders", "4", "One in so many bids is not by a hot bidder."),
        integer("auction.hot-ratio.sellers", "4", "One in so many auctions is not by a hot seller."),
        integer("seed", "0", "Another seed gives other events; the same seed the same."),
        OptionDescriptor {
            name: "base-time",
            kind: OptionType::String,
            required: false,
            default: Some("2015-07-15 00:00:00"),
            doc: "Event time of the first event, or 'now'.",
        },
        OptionDescriptor {
            name: "materialize",
            kind: OptionType::Choice(&["projected", "all"]),
            required: false,
            default: Some("projected"),
            doc: "Whether columns that nobody reads are made all the same.",
        },
    ]
}

impl Config {
    pub(super) fn new(options: &OptionValues) -> Result<Self> {
        let number = |name: &str, default: u64| match options.get(name) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| EngineError::config(format!("option '{name}' takes a number of 0 or more, not '{text}'"))),
        };
        let positive = |name: &str, default: u64| match number(name, default)? {
            0 => Err(EngineError::config(format!("option '{name}' must be above 0"))),
            value => Ok(value),
        };
        let (first_rate, next_rate) = (positive("first-event.rate", 10_000)?, positive("next-event.rate", 10_000)?);
        let steady = first_rate == next_rate && 1_000_000 % first_rate == 0;
        let config = Self {
            first_rate,
            next_rate,
            step_us: steady.then(|| 1_000_000 / first_rate),
            events: Some(number("events.num", 0)?).filter(|events| *events > 0),
            persons: positive("person.proportion", 1)?,
            auctions: positive("auction.proportion", 3)?,
            bids: number("bid.proportion", 46)?,
            hot_auctions: positive("bid.hot-ratio.auctions", 2)?,
            hot_bidders: positive("bid.hot-ratio.bidders", 4)?,
            hot_sellers: positive("auction.hot-ratio.sellers", 4)?,
            auctions_in_flight: 100,
            people_active: 1_000,
            bid_bytes: number("bid.avg-size", 100)?.min(1 << 16),
            auction_bytes: number("auction.avg-size", 500)?.min(1 << 16),
            person_bytes: number("person.avg-size", 200)?.min(1 << 16),
            seed: number("seed", 0)?,
            base_time_ms: base_time(options.get("base-time").unwrap_or("2015-07-15 00:00:00"))?,
            materialize_all: options.get("materialize") == Some("all"),
        };
        if [config.persons, config.auctions, config.bids].iter().any(|part| *part > 1 << 20) {
            return Err(EngineError::config("a proportion is at most 1048576"));
        }
        Ok(config)
    }

    /// Events after which kinds repeat.
    pub(super) fn cycle(&self) -> u64 {
        self.persons + self.auctions + self.bids
    }

    /// Microseconds of event time between the first event and this one.
    pub(super) fn since_start_us(&self, event: u64) -> u64 {
        if let Some(since) = self.step_us.and_then(|step| event.checked_mul(step)) {
            return since;
        }
        if self.first_rate == self.next_rate {
            return scale(event, 1_000_000, self.first_rate);
        }
        let (first, next) = (self.first_rate * RATE_SECONDS, self.next_rate * RATE_SECONDS);
        let (round, rest) = (event / (first + next), event % (first + next));
        let within = match rest.checked_sub(first) {
            None => scale(rest, 1_000_000, self.first_rate),
            Some(after) => RATE_SECONDS * 1_000_000 + scale(after, 1_000_000, self.next_rate),
        };
        round.saturating_mul(2 * RATE_SECONDS * 1_000_000).saturating_add(within)
    }

    /// The event's time, milliseconds since 1970.
    pub(super) fn time_ms(&self, base_ms: i64, event: u64) -> i64 {
        let since = i64::try_from(self.since_start_us(event) / 1_000).unwrap_or(i64::MAX);
        base_ms.saturating_add(since)
    }

    /// The kind of the event at this place of the cycle.
    pub(super) fn kind_at(&self, offset: u64) -> Kind {
        if offset < self.persons {
            Kind::Person
        } else if offset < self.persons + self.auctions {
            Kind::Auction
        } else {
            Kind::Bid
        }
    }
}

/// `value * by / over` without overflow on the way.
fn scale(value: u64, by: u64, over: u64) -> u64 {
    // Division of 128 bits is many times slower.
    if let Some(product) = value.checked_mul(by) {
        return product / over;
    }
    u64::try_from(u128::from(value) * u128::from(by) / u128::from(over)).unwrap_or(u64::MAX)
}

fn base_time(text: &str) -> Result<Option<i64>> {
    if text.eq_ignore_ascii_case("now") {
        return Ok(None);
    }
    let formats = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let parsed = formats.iter().find_map(|format| chrono::NaiveDateTime::parse_from_str(text.trim(), format).ok());
    match parsed {
        Some(at) => Ok(Some(at.and_utc().timestamp_millis())),
        None => Err(EngineError::Config {
            message: format!("option 'base-time' takes a timestamp or 'now', not '{text}'"),
            hint: Some("write it as '2015-07-15 00:00:00'".into()),
        }),
    }
}
