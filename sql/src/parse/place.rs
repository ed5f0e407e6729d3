//! Between `sqlparser`'s lines and columns, byte offsets, and the character positions that PostgreSQL reports.

use datafusion::sql::sqlparser::tokenizer::Location;

/// The byte offset of a location in `text`; the end of the text for a location behind it. `None` for the empty location
/// that stands for "unknown" or "end of input".
pub(crate) fn byte(text: &str, location: Location) -> Option<usize> {
    let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(location.column).ok()?.checked_sub(1)?;
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line).map(str::len).sum();
    let in_line = lines.next().map_or(0, |rest| chars_to_bytes(rest, column));
    Some(before + in_line)
}

/// The character position of a location in `text`, from 1.
pub(crate) fn position(text: &str, location: Location) -> Option<usize> {
    let byte = byte(text, location)?;
    Some(text.get(..byte)?.chars().count() + 1)
}

/// How many bytes the first `count` characters take.
fn chars_to_bytes(text: &str, count: usize) -> usize {
    text.char_indices().nth(count).map_or(text.len(), |(byte, _)| byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_over_lines() {
        let text = "select é,\n  x\nfrom t";
        assert_eq!(position(text, Location::new(2, 3)), Some(13));
        assert_eq!(position(text, Location::new(1, 8)), Some(8));
        assert_eq!(byte(text, Location::new(1, 9)), Some(9));
        assert_eq!(position(text, Location::new(3, 99)), Some(21));
        assert_eq!(position(text, Location::empty()), None);
    }
}
