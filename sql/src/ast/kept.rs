//! What a session keeps under a name: prepared statements and cursors.

use super::ParsedStatement;

/// A statement about prepared statements and cursors.
#[derive(Debug, Clone)]
pub enum Kept {
    /// `PREPARE name [(type, …)] AS statement`: the types are in the statement.
    Prepare {
        /// What it is executed by.
        name: String,
        /// What is prepared; its offset counts from the start of the text of this statement.
        statement: Box<ParsedStatement>,
    },
    /// `EXECUTE name [(value, …)]`
    Execute {
        /// The prepared statement.
        name: String,
        /// `SELECT value, …`, where there are values.
        values: Option<Box<ParsedStatement>>,
    },
    /// `DEALLOCATE [PREPARE] {name | ALL}`
    Deallocate(Option<String>),
    /// `DECLARE name … CURSOR … FOR query`
    Declare {
        /// What it is read by.
        name: String,
        /// It outlives its transaction block: `WITH HOLD`.
        hold: bool,
        /// The query, as in [`Kept::Prepare`].
        query: Box<ParsedStatement>,
    },
    /// `FETCH` and `MOVE`, forward
    Fetch {
        /// The cursor.
        name: String,
        /// How many rows; `None` for all that are left.
        rows: Option<usize>,
        /// `MOVE`: the rows are not given.
        moves: bool,
    },
    /// `CLOSE {name | ALL}`
    Close(Option<String>),
}
