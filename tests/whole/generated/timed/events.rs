//! [`Events`]: tables of events and their rows in the order of arrival, each with the watermarks that it met.

use super::super::random::Random;

/// Tables that there are.
pub(super) const TABLES: usize = 2;
/// Ids from here on are of the rows that close everything at the end.
pub(super) const LAST_ID: i64 = 900_000;
/// The time before which rows are late for everything: 12 hours before the events begin, 6 hours after the last such row.
const FAR: &str = "TIMESTAMP '2026-01-01 00:00:00'";
const DAY_MS: i64 = 86_400_000;

/// What has come so far. Times are milliseconds since 2026-01-01 00:00:00.
pub(super) struct Events {
    /// How far the watermark of each table is behind its latest row.
    delays_ms: [i64; TABLES],
    watermarks: [Option<i64>; TABLES],
    /// The watermark of who reads all tables.
    low: Option<i64>,
    now_ms: i64,
    ids: i64,
}

/// A moment as a literal.
fn moment(at_ms: Option<i64>) -> String {
    let Some(at_ms) = at_ms else { return "TIMESTAMP '1970-01-01 00:00:00'".to_owned() };
    let (day, within) = (at_ms.div_euclid(DAY_MS), at_ms.rem_euclid(DAY_MS));
    let date = if day < 0 { "2025-12-31".to_owned() } else { format!("2026-01-{:02}", day + 1) };
    let (hour, minute, second, milli) = (within / 3_600_000, within / 60_000 % 60, within / 1_000 % 60, within % 1_000);
    format!("TIMESTAMP '{date} {hour:02}:{minute:02}:{second:02}.{milli:03}'")
}

impl Events {
    pub(super) fn new(random: &mut Random) -> Self {
        let delays_ms = [0; TABLES].map(|_: i64| [0, 1_000, 5_000, 9_500][random.below(4)]);
        Self { delays_ms, watermarks: [None; TABLES], low: None, now_ms: DAY_MS / 2, ids: 0 }
    }

    /// The statement that declares a table. `own` and `low` are the watermarks that a row met: of its table, and of all.
    pub(super) fn declaration(&self, table: usize) -> String {
        let delay = self.delays_ms[table] as f64 / 1_000.0;
        format!(
            "CREATE TABLE e{table} (id INT, ts TIMESTAMP(3), k INT, v INT, s STRING, slight BOOLEAN, own TIMESTAMP(3), \
             low TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '{delay}' SECOND)"
        )
    }

    /// Views of the first table without the rows that a session may or may not take: `s0`, and `b0` without those that are late
    /// for every session.
    pub(super) fn views() -> [String; 2] {
        let of = |name: &str, more: &str| format!("CREATE VIEW {name} AS SELECT * FROM e0 WHERE NOT slight{more}");
        [of("s0", ""), of("b0", &format!(" AND id < {LAST_ID} AND ts > {FAR}"))]
    }

    /// The first moment that no window that is closed by now can end after. `low`: for who reads all tables.
    pub(super) fn closed_until(&self, low: bool) -> String {
        let watermark = if low { self.low } else { self.watermarks[0] };
        moment(watermark.map(|watermark| watermark + 1))
    }

    /// A row of each table, an hour before the others: from then on each of them holds the watermark back.
    pub(super) fn first(&mut self) -> Vec<String> {
        let hour_ms = 3_600_000;
        let mut first = |table| {
            self.ids += 1;
            let at = self.now_ms - hour_ms + self.ids;
            self.rows(table, vec![(self.ids, at, "0, 0, ''".to_owned())])
        };
        (0..TABLES).map(&mut first).collect()
    }

    /// The next insertions, one into each table and sometimes another.
    pub(super) fn next(&mut self, random: &mut Random) -> Vec<String> {
        let mut inserts = Vec::new();
        for _ in 0..random.between(1, 2) {
            for table in 0..TABLES {
                inserts.push(self.insert(table, random));
            }
            self.now_ms += [0, 1_000, 4_000, 15_000, 60_000][random.below(5)];
        }
        inserts
    }

    /// Rows so late that they close all windows that others are in.
    pub(super) fn last(&mut self) -> Vec<String> {
        (0..TABLES).map(|table| self.rows(table, vec![(LAST_ID, 20 * DAY_MS, "NULL, NULL, NULL".to_owned())])).collect()
    }

    fn insert(&mut self, table: usize, random: &mut Random) -> String {
        let mut rows = Vec::new();
        for _ in 0..random.between(1, 9) {
            self.ids += 1;
            let disorder = i64::try_from(random.below(12)).unwrap() * 1_000;
            let second = match (self.watermarks[table], random.below(20)) {
                (Some(watermark), 0..3) => watermark - disorder - 1_000,
                (Some(_), 3) => -DAY_MS / 4 - disorder,
                _ => self.now_ms + disorder - self.delays_ms[table].min(4_000),
            };
            // No two rows of a table have one time.
            let at = second.div_euclid(1_000) * 1_000 + self.ids % 1_000;
            let value = |random: &mut Random, bound: usize| match random.chance(10) {
                true => "NULL".to_owned(),
                false => random.below(bound).to_string(),
            };
            let (k, v) = (value(random, 3), value(random, 10));
            rows.push((self.ids, at, format!("{k}, {v}, '{}'", random.pick(&["a", "b", "", "ß"]))));
        }
        self.rows(table, rows)
    }

    /// The insertion of rows, which moves the watermarks on.
    fn rows(&mut self, table: usize, rows: Vec<(i64, i64, String)>) -> String {
        let (own, low) = (moment(self.watermarks[table]), moment(self.low));
        let met = self.watermarks[table].max(self.low);
        let text = rows.iter().map(|(id, at, values)| {
            let slight = met.is_some_and(|watermark| *at < watermark) && *at > 0;
            format!("({id}, {}, {values}, {slight}, {own}, {low})", moment(Some(*at)))
        });
        let insert = format!("INSERT INTO e{table} VALUES {}", text.collect::<Vec<_>>().join(", "));
        let latest = rows.iter().map(|(_, at, _)| at - self.delays_ms[table]).max();
        self.watermarks[table] = self.watermarks[table].max(latest);
        // A table without a row holds nothing back.
        let least = self.watermarks.iter().filter_map(|watermark| *watermark).min();
        self.low = self.low.max(least);
        insert
    }
}
