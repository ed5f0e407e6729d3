//! The values of persons, auctions and bids: each a function of the event's number and the field.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray, StringBuilder, TimestampMillisecondArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};

use super::config::{Config, FIRST_ID};
use super::events::{Event, Events};
use super::random::Random;

/// What an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A new person; `event_type` 0.
    Person,
    /// A new auction; 1.
    Auction,
    /// A bid; 2.
    Bid,
}

/// A field of an event's ROW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    Name,
    EmailAddress,
    CreditCard,
    City,
    State,
    ItemName,
    Description,
    InitialBid,
    Reserve,
    Expires,
    Seller,
    Category,
    Auction,
    Bidder,
    Price,
    Channel,
    Url,
    DateTime,
    Extra,
}

const FIRST_NAMES: [&str; 11] =
    ["Peter", "Paul", "Luke", "John", "Saul", "Vicky", "Kate", "Julie", "Sarah", "Deiter", "Walter"];
const LAST_NAMES: [&str; 9] = ["Shultz", "Abrams", "Spencer", "White", "Bartels", "Walton", "Smith", "Jones", "Noris"];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const CITIES: [&str; 10] =
    ["Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"];
const HOT_CHANNELS: [&str; 4] = ["Google", "Facebook", "Baidu", "Apple"];
const CHANNELS: u64 = 10_000;
/// Ids ahead of the newest that bids and auctions may already name.
const LEAD: u64 = 10;
/// Bytes of a string that room is made for at first.
const BYTES_USUAL: usize = 72;
/// Of so many ids one is hot.
const HOT_STEP: u64 = 100;

/// Makes columns of events.
#[derive(Debug)]
pub(super) struct Columns {
    config: Config,
    random: Random,
    base_ms: i64,
    /// Name and URL of each channel that is not hot, then of the hot ones.
    channels: Vec<(String, String)>,
}

impl Kind {
    /// The value of `event_type`.
    pub(super) fn code(self) -> i32 {
        match self {
            Self::Person => 0,
            Self::Auction => 1,
            Self::Bid => 2,
        }
    }

    /// The field of that name.
    pub(super) fn field(self, name: &str) -> Option<Field> {
        let fields: &[(&str, Field)] = match self {
            Self::Person => &[
                ("id", Field::Id),
                ("name", Field::Name),
                ("emailAddress", Field::EmailAddress),
                ("creditCard", Field::CreditCard),
                ("city", Field::City),
                ("state", Field::State),
                ("dateTime", Field::DateTime),
                ("extra", Field::Extra),
            ],
            Self::Auction => &[
                ("id", Field::Id),
                ("itemName", Field::ItemName),
                ("description", Field::Description),
                ("initialBid", Field::InitialBid),
                ("reserve", Field::Reserve),
                ("dateTime", Field::DateTime),
                ("expires", Field::Expires),
                ("seller", Field::Seller),
                ("category", Field::Category),
                ("extra", Field::Extra),
            ],
            Self::Bid => &[
                ("auction", Field::Auction),
                ("bidder", Field::Bidder),
                ("price", Field::Price),
                ("channel", Field::Channel),
                ("url", Field::Url),
                ("dateTime", Field::DateTime),
                ("extra", Field::Extra),
            ],
        };
        fields.iter().find(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, field)| *field)
    }
}

impl Field {
    /// The type it is made in.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Id
            | Self::InitialBid
            | Self::Reserve
            | Self::Seller
            | Self::Category
            | Self::Auction
            | Self::Bidder
            | Self::Price => DataType::Int64,
            Self::DateTime | Self::Expires => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Name
            | Self::EmailAddress
            | Self::CreditCard
            | Self::City
            | Self::State
            | Self::ItemName
            | Self::Description
            | Self::Channel
            | Self::Url
            | Self::Extra => DataType::Utf8,
        }
    }
}

/// Numbers that keep the draws of different fields of one event apart.
mod draw {
    pub(super) const FIRST: u64 = 0;
    pub(super) const SECOND: u64 = 2;
    pub(super) const THIRD: u64 = 4;
    pub(super) const FOURTH: u64 = 6;
    pub(super) const FIFTH: u64 = 8;
    pub(super) const SIXTH: u64 = 10;
    pub(super) const EXTRA: u64 = 12;
    pub(super) const HOT: u64 = 14;
    pub(super) const CHANNEL: u64 = 16;
}

impl Columns {
    pub(super) fn new(config: Config, base_ms: i64) -> Self {
        let random = Random::new(config.seed);
        let channel = |number: u64| {
            let word = |field: u64| random.letters(number, 40 + field, 5).replace(' ', "_");
            let mut url = format!("https://www.nexmark.com/{}/{}/{}/item.htm?query=1", word(0), word(1), word(2));
            let hot = number >= CHANNELS;
            if !hot && random.below(number, 50, 10) > 0 {
                url.push_str(&format!("&channel_id={}", (number as u32).reverse_bits() & 0x7fff_ffff));
            }
            let hot_name = HOT_CHANNELS.get((number.saturating_sub(CHANNELS)) as usize).copied();
            (hot_name.filter(|_| hot).map_or_else(|| format!("channel-{number}"), str::to_owned), url)
        };
        let channels = (0..CHANNELS + HOT_CHANNELS.len() as u64).map(channel).collect();
        Self { config, random, base_ms, channels }
    }

    /// The facts of these events that their fields are made of.
    pub(super) fn events(&self, numbers: &[u64]) -> Events {
        Events::new(&self.config, self.base_ms, numbers)
    }

    /// One field of the events of a kind. Events of other kinds get zero or an empty string.
    pub(super) fn column(&self, kind: Kind, field: Field, events: &Events) -> ArrayRef {
        match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from(self.integers(kind, field, events))),
            DataType::Timestamp(_, _) => {
                let time = |event: &Event| match field {
                    Field::Expires => self.expires(event),
                    _ => event.time_ms,
                };
                Arc::new(TimestampMillisecondArray::from(events.fill(kind, time)))
            }
            _ if field == Field::Extra => {
                let (size, average) = match kind {
                    Kind::Person => (70, self.config.person_bytes),
                    Kind::Auction => (120, self.config.auction_bytes),
                    Kind::Bid => (32, self.config.bid_bytes),
                };
                let missing = average.saturating_sub(size);
                let filler = |event: u64| self.random.filler(event, draw::EXTRA, missing);
                Arc::new(texts(kind, events, |event, put| put(filler(event))))
            }
            _ => Arc::new(texts(kind, events, |event, put| self.string(field, event, put))),
        }
    }

    fn integers(&self, kind: Kind, field: Field, events: &Events) -> Vec<i64> {
        let random = &self.random;
        match field {
            Field::Id if kind == Kind::Person => events.fill(kind, |event| id(event.last_person)),
            Field::Id => events.fill(kind, |event| id(event.last_auction)),
            Field::InitialBid | Field::Price => events.fill(kind, |event| random.price(event.number, draw::FIRST)),
            Field::Reserve => events.fill(kind, |event| {
                let more = random.price(event.number, draw::SECOND);
                random.price(event.number, draw::FIRST).saturating_add(more)
            }),
            Field::Category => events.fill(kind, |event| 10 + random.below(event.number, draw::THIRD, 5) as i64),
            Field::Seller => events.fill(kind, |event| {
                if random.below(event.number, draw::HOT, self.config.hot_sellers) > 0 {
                    return id(event.last_person / HOT_STEP * HOT_STEP);
                }
                id(self.any_person(event))
            }),
            Field::Bidder => events.fill(kind, |event| {
                if random.below(event.number, draw::HOT + 1, self.config.hot_bidders) > 0 {
                    return id(event.last_person / HOT_STEP * HOT_STEP + 1);
                }
                id(self.any_person(event))
            }),
            Field::Auction => events.fill(kind, |event| {
                let newest = event.last_auction;
                if random.below(event.number, draw::HOT, self.config.hot_auctions) > 0 {
                    return id(newest / HOT_STEP * HOT_STEP);
                }
                let oldest = newest.saturating_sub(self.config.auctions_in_flight);
                id(oldest + random.below(event.number, draw::FOURTH, newest - oldest + 1 + LEAD))
            }),
            _ => vec![0; events.len()],
        }
    }

    /// One of the people who are active, or about to come.
    fn any_person(&self, event: &Event) -> u64 {
        let people = event.last_person + 1;
        let active = people.min(self.config.people_active);
        people - active + self.random.below(event.number, draw::FIFTH, active + LEAD)
    }

    /// When the auction is over: on average when as many auctions as are in flight have come.
    fn expires(&self, event: &Event) -> i64 {
        let events = self.config.auctions_in_flight * self.config.cycle() / self.config.auctions;
        let horizon = u64::try_from(self.config.time_ms(self.base_ms, event.number + events) - event.time_ms);
        let horizon = horizon.unwrap_or(0);
        let length = 1 + self.random.below(event.number, draw::SIXTH, (2 * horizon).max(1));
        event.time_ms.saturating_add(i64::try_from(length).unwrap_or(i64::MAX))
    }

    /// Puts the parts of a string, one after another.
    fn string(&self, field: Field, event: u64, put: &mut dyn FnMut(&str)) {
        let random = &self.random;
        match field {
            Field::Name => {
                put(pick(&FIRST_NAMES, random.below(event, draw::FIRST, 11)));
                put(" ");
                put(pick(&LAST_NAMES, random.below(event, draw::FIRST + 1, 9)));
            }
            Field::EmailAddress => {
                put(random.word(event, draw::SECOND, 7).trim());
                put("@");
                put(random.word(event, draw::SECOND + 18, 5).trim());
                put(".com");
            }
            Field::CreditCard => {
                let digits = random.below(event, draw::THIRD, 10_u64.pow(16));
                let mut text = [b' '; 19];
                for (place, digit) in text.iter_mut().rev().enumerate().filter(|(place, _)| place % 5 != 4) {
                    *digit = b'0' + (digits / 10_u64.pow((place - place / 5) as u32) % 10) as u8;
                }
                put(std::str::from_utf8(&text).unwrap_or_default());
            }
            Field::City => put(pick(&CITIES, random.below(event, draw::FOURTH, 10))),
            Field::State => put(pick(&STATES, random.below(event, draw::FIFTH, 6))),
            Field::ItemName => put(random.word(event, draw::FOURTH, 20)),
            Field::Description => put(random.word(event, draw::FIFTH, 100)),
            Field::Channel => put(&self.channel(event).0),
            Field::Url => put(&self.channel(event).1),
            _ => {}
        }
    }

    fn channel(&self, event: u64) -> &(String, String) {
        let hot = self.random.below(event, draw::CHANNEL, 2) > 0;
        let number = match hot {
            true => CHANNELS + self.random.below(event, draw::CHANNEL + 1, HOT_CHANNELS.len() as u64),
            false => self.random.below(event, draw::CHANNEL + 1, CHANNELS),
        };
        &self.channels[number as usize]
    }
}

/// A string for each event of the kind, whose parts `write` puts; the other rows are empty.
fn texts(kind: Kind, events: &Events, write: impl Fn(u64, &mut dyn FnMut(&str))) -> StringArray {
    if events.of(kind).len() * 2 > events.len() { frequent(kind, events, write) } else { rare(kind, events, write) }
}

/// As [`texts`], where most rows have one: built of strings, so that nobody looks once more whether they are.
#[inline(never)] // As `Events::fill`.
fn frequent(kind: Kind, events: &Events, write: impl Fn(u64, &mut dyn FnMut(&str))) -> StringArray {
    let mut made = StringBuilder::with_capacity(events.len(), events.of(kind).len() * BYTES_USUAL);
    let mut row = 0;
    for event in events.of(kind) {
        (row..event.row).for_each(|_| made.append_value(""));
        // Writing cannot fail; what is written is part of the value that is appended next.
        write(event.number, &mut |part| {
            let _ = made.write_str(part);
        });
        made.append_value("");
        row = event.row + 1;
    }
    (row..events.len()).for_each(|_| made.append_value(""));
    made.finish()
}

/// As [`texts`], where few rows have one: those between are not gone through one by one.
#[inline(never)] // As `Events::fill`.
fn rare(kind: Kind, events: &Events, write: impl Fn(u64, &mut dyn FnMut(&str))) -> StringArray {
    let mut bytes = String::with_capacity(events.of(kind).len() * BYTES_USUAL);
    let mut offsets = Vec::with_capacity(events.len() + 1);
    // A batch holds thousands of strings of at most 64 KiB.
    let end = |bytes: &String| i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    for event in events.of(kind) {
        offsets.resize(event.row + 1, end(&bytes));
        write(event.number, &mut |part| bytes.push_str(part));
    }
    offsets.resize(events.len() + 1, end(&bytes));
    StringArray::new(OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes.into_bytes().into(), None)
}

fn id(number: u64) -> i64 {
    FIRST_ID.saturating_add(i64::try_from(number).unwrap_or(i64::MAX))
}

fn pick<'a>(words: &[&'a str], index: u64) -> &'a str {
    words.get(index as usize).copied().unwrap_or_default()
}
