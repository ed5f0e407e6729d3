//! [`Queries`]: random queries over event time, each in the form that streaming runs or in the form of the batch, which leaves
//! out the rows that streaming drops.

use super::super::expr::{aggregate, predicate};
use super::super::random::Random;
use super::super::world::{Column, Kind};
use super::events::LAST_ID;

/// When a view must have the rows of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// After every insertion.
    Always,
    /// After every insertion those whose window, which ends at `wend`, is closed. `low`: by the watermark of all tables.
    Closed { low: bool },
    /// When everything is closed.
    AtEnd,
}

/// A query and when its rows are to be there.
#[derive(Debug, Clone)]
pub(super) struct Timed {
    pub(super) sql: String,
    pub(super) check: Check,
}

/// When results of windows come out, and so many seconds for which late rows count.
#[derive(Debug, Clone, Copy)]
struct Emit {
    early: bool,
    lateness_s: usize,
}

impl Emit {
    /// What streaming is told; the batch gives the final rows.
    fn clause(self, batch: bool) -> String {
        match (self.early, self.lateness_s) {
            _ if batch => String::new(),
            (false, 0) => String::new(),
            (true, 0) => " EMIT ON UPDATE".to_owned(),
            (false, late) => format!(" EMIT ALLOW LATENESS INTERVAL '{late}' SECOND"),
            (true, late) => format!(" EMIT ON UPDATE ALLOW LATENESS INTERVAL '{late}' SECOND"),
        }
    }
}

/// Makes queries in one of the two forms.
pub(super) struct Queries<'a> {
    random: &'a mut Random,
    batch: bool,
}

impl<'a> Queries<'a> {
    pub(super) fn new(random: &'a mut Random, batch: bool) -> Self {
        Self { random, batch }
    }

    pub(super) fn make(mut self) -> Timed {
        match self.random.below(12) {
            0..3 => {
                let emit = self.emit();
                let sql = self.windows("e0", emit, "own") + &emit.clause(self.batch);
                let check = if emit.early { Check::Always } else { Check::Closed { low: false } };
                Timed { sql, check }
            }
            3 => self.sessions(),
            4 => self.window_join(),
            5 => self.join_of_aggregates(),
            6 => self.window_top_n(),
            7 => self.top_n_of_aggregates(),
            8 => self.cascade(),
            9 => self.interval_join(),
            10 => self.over(),
            _ => self.first_rows(),
        }
    }

    fn emit(&mut self) -> Emit {
        let lateness_s = if self.random.chance(25) { self.random.between(1, 20) } else { 0 };
        // Without early results late ones come out all the same.
        Emit { early: self.random.chance(30), lateness_s }
    }

    /// A window function over a table.
    fn tvf(&mut self, table: &str) -> String {
        let seconds = |n: usize| format!("INTERVAL '{n}' SECOND");
        match self.random.below(4) {
            0 => {
                let step = self.random.between(1, 4);
                let size = seconds(step * self.random.between(1, 4));
                format!("CUMULATE(TABLE {table}, DESCRIPTOR(ts), {}, {size})", seconds(step))
            }
            1 => {
                let (slide, size) = (self.random.between(1, 6), self.random.between(2, 15));
                format!("HOP(TABLE {table}, DESCRIPTOR(ts), {}, {})", seconds(slide), seconds(size))
            }
            _ => format!("TUMBLE(TABLE {table}, DESCRIPTOR(ts), {})", seconds(self.random.between(1, 20))),
        }
    }

    /// The condition of the rows that are not late for their window; nothing in streaming.
    fn in_time(&self, emit: Emit, watermark: &str) -> String {
        if !self.batch {
            return "TRUE".to_owned();
        }
        let close = format!("window_end - INTERVAL '0.001' SECOND + INTERVAL '{}' SECOND", emit.lateness_s);
        format!("id < {LAST_ID} AND {watermark} < {close}")
    }

    fn scope() -> Vec<Column> {
        let of = |name: &str, kind| Column { name: name.to_owned(), kind };
        vec![of("k", Kind::Int), of("v", Kind::Int), of("s", Kind::Text), of("id", Kind::Int)]
    }

    /// Aggregates of windows: columns `wstart`, `wend`, `wtime`, perhaps `k`, then `a0`, `a1`.
    fn windows(&mut self, table: &str, emit: Emit, watermark: &str) -> String {
        let tvf = self.tvf(table);
        let keyed = self.random.chance(60);
        let scope = Self::scope();
        let calls: Vec<String> = (0..2).map(|at| format!("{} AS a{at}", aggregate(&scope, self.random).0)).collect();
        let condition = match self.random.chance(30) {
            true => format!("{} AND ", predicate(&scope, 1, self.random)),
            false => String::new(),
        };
        let having = self.having(emit.early);
        let (k, by) = if keyed { ("k", ", k") } else { ("0 AS k", "") };
        format!(
            "SELECT window_start AS wstart, window_end AS wend, window_time AS wtime, {k}, {} FROM TABLE({tvf}) \
             WHERE {condition}{} GROUP BY window_start, window_end, window_time{by}{having}",
            calls.join(", "),
            self.in_time(emit, watermark),
        )
    }

    /// A condition on groups. The group of the last rows comes out early only, and is not looked at.
    fn having(&mut self, early: bool) -> String {
        let more = self.random.chance(15);
        match (early, more) {
            (false, false) => String::new(),
            (false, true) => " HAVING COUNT(*) > 1".to_owned(),
            (true, false) => format!(" HAVING MIN(id) < {LAST_ID}"),
            (true, true) => format!(" HAVING MIN(id) < {LAST_ID} AND COUNT(*) > 1"),
        }
    }

    /// Sessions, of rows that are in time or late for every session.
    fn sessions(&mut self) -> Timed {
        let gap = self.random.between(1, 6);
        let (keyed, emit) = (self.random.chance(60), self.random.chance(30));
        let (partition, k, by) = if keyed { (" PARTITION BY k", "k", ", k") } else { ("", "0 AS k", "") };
        let call = aggregate(&Self::scope(), self.random).0;
        let table = if self.batch { "b0" } else { "s0" };
        let (having, clause) = (self.having(emit), Emit { early: emit, lateness_s: 0 }.clause(self.batch));
        let sql = format!(
            "SELECT window_start AS wstart, window_end AS wend, {k}, {call} AS a0 FROM TABLE(SESSION(TABLE {table}{partition}, \
             DESCRIPTOR(ts), INTERVAL '{gap}' SECOND)) GROUP BY window_start, window_end{by}{having}{clause}"
        );
        Timed { sql, check: if emit { Check::Always } else { Check::Closed { low: false } } }
    }

    /// Rows of two tables in equal windows.
    fn window_join(&mut self) -> Timed {
        let tvf = self.tvf("@");
        let none = Emit { early: false, lateness_s: 0 };
        let side = |table: &str, watermark: &str| {
            let condition = self.in_time(none, watermark);
            format!("(SELECT * FROM TABLE({}) WHERE {condition})", tvf.replace('@', table))
        };
        let (left, right) = (side("e0", "low"), side("e1", "low"));
        let on = "l.k = r.k AND l.window_start = r.window_start AND l.window_end = r.window_end";
        let more = if self.random.chance(30) { " AND l.v < r.v" } else { "" };
        let exists = ["", "NOT "][self.random.below(2)];
        let (kind, wend) = match self.random.below(6) {
            0 => ("LEFT", "l.window_end"),
            1 => ("RIGHT", "r.window_end"),
            2 => ("FULL", "COALESCE(l.window_end, r.window_end)"),
            3 => {
                let sql = format!(
                    "SELECT l.id, l.window_start AS wstart, l.window_end AS wend FROM {left} AS l \
                     WHERE {exists}EXISTS (SELECT 1 FROM {right} AS r WHERE {on}{more})"
                );
                return Timed { sql, check: Check::Closed { low: true } };
            }
            _ => ("INNER", "l.window_end"),
        };
        let sql = format!(
            "SELECT l.id AS lid, r.id AS rid, {wend} AS wend FROM {left} AS l {kind} JOIN {right} AS r ON {on}{more}"
        );
        Timed { sql, check: Check::Closed { low: true } }
    }

    /// Aggregates of equal windows of both tables, each late by its own watermark.
    fn join_of_aggregates(&mut self) -> Timed {
        let emit = Emit { early: self.random.chance(30), lateness_s: 0 };
        let (mut left, mut right) = (String::new(), String::new());
        // Both sides have to have the same window.
        let tvf = self.tvf("@");
        for (side, table) in [(&mut left, "e0"), (&mut right, "e1")] {
            let call = aggregate(&Self::scope(), self.random).0;
            *side = format!(
                "(SELECT k, window_start AS wstart, window_end AS wend, {call} AS a FROM TABLE({}) WHERE {} \
                 GROUP BY k, window_start, window_end{})",
                tvf.replace('@', table),
                self.in_time(emit, "own"),
                self.having(emit.early)
            );
        }
        let kind = self.random.pick(&["INNER", "LEFT", "FULL"]);
        let sql = format!(
            "SELECT l.k AS lk, r.k AS rk, l.wend AS wend, r.wend AS rend, l.a AS la, r.a AS ra FROM {left} AS l {kind} JOIN {right} AS r \
             ON l.k = r.k AND l.wstart = r.wstart AND l.wend = r.wend{}",
            emit.clause(self.batch)
        );
        Timed { sql, check: if emit.early { Check::Always } else { Check::AtEnd } }
    }

    fn bound(&mut self) -> String {
        match self.random.below(3) {
            0 => "= 1".to_owned(),
            _ => format!("<= {}", self.random.between(1, 3)),
        }
    }

    /// The first rows of each window.
    fn window_top_n(&mut self) -> Timed {
        let (tvf, bound) = (self.tvf("e0"), self.bound());
        let key = if self.random.chance(50) { ", k" } else { "" };
        let order = self.random.pick(&["v DESC, id", "ts", "ts DESC", "v, s, id DESC"]);
        let none = Emit { early: false, lateness_s: 0 };
        let sql = format!(
            "SELECT id, v, wend, n FROM (SELECT *, window_end AS wend, ROW_NUMBER() OVER (PARTITION BY window_start, \
             window_end{key} ORDER BY {order}) AS n FROM TABLE({tvf}) WHERE {}) AS w WHERE n {bound}",
            self.in_time(none, "own")
        );
        Timed { sql, check: Check::Closed { low: false } }
    }

    fn top_n_of_aggregates(&mut self) -> Timed {
        let (emit, bound) = (self.emit(), self.bound());
        let inner = self.windows("e0", emit, "own");
        let sql = format!(
            "SELECT wend, k, a0, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY wstart, wend ORDER BY a0 DESC, k) AS n \
             FROM ({inner}) AS i) AS w WHERE n {bound}{}",
            emit.clause(self.batch)
        );
        let check = if emit.early { Check::Always } else { Check::Closed { low: false } };
        Timed { sql, check }
    }

    /// Windows over the results of windows.
    fn cascade(&mut self) -> Timed {
        let emit = Emit { early: self.random.chance(30), lateness_s: 0 };
        let inner = self.windows("e0", emit, "own");
        let size = self.random.between(10, 40);
        let last = "wtime < TIMESTAMP '2026-01-15 00:00:00'";
        let sql = format!(
            "SELECT window_end AS wend, k, COUNT(*) AS n, MIN(a0) AS least FROM TABLE(TUMBLE(TABLE (SELECT * FROM \
             ({inner}) AS i WHERE {last}), DESCRIPTOR(wtime), INTERVAL '{size}' SECOND)) \
             GROUP BY window_start, window_end, k{}",
            emit.clause(self.batch)
        );
        Timed { sql, check: Check::AtEnd }
    }

    fn interval_join(&mut self) -> Timed {
        let (before, after) = (self.random.below(5), self.random.between(0, 8));
        let late = if self.batch { " AND ts >= low" } else { "" };
        let side = |table: &str| format!("(SELECT * FROM {table} WHERE id < {LAST_ID}{late})");
        let kind = self.random.pick(&["INNER", "INNER", "LEFT", "RIGHT", "FULL"]);
        let more = if self.random.chance(30) { " AND l.v <= r.v" } else { "" };
        let sql = format!(
            "SELECT l.id AS lid, r.id AS rid FROM {} AS l {kind} JOIN {} AS r ON l.k = r.k AND r.ts BETWEEN \
             l.ts - INTERVAL '{before}' SECOND AND l.ts + INTERVAL '{after}' SECOND{more}",
            side("e0"),
            side("e1")
        );
        Timed { sql, check: if kind == "INNER" { Check::Always } else { Check::AtEnd } }
    }

    /// Running results in order of time.
    fn over(&mut self) -> Timed {
        let partition = if self.random.chance(70) { "PARTITION BY k " } else { "" };
        let frame = match self.random.below(4) {
            0 => String::new(),
            1 => format!("RANGE BETWEEN INTERVAL '{}' SECOND PRECEDING AND CURRENT ROW", self.random.between(1, 9)),
            2 => format!("ROWS BETWEEN {} PRECEDING AND CURRENT ROW", self.random.between(1, 4)),
            _ => "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
        };
        let call =
            self.random.pick(&["SUM(v)", "COUNT(*)", "MIN(v)", "MAX(s)", "COUNT(v)", "AVG(v)", "FIRST_VALUE(id)"]);
        let over = format!("OVER ({partition}ORDER BY ts {frame})");
        let late = if self.batch { " AND ts >= own" } else { "" };
        let sql = format!("SELECT id, ts, {call} {over} AS a FROM e0 WHERE id < {LAST_ID}{late}");
        Timed { sql, check: Check::AtEnd }
    }

    /// The first or the last row of each key.
    fn first_rows(&mut self) -> Timed {
        let first = self.random.chance(60);
        let order = if first { "ts" } else { "ts DESC" };
        // The last row is replaced by later ones only: none is late for it.
        let late = if self.batch && first { " AND ts >= own" } else { "" };
        let sql = format!(
            "SELECT id, k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY {order}) AS n FROM e0 \
             WHERE id < {LAST_ID}{late}) AS f WHERE n = 1"
        );
        Timed { sql, check: if first { Check::AtEnd } else { Check::Always } }
    }
}
