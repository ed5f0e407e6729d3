//! The queries of the Nexmark benchmark, and the tables that they read.
//!
//! Each `qN.sql` makes the table it writes to, and what it needs besides, and ends with one `INSERT`; they say what the queries of the same number say
//! in the Nexmark benchmark for Flink.

/// The queries by name.
pub(super) const QUERIES: [(&str, &str); 24] = [
    ("q0", include_str!("q0.sql")),
    ("q1", include_str!("q1.sql")),
    ("q2", include_str!("q2.sql")),
    ("q3", include_str!("q3.sql")),
    ("q4", include_str!("q4.sql")),
    ("q5", include_str!("q5.sql")),
    ("q6", include_str!("q6.sql")),
    ("q7", include_str!("q7.sql")),
    ("q8", include_str!("q8.sql")),
    ("q9", include_str!("q9.sql")),
    ("q10", include_str!("q10.sql")),
    ("q11", include_str!("q11.sql")),
    ("q12", include_str!("q12.sql")),
    ("q13", include_str!("q13.sql")),
    ("q14", include_str!("q14.sql")),
    ("q15", include_str!("q15.sql")),
    ("q16", include_str!("q16.sql")),
    ("q17", include_str!("q17.sql")),
    ("q18", include_str!("q18.sql")),
    ("q19", include_str!("q19.sql")),
    ("q20", include_str!("q20.sql")),
    ("q21", include_str!("q21.sql")),
    ("q22", include_str!("q22.sql")),
    ("q23", include_str!("q23.sql")),
];

/// The queries whose rows depend on the clock.
pub(super) const BY_THE_CLOCK: [&str; 1] = ["q12"];

/// Columns that a query leaves open, by their place: which of two equal bids wins (q9), which of two bids of one bidder in a
/// millisecond is the last (q18), which of two equal bids has the better place (q19).
const OPEN_COLUMNS: [(&str, &[usize]); 3] = [("q9", &[11, 14]), ("q18", &[2, 3, 4, 6]), ("q19", &[1, 3, 4, 5, 6])];

/// Columns of results that hold the time of the event that made the row, by their place.
const TIME_COLUMNS: [(&str, usize); 8] =
    [("q0", 3), ("q1", 3), ("q9", 13), ("q13", 3), ("q14", 4), ("q18", 5), ("q19", 5), ("q20", 5)];

/// The views `person`, `auction` and `bid` on `events`.
pub(super) const VIEWS: &str = include_str!("views.sql");

const COLUMNS: &str = include_str!("columns.sql");

/// The text of a query; its files go below `output`.
pub(super) fn query(name: &str, output: &str) -> Option<String> {
    let found = QUERIES.iter().find(|(known, _)| *known == name)?;
    Some(found.1.replace("{output}", output))
}

/// Places of the columns that the query leaves open.
pub(super) fn open_columns(name: &str) -> &'static [usize] {
    OPEN_COLUMNS.iter().find(|(of, _)| *of == name).map_or(&[], |(_, columns)| columns)
}

/// Place of the column with the time of the event that made a row, where there is one.
pub(super) fn time_column(name: &str) -> Option<usize> {
    TIME_COLUMNS.iter().find(|(of, _)| *of == name).map(|(_, column)| *column)
}

/// The table `events` of the generator that gives so many events a second, at the time they bear.
pub(super) fn paced_table(rate: u64) -> String {
    let options = format!(
        "'connector' = 'nexmark', 'base-time' = 'now', 'first-event.rate' = '{rate}', 'next-event.rate' = '{rate}', \
         'person.proportion' = '2', 'auction.proportion' = '6', 'bid.proportion' = '92'"
    );
    table("events", true, &options)
}

/// The table `events` of the generator.
pub(super) fn generator_table(name: &str, events: u64, materialize: &str) -> String {
    let options = format!(
        "'connector' = 'nexmark', 'events.num' = '{events}', 'person.proportion' = '2', 'auction.proportion' = '6', \
         'bid.proportion' = '92', 'materialize' = '{materialize}'"
    );
    table(name, true, &options)
}

/// The table `events` over JSON files; without event time where it is written.
pub(super) fn file_table(name: &str, path: &str, event_time: bool) -> String {
    table(name, event_time, &format!("'connector' = 'filesystem', 'path' = '{path}', 'format' = 'json'"))
}

/// The table `events` over a topic of JSON messages, to where it ends now; without event time where it is written.
pub(super) fn topic_table(name: &str, brokers: &str, topic: &str, event_time: bool) -> String {
    let options = format!(
        "'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}', 'format' = 'json', \
         'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset'"
    );
    table(name, event_time, &options)
}

fn table(name: &str, event_time: bool, options: &str) -> String {
    let time = if event_time {
        ",\n  dateTime AS CASE WHEN event_type = 0 THEN person.dateTime WHEN event_type = 1 THEN auction.dateTime \
         ELSE bid.dateTime END,\n  WATERMARK FOR dateTime AS dateTime - INTERVAL '4' SECOND"
    } else {
        ""
    };
    format!("CREATE TABLE {name} (\n{}{time}\n) WITH ({options});", COLUMNS.trim_end())
}

#[cfg(test)]
mod tests {
    use super::{QUERIES, VIEWS, file_table, generator_table, query, topic_table};

    #[test]
    fn all_of_it_parses() {
        let mut script = format!("{}{}{VIEWS}", generator_table("a", 10, "all"), file_table("b", "/tmp/x", false));
        script += &topic_table("c", "127.0.0.1:9092", "t", true);
        for (name, _) in QUERIES {
            script += &query(name, "/tmp/out").unwrap_or_default();
        }
        let parsed = millstream_sql::parse(&script).map(|statements| statements.len());
        assert_eq!(parsed.map_err(|error| error.to_string()), Ok(6 + 2 * QUERIES.len() + 5));
    }
}
