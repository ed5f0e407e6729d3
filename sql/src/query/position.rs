//! From `sqlparser`'s lines and columns to the character positions that PostgreSQL reports.

use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use crate::error::SqlError;

/// Bits of a packed position that hold the column; the line less one stands above them.
const COLUMN_BITS: u32 = 32;

/// A place as it travels in an error until [`in_text`] knows the text: on the first line it is the column, which is the
/// position already; on a later line the line number is packed above the column.
pub(crate) fn packed(location: Location) -> Option<usize> {
    let line = usize::try_from(location.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(location.column).ok()?;
    line.checked_shl(COLUMN_BITS).map(|line| line | column)
}

/// The error with the place of `span`, where it has one.
pub(crate) fn at(error: SqlError, span: Span) -> SqlError {
    match packed(span.start) {
        Some(position) => error.at(position),
        None => error,
    }
}

/// The error of a statement with its position counted in characters from the start of `text`.
pub(crate) fn in_text(error: SqlError, text: &str) -> SqlError {
    let Some(position) = error.parts().position else { return error };
    let (line, column) = (position >> COLUMN_BITS, position & ((1 << COLUMN_BITS) - 1));
    if line == 0 {
        return error;
    }
    let before: usize = text.split_inclusive('\n').take(line).map(|line| line.chars().count()).sum();
    error.at(before + column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::SqlState;

    #[test]
    fn counts_characters_over_lines() {
        let text = "select é,\n  x\nfrom t";
        let error = SqlError::new(SqlState::UNDEFINED_COLUMN, "no x");
        let span = Span::new(Location::new(2, 3), Location::new(2, 4));
        assert_eq!(in_text(at(error.clone(), span), text).parts().position, Some(13));
        let span = Span::new(Location::new(1, 8), Location::new(1, 9));
        assert_eq!(in_text(at(error, span), text).parts().position, Some(8));
    }
}
