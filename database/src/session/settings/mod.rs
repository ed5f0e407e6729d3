//! The settings of a session: `SET`, `RESET`, `SHOW`.
//!
//! Every setting is known and typed; the list is in [`known`]. A session starts with the values of the process.

mod foreign;
mod known;
mod restart;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use chrono_tz::Tz;
use millstream_engine::plan::{EarlyEmit, WindowEmit};
use millstream_engine::rejects::OnError;
use millstream_sql::bound::StreamingOptions;
use millstream_sql::catalog::{Semantics, nearest};
use millstream_sql::namespace::SearchPath;
use millstream_sql::{SqlError, SqlState};

use crate::config::{Config, Origin};
use crate::encode::TextStyle;
use crate::session::restart::RestartStrategy;
pub(super) use known::FILTER_ABOVE_STATE;
use known::{Known, all};

/// Where a `SELECT` or an `INSERT` is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeMode {
    /// `SELECT` in batch, `INSERT` into connectors as a job.
    Automatic,
    /// In DataFusion.
    Batch,
    /// As a dataflow.
    Streaming,
}

/// One line of `SHOW ALL`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingLine {
    /// Its name.
    pub name: String,
    /// Its value now.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
    /// One sentence for people.
    pub description: &'static str,
}

/// The settings of one session.
#[derive(Debug, Clone)]
pub struct Settings {
    process: Vec<SettingLine>,
    changed: BTreeMap<&'static str, String>,
    mode: RuntimeMode,
    semantics: Semantics,
    time_zone: Tz,
    statement_timeout: Option<Duration>,
    /// There are checkpoints.
    checkpoints: bool,
}

impl Settings {
    /// As the process was started. `checkpoints`: they are made.
    pub fn new(config: &Config, checkpoints: bool) -> Self {
        let process = config.settings.iter().map(|setting| SettingLine {
            name: setting.name.to_owned(),
            value: setting.value.clone(),
            origin: setting.origin,
            description: setting.description,
        });
        Self {
            process: process.collect(),
            changed: BTreeMap::new(),
            mode: RuntimeMode::Automatic,
            semantics: Semantics::Postgres,
            time_zone: Tz::UTC,
            statement_timeout: None,
            checkpoints,
        }
    }

    /// Changes a setting and returns its canonical name and value.
    ///
    /// # Errors
    /// Where there is no such setting (42704, with the nearest name), where it belongs to the process (55P02), or where
    /// the value does not parse (22023).
    pub fn set(&mut self, name: &str, value: &str) -> Result<(&'static str, String), SqlError> {
        if let Some(line) = self.process.iter().find(|line| line.name.eq_ignore_ascii_case(name)) {
            return Err(process_setting(line, value));
        }
        let known = find(name)?;
        let value = known.check(value)?;
        self.changed.insert(known.name, value.clone());
        self.refresh();
        Ok((known.name, value))
    }

    /// The name and the value of a setting about checkpoints: they are those of the server.
    pub(super) fn of_checkpoints(&self, name: &str) -> Option<(&str, &str)> {
        let is_it = |line: &&SettingLine| {
            line.name.starts_with("execution.checkpointing.") && line.name.eq_ignore_ascii_case(name)
        };
        self.process.iter().find(is_it).map(|line| (line.name.as_str(), line.value.as_str()))
    }

    /// Why an option of Flink is taken and means nothing here; `None` where it is a setting, or none at all.
    pub(super) fn without_meaning(&self, name: &str) -> Option<&'static str> {
        let ours = self.process.iter().any(|line| line.name.eq_ignore_ascii_case(name));
        if ours { None } else { foreign::meaningless(name) }
    }

    /// Sets a setting, or all of them, back to the default.
    ///
    /// # Errors
    /// Where there is no such setting.
    pub fn reset(&mut self, name: Option<&str>) -> Result<(), SqlError> {
        match name {
            None => self.changed.clear(),
            Some(name) if self.process.iter().any(|line| line.name.eq_ignore_ascii_case(name)) => (),
            Some(name) if foreign::meaningless(name).is_some() => (),
            Some(name) => {
                self.changed.remove(find(name)?.name);
            }
        }
        self.refresh();
        Ok(())
    }

    /// The canonical name and the value of a setting.
    ///
    /// # Errors
    /// Where there is no such setting.
    pub fn show(&self, name: &str) -> Result<(String, String), SqlError> {
        if let Some(line) = self.process.iter().find(|line| line.name.eq_ignore_ascii_case(name)) {
            return Ok((line.name.clone(), line.value.clone()));
        }
        let known = find(name)?;
        Ok((known.name.to_owned(), self.value(known)))
    }

    /// Every setting, by name.
    pub fn lines(&self) -> Vec<SettingLine> {
        let mut lines = self.process.clone();
        lines.extend(all().map(|known| SettingLine {
            name: known.name.to_owned(),
            value: self.value(known),
            origin: if self.changed.contains_key(known.name) { Origin::Session } else { Origin::Default },
            description: known.description,
        }));
        lines.sort_by_key(|line| line.name.to_lowercase());
        lines
    }

    /// The settings that a view or job depends on for as long as it lives, where they are not the default.
    pub fn kept(&self) -> BTreeMap<String, String> {
        let kept = self.changed.iter().filter(|(name, _)| known::is_kept(name));
        kept.map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    /// Where statements are computed.
    pub fn mode(&self) -> RuntimeMode {
        self.mode
    }

    /// Whose rules decide where Flink and PostgreSQL disagree.
    pub fn semantics(&self) -> Semantics {
        self.semantics
    }

    /// How values are shown.
    pub fn style(&self) -> TextStyle {
        TextStyle { time_zone: self.time_zone }
    }

    /// What is done about a job of this session that fails.
    pub(super) fn restart_strategy(&self) -> RestartStrategy {
        restart::strategy(|name| {
            all().find(|known| known.name == name).map_or_else(String::new, |known| self.value(known))
        })
    }

    /// The zone of the session.
    pub fn time_zone(&self) -> Tz {
        self.time_zone
    }

    /// Where bare names are looked up.
    pub fn search_path(&self) -> SearchPath {
        self.text(known::SEARCH_PATH).map(SearchPath::parse).unwrap_or_default()
    }

    /// How queries are kept up to date.
    pub fn streaming(&self) -> StreamingOptions {
        let span = |name: &str| {
            let text = self.text(name).or_else(|| find(name).ok().map(|known| known.default));
            let millis = text.and_then(crate::units::parse_duration_ms).unwrap_or(0);
            i64::try_from(millis).unwrap_or(i64::MAX).saturating_mul(1_000)
        };
        let is_on = |name: &str| self.text(name) == Some("on");
        let ttl_us = span(known::STATE_TTL);
        let early = match (is_on(known::EARLY_FIRE), span(known::EARLY_FIRE_DELAY)) {
            (false, _) => EarlyEmit::Never,
            (true, 0) => EarlyEmit::EachEpoch,
            (true, delay_us) => EarlyEmit::Every(delay_us),
        };
        let lateness_us = match (is_on(known::LATE_FIRE), span(known::LATENESS)) {
            (false, _) => 0,
            (true, 0) => ttl_us,
            (true, lateness_us) => lateness_us,
        };
        let emit = WindowEmit { early, lateness_us, holds_watermark: true };
        let on_error = self.text(known::ON_ERROR).and_then(OnError::parse).unwrap_or_default();
        let some = |micros: i64| Some(micros).filter(|micros| *micros > 0);
        let evaluation_limit_us = some(span(known::EVALUATION_TIMEOUT));
        let idle_timeout_us = some(span(known::IDLE_TIMEOUT));
        StreamingOptions {
            state_ttl_us: some(ttl_us),
            emit,
            on_error,
            evaluation_limit_us,
            idle_timeout_us,
            filter_above_state: is_on(known::FILTER_ABOVE_STATE),
        }
    }

    /// How long a statement may take.
    pub fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    fn value(&self, known: &Known) -> String {
        let default =
            if self.checkpoints && known.name == restart::TYPE { restart::WITH_CHECKPOINTS } else { known.default };
        self.changed.get(known.name).map_or(default, String::as_str).to_owned()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.changed.get(name).map(String::as_str)
    }

    /// Brings the typed copies up to date. The texts have been checked.
    fn refresh(&mut self) {
        self.mode = match self.text(known::RUNTIME_MODE) {
            Some("batch") => RuntimeMode::Batch,
            Some("streaming") => RuntimeMode::Streaming,
            _ => RuntimeMode::Automatic,
        };
        self.semantics = match self.text(known::SEMANTICS) {
            Some("flink") => Semantics::Flink,
            _ => Semantics::Postgres,
        };
        self.time_zone = self.text(known::TIME_ZONE).and_then(|zone| Tz::from_str(zone).ok()).unwrap_or(Tz::UTC);
        let timeout = self.text(known::STATEMENT_TIMEOUT).and_then(crate::units::parse_duration_ms);
        self.statement_timeout = timeout.filter(|timeout| *timeout > 0).map(Duration::from_millis);
    }
}

fn find(name: &str) -> Result<&'static Known, SqlError> {
    let lower = name.to_ascii_lowercase();
    let canonical = known::alias(&lower).unwrap_or(&lower);
    all().find(|known| known.name.eq_ignore_ascii_case(canonical)).ok_or_else(|| {
        let error =
            SqlError::new(SqlState::UNDEFINED_OBJECT, format!("unrecognized configuration parameter \"{name}\""));
        match nearest(name, all().map(|known| known.name)) {
            Some(near) => error.with_hint(format!("Perhaps you meant \"{near}\".")),
            None => error.with_hint("SHOW ALL lists every parameter."),
        }
    })
}

/// What is answered to `SET` of a setting that only a start can change.
fn process_setting(line: &SettingLine, value: &str) -> SqlError {
    let message = format!("parameter \"{}\" cannot be changed to \"{value}\" without restarting the server", line.name);
    SqlError::new(SqlState("55P02"), message).with_hint(format!(
        "Start the server with it: by a flag, the environment or \"{}\" in millstream.toml.",
        line.name
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // A failed assertion of a test.

    use super::{RuntimeMode, Settings};
    use crate::config::{Config, Origin};

    fn settings() -> Settings {
        Settings::new(&Config::standard(), false)
    }

    #[test]
    fn set_show_reset() {
        let mut settings = settings();
        settings.set("EXECUTION.runtime-mode", "STREAMING").unwrap();
        assert_eq!(settings.mode(), RuntimeMode::Streaming);
        assert_eq!(settings.show("execution.runtime-mode").unwrap().1, "streaming");
        settings.reset(None).unwrap();
        assert_eq!(settings.mode(), RuntimeMode::Automatic);
    }

    #[test]
    fn unknown_names_and_values() {
        let mut settings = settings();
        let error = settings.set("sql.semantic", "flink").unwrap_err();
        assert_eq!(error.parts().state.0, "42704");
        assert_eq!(error.parts().hint.as_deref(), Some("Perhaps you meant \"sql.semantics\"."));
        assert_eq!(settings.set("sql.semantics", "oracle").unwrap_err().parts().state.0, "22023");
        assert_eq!(settings.set("shards", "4").unwrap_err().parts().state.0, "55P02");
    }

    #[test]
    fn time_zones_are_one_setting() {
        let mut settings = settings();
        settings.set("table.local-time-zone", "Europe/Berlin").unwrap();
        assert_eq!(settings.show("TimeZone").unwrap().1, "Europe/Berlin");
        assert!(settings.set("TimeZone", "Mars/Base").is_err());
        let lines = settings.lines();
        let line = lines.iter().find(|line| line.name == "TimeZone").unwrap();
        assert_eq!(line.origin, Origin::Session);
    }
}
