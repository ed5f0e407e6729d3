//! Persisted form 1 of a reader's place: `1 topic/0=42;topic/3=7`, the next offset of each partition it reads.
//!
//! The first is the partition of the split; the others are those found later that the split took on.

use super::partitions::Partition;

/// The text of places.
pub(super) fn encode<'p>(places: impl Iterator<Item = (&'p Partition, i64)>) -> String {
    let places: Vec<String> = places.map(|(partition, offset)| format!("{}={offset}", partition.id())).collect();
    format!("1 {}", places.join(";"))
}

/// The places of a text; `None` where it is none of ours.
pub(super) fn decode(text: &str) -> Option<Vec<(Partition, i64)>> {
    let place = |part: &str| {
        let (id, offset) = part.rsplit_once('=')?;
        Some((Partition::from_id(id)?, offset.parse().ok()?))
    };
    text.strip_prefix("1 ")?.split(';').map(place).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back() {
        let places =
            [(Partition { topic: "a.b_c".into(), number: 0 }, 42), (Partition { topic: "a".into(), number: 12 }, 0)];
        let text = encode(places.iter().map(|(partition, offset)| (partition, *offset)));
        assert_eq!(text, "1 a.b_c/0=42;a/12=0");
        assert_eq!(decode(&text).unwrap(), places);
        for bad in ["", "2 a/0=1", "1 a=1", "1 a/0=x", "a/0=1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
