//! Errors and notices for people, as psql shows them.

use std::fmt::Write;

use millstream_sql::SqlError;

/// The text of an error. `text` is the script; the statement begins at character `offset` of it.
///
/// ```text
/// ERROR:  relation "nowhere" does not exist
/// LINE 2: SELECT * FROM nowhere
///                       ^
/// HINT:  …
/// ```
pub(super) fn error_text(error: &SqlError, text: &str, offset: usize) -> String {
    let parts = error.parts();
    let mut out = format!("ERROR:  {}\n", parts.message);
    if let Some((number, line, column)) = parts.position.and_then(|position| place(text, offset + position)) {
        let head = format!("LINE {number}: ");
        // Writing to a string does not fail, here and below.
        let _ = writeln!(out, "{head}{line}\n{}^", " ".repeat(head.chars().count() + column));
    }
    if let Some(detail) = &parts.detail {
        let _ = writeln!(out, "DETAIL:  {detail}");
    }
    if let Some(hint) = &parts.hint {
        let _ = writeln!(out, "HINT:  {hint}");
    }
    out
}

/// The line that holds the character at `position` (from 1): its number from 1, its text, and the column from 0.
fn place(text: &str, position: usize) -> Option<(usize, String, usize)> {
    let mut left = position.checked_sub(1)?;
    for (index, line) in text.split('\n').enumerate() {
        let length = line.chars().count();
        if left <= length {
            // A tab would put the caret in the wrong column.
            return Some((index + 1, line.trim_end_matches('\r').replace('\t', " "), left));
        }
        left -= length + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use millstream_sql::{SqlError, SqlState};

    use super::error_text;

    #[test]
    fn the_caret_points_at_the_place() {
        let text = "SELECT 1;\nSELECT * FROM nowhere";
        let error = SqlError::new(SqlState::UNDEFINED_TABLE, "relation \"nowhere\" does not exist")
            .with_hint("Did you mean \"somewhere\"?")
            .at(15);
        assert_eq!(
            error_text(&error, text, 10),
            "ERROR:  relation \"nowhere\" does not exist\n\
             LINE 2: SELECT * FROM nowhere\n                      ^\n\
             HINT:  Did you mean \"somewhere\"?\n"
        );
    }
}
