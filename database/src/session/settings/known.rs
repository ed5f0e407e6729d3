//! The settings that a session knows: ours, and those that PostgreSQL's clients set.

use std::str::FromStr;

use chrono_tz::Tz;
use millstream_engine::rejects::OnError;
use millstream_sql::{SqlError, SqlState};

use super::restart;
use crate::units::parse_duration_ms;

pub(super) const RUNTIME_MODE: &str = "execution.runtime-mode";
pub(super) const SEMANTICS: &str = "sql.semantics";
pub(super) const TIME_ZONE: &str = "TimeZone";
pub(super) const STATEMENT_TIMEOUT: &str = "statement_timeout";
pub(super) const ON_ERROR: &str = "execution.on-error";
pub(super) const EVALUATION_TIMEOUT: &str = "execution.evaluation-timeout";
pub(super) const STATE_TTL: &str = "table.exec.state.ttl";
pub(super) const EARLY_FIRE: &str = "table.exec.emit.early-fire.enabled";
pub(super) const EARLY_FIRE_DELAY: &str = "table.exec.emit.early-fire.delay";
pub(super) const LATE_FIRE: &str = "table.exec.emit.late-fire.enabled";
pub(super) const SEARCH_PATH: &str = "search_path";
pub(super) const LATENESS: &str = "table.exec.emit.allow-lateness";
pub(super) const IDLE_TIMEOUT: &str = "table.exec.source.idle-timeout";
/// Also said by a view that is replaced, for itself.
pub(in crate::session) const FILTER_ABOVE_STATE: &str = "sql.filter-above-state";

/// The settings that a view or job depends on for as long as it lives: kept with it.
const KEPT: [&str; 12] = [
    SEMANTICS,
    TIME_ZONE,
    ON_ERROR,
    EVALUATION_TIMEOUT,
    STATE_TTL,
    EARLY_FIRE,
    EARLY_FIRE_DELAY,
    LATE_FIRE,
    LATENESS,
    IDLE_TIMEOUT,
    FILTER_ABOVE_STATE,
    SEARCH_PATH,
];

/// How the text of a setting is checked.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    Boolean,
    /// A whole number in this range.
    Integer(i64, i64),
    /// A number that is not less than this.
    Number(f64),
    Duration,
    Zone,
    Choice(&'static [&'static str]),
    /// It has one value; another is refused.
    Fixed,
}

/// A setting that exists.
#[derive(Debug)]
pub(super) struct Known {
    /// Its name, in PostgreSQL's or Flink's spelling.
    pub(super) name: &'static str,
    /// The value where nobody set one.
    pub(super) default: &'static str,
    kind: Kind,
    /// One sentence for people.
    pub(super) description: &'static str,
}

pub(super) const fn known(name: &'static str, default: &'static str, kind: Kind, description: &'static str) -> Known {
    Known { name, default, kind, description }
}

const CLIENT_LEVELS: &[&str] = &["debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error"];
const ISOLATION: &[&str] = &["serializable", "repeatable read", "read committed", "read uncommitted"];

static KNOWN: &[Known] = &[
    known(
        RUNTIME_MODE,
        "automatic",
        Kind::Choice(&["automatic", "batch", "streaming"]),
        "Where SELECT and INSERT are computed: in batch, or as a dataflow.",
    ),
    known(
        SEMANTICS,
        "postgres",
        Kind::Choice(&["postgres", "flink"]),
        "Whose rules decide where Flink and PostgreSQL disagree on a result.",
    ),
    known(TIME_ZONE, "UTC", Kind::Zone, "The zone of TIMESTAMP_LTZ values; also table.local-time-zone."),
    known(STATEMENT_TIMEOUT, "0", Kind::Duration, "The time a statement may take; 0 is no limit."),
    known(
        ON_ERROR,
        "fail",
        Kind::Choice(OnError::WORDS),
        "What is done with rows that a job cannot compute: it fails, they are skipped, or kept in millstream.bad_rows.",
    ),
    known(
        EVALUATION_TIMEOUT,
        "1 min",
        Kind::Duration,
        "The time that a job may compute before others have their turn; one that takes longer fails. 0 is no limit.",
    ),
    known(STATE_TTL, "0", Kind::Duration, "State that nothing has touched for so long is dropped; 0 is never."),
    known(EARLY_FIRE, "false", Kind::Boolean, "Whether windows give results before their close; see EMIT."),
    known(EARLY_FIRE_DELAY, "0", Kind::Duration, "The time between two early results; 0 is with each change."),
    known(LATE_FIRE, "false", Kind::Boolean, "Whether late rows replace the results of closed windows; see EMIT."),
    known(LATENESS, "0", Kind::Duration, "How late such rows may be; 0 is table.exec.state.ttl."),
    known(
        IDLE_TIMEOUT,
        "0",
        Kind::Duration,
        "After so long without a row a split no longer holds the watermark back, where its table says nothing; 0 is never.",
    ),
    known(
        FILTER_ABOVE_STATE,
        "off",
        Kind::Boolean,
        "Whether the last filter of a query stays behind its joins and aggregates, so that it can change and they stay.",
    ),
    known("table.exec.sink.not-null-enforcer", "error", Kind::Choice(&["error"]), "A null for NOT NULL is an error."),
    known(
        "table.exec.sink.type-length-enforcer",
        "ignore",
        Kind::Choice(&["ignore"]),
        "Texts go to sinks as they are.",
    ),
    known("table.exec.legacy-cast-behaviour", "disabled", Kind::Choice(&["disabled"]), "Casts that fail are errors."),
    known("table.sql-dialect", "default", Kind::Choice(&["default"]), "The language is Flink's, and PostgreSQL's."),
    known("application_name", "", Kind::Text, "The name of the client program."),
    known("backslash_quote", "safe_encoding", Kind::Text, "Accepted for PostgreSQL's clients."),
    known("bytea_output", "hex", Kind::Choice(&["hex"]), "The text form of BYTES."),
    known("client_encoding", "UTF8", Kind::Choice(&["utf8", "utf-8", "unicode"]), "The encoding of text."),
    known("client_min_messages", "notice", Kind::Choice(CLIENT_LEVELS), "The least level of messages to the client."),
    known("DateStyle", "ISO, MDY", Kind::Text, "The text form of dates: always ISO."),
    known(
        "default_transaction_isolation",
        "read committed",
        Kind::Choice(ISOLATION),
        "Accepted for PostgreSQL's clients.",
    ),
    known("default_transaction_read_only", "off", Kind::Boolean, "Accepted for PostgreSQL's clients."),
    known("extra_float_digits", "1", Kind::Integer(-15, 3), "Accepted: floating point always shows its shortest form."),
    known("idle_in_transaction_session_timeout", "0", Kind::Duration, "Accepted for PostgreSQL's clients."),
    known("integer_datetimes", "on", Kind::Fixed, "Timestamps are whole numbers of microseconds."),
    known("IntervalStyle", "postgres", Kind::Choice(&["postgres"]), "The text form of intervals."),
    known("jit", "off", Kind::Boolean, "Accepted for PostgreSQL's clients."),
    known("lock_timeout", "0", Kind::Duration, "Accepted for PostgreSQL's clients."),
    known("max_identifier_length", "63", Kind::Fixed, "Accepted for PostgreSQL's clients."),
    known("row_security", "off", Kind::Boolean, "Accepted for PostgreSQL's clients."),
    known(SEARCH_PATH, "\"$user\", public", Kind::Text, "The databases that bare names are looked up in; USE sets it."),
    known("server_encoding", "UTF8", Kind::Fixed, "The encoding of the server."),
    known("server_version", crate::SERVER_VERSION, Kind::Fixed, "The version of PostgreSQL that clients may assume."),
    known("server_version_num", "160000", Kind::Fixed, "The same as a number."),
    known("session_authorization", "", Kind::Text, "The user of the session."),
    known("standard_conforming_strings", "on", Kind::Fixed, "A backslash in a string is a backslash."),
    known("synchronize_seqscans", "off", Kind::Boolean, "Accepted for PostgreSQL's clients."),
    known("transaction_isolation", "read committed", Kind::Choice(ISOLATION), "Accepted for PostgreSQL's clients."),
    known("transaction_read_only", "off", Kind::Boolean, "Accepted for PostgreSQL's clients."),
    known("is_superuser", "on", Kind::Fixed, "Whether the user may do all."),
];

/// Whether a setting is kept with views and jobs.
pub(super) fn is_kept(name: &str) -> bool {
    KEPT.contains(&name) || restart::is_restart(name)
}

/// Every setting that a session can change.
pub(super) fn all() -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().chain(restart::RESTART)
}

/// The name that another name stands for.
pub(super) fn alias(lower: &str) -> Option<&'static str> {
    match lower {
        "table.local-time-zone" | "time zone" | "timezone" => Some(TIME_ZONE),
        "restart-strategy" => Some("restart-strategy.type"),
        "names" => Some("client_encoding"),
        _ => None,
    }
}

impl Known {
    /// The value as it is kept.
    ///
    /// # Errors
    /// Where it is not one of this setting.
    pub(super) fn check(&self, value: &str) -> Result<String, SqlError> {
        // A client may send the value as a literal.
        let value = value.trim();
        let value = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(value);
        match self.kind {
            Kind::Text => Ok(value.to_owned()),
            Kind::Boolean => boolean(value).ok_or_else(|| self.refuse(value, "It is on or off.")),
            Kind::Integer(least, greatest) => match value.parse::<i64>() {
                Ok(number) if (least..=greatest).contains(&number) => Ok(number.to_string()),
                _ => Err(self.refuse(value, &format!("It is a whole number from {least} to {greatest}."))),
            },
            Kind::Number(least) => match value.parse::<f64>() {
                Ok(number) if number.is_finite() && number >= least => Ok(number.to_string()),
                _ => Err(self.refuse(value, &format!("It is a number, {least} or more."))),
            },
            Kind::Duration => match parse_duration_ms(value) {
                Some(_) => Ok(value.to_owned()),
                None => Err(self.refuse(value, "It is a duration, such as 500 ms or 2 min.")),
            },
            Kind::Zone => match zone(value) {
                Some(zone) => Ok(zone.name().to_owned()),
                None => Err(self.refuse(value, "It is an IANA name, such as Europe/Berlin.")),
            },
            Kind::Choice(words) => match words.iter().find(|word| word.eq_ignore_ascii_case(value)) {
                // The encoding keeps PostgreSQL's spelling.
                Some(_) if self.name == "client_encoding" => Ok(self.default.to_owned()),
                Some(word) => Ok((*word).to_owned()),
                None => Err(self.refuse(value, &format!("Available values: {}.", words.join(", ")))),
            },
            Kind::Fixed if value.eq_ignore_ascii_case(self.default) => Ok(self.default.to_owned()),
            Kind::Fixed => {
                Err(SqlError::new(SqlState("55P02"), format!("parameter \"{}\" cannot be changed", self.name)))
            }
        }
    }

    fn refuse(&self, value: &str, hint: &str) -> SqlError {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", self.name);
        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message).with_hint(hint)
    }
}

fn boolean(value: &str) -> Option<String> {
    match value.to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Some("on".to_owned()),
        "off" | "false" | "no" | "0" => Some("off".to_owned()),
        _ => None,
    }
}

fn zone(value: &str) -> Option<Tz> {
    if value.eq_ignore_ascii_case("z") || value.eq_ignore_ascii_case("default") || value.eq_ignore_ascii_case("local") {
        return Some(Tz::UTC);
    }
    let alike = || chrono_tz::TZ_VARIANTS.iter().copied().find(|zone| zone.name().eq_ignore_ascii_case(value));
    Tz::from_str(value).ok().or_else(alike)
}
