//! Persisted form 2 of a reader's place: `2 topic/0=42`, the next offset of its partition, or `2 topic/0=42-99` where
//! reading ends before an offset.
//!
//! Form 1 was `1 topic/0=42;topic/3=7`: behind the partition of the split those found later that the split had taken on.

use super::partitions::Partition;

/// Where a partition is read on, and where reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: Partition,
    /// The offset of the next message.
    pub(super) next: i64,
    /// Messages from here on are not read.
    pub(super) stop: Option<i64>,
}

/// The text of a place.
pub(super) fn encode(place: &Place) -> String {
    let Place { partition, next, stop } = place;
    match stop {
        Some(stop) => format!("2 {}={next}-{stop}", partition.id()),
        None => format!("2 {}={next}", partition.id()),
    }
}

/// The places of a text, first that of the split; `None` where it is none of ours.
pub(super) fn decode(text: &str) -> Option<Vec<Place>> {
    let place = |part: &str| {
        let (id, offsets) = part.rsplit_once('=')?;
        let (next, stop) = match offsets.split_once('-') {
            Some((next, stop)) => (next, Some(stop.parse().ok()?)),
            None => (offsets, None),
        };
        // No topic has such a name.
        let partition = Partition::from_id(id).filter(|partition| !partition.topic.contains([';', '/']))?;
        Some(Place { partition, next: next.parse().ok()?, stop })
    };
    match text.strip_prefix("2 ") {
        Some(rest) => place(rest).map(|place| vec![place]),
        None => text.strip_prefix("1 ")?.split(';').map(place).collect(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn place(topic: &str, number: i32, next: i64, stop: Option<i64>) -> Place {
        Place { partition: Partition { topic: topic.into(), number }, next, stop }
    }

    #[test]
    fn places_are_read_back() {
        for (text, place) in
            [("2 a.b_c/0=42", place("a.b_c", 0, 42, None)), ("2 a-b/12=0-7", place("a-b", 12, 0, Some(7)))]
        {
            assert_eq!(encode(&place), text);
            assert_eq!(decode(text).unwrap(), [place]);
        }
    }

    #[test]
    fn the_first_form_is_read() {
        assert_eq!(decode("1 a.b_c/0=42;a/12=0").unwrap(), [place("a.b_c", 0, 42, None), place("a", 12, 0, None)]);
    }

    #[test]
    fn other_texts_are_none_of_ours() {
        for bad in ["", "3 a/0=1", "1 a=1", "2 a/0=x", "a/0=1", "2 a/0=1-", "2 a/0=1;a/1=2"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
