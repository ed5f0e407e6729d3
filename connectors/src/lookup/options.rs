//! The `lookup.*` options, named as Flink names them.

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{LookupCache, OptionDescriptor, OptionType, OptionValues};

/// Kinds of cache.
const CACHES: &[&str] = &["NONE", "PARTIAL", "FULL"];

/// What the options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LookupOptions {
    /// How answers are kept.
    pub(crate) cache: CacheOption,
    /// How often a failed lookup is tried again.
    pub(crate) retries_max: usize,
}

/// How answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheOption {
    /// Every batch asks.
    None,
    /// Answers by key.
    Partial(LookupCache),
    /// The whole table, loaded again after so many microseconds; `None`: never.
    Full(Option<i64>),
}

impl LookupOptions {
    /// Reads the options. `None` where the table has none of them.
    ///
    /// # Errors
    /// Where they cannot work together.
    pub(crate) fn new(options: &OptionValues) -> Result<Option<Self>> {
        if !descriptors().iter().any(|option| options.get(option.name).is_some()) {
            return Ok(None);
        }
        let either = |name: &'static str, old: &'static str| if options.get(name).is_some() { name } else { old };
        let rows = either("lookup.partial-cache.max-rows", "lookup.cache.max-rows");
        let expire = either("lookup.partial-cache.expire-after-write", "lookup.cache.expire-after-write");
        let reload = "lookup.full-cache.periodic-reload.interval";
        let duration = |name: &str| match options.get(name) {
            Some(_) => options.duration_us(name, 0).map(Some),
            None => Ok(None),
        };
        let rows_max = match options.get(rows) {
            Some(_) => Some(positive(rows, options.integer(rows, 0)?)?),
            None => None,
        };
        let limits = LookupCache { rows_max, expire_us: duration(expire)? };
        let limited = limits.rows_max.is_some() || limits.expire_us.is_some();
        let refuse = |name: &str, cache: &str| {
            Err(EngineError::Config {
                message: format!("option \"{name}\" needs 'lookup.cache' = '{cache}'"),
                hint: None,
            })
        };
        let word = options.get("lookup.cache").map(str::to_ascii_uppercase);
        let cache = match (word.as_deref(), limited, options.get(reload).is_some()) {
            (Some("PARTIAL"), _, false) | (None, true, false) => CacheOption::Partial(limits),
            (Some("FULL"), false, _) | (None, false, true) => CacheOption::Full(duration(reload)?),
            (Some("NONE") | None, false, false) => CacheOption::None,
            (_, _, true) => return refuse(reload, "FULL"),
            (_, true, _) => return refuse(if rows_max.is_some() { rows } else { expire }, "PARTIAL"),
            (Some(_), false, false) => CacheOption::None,
        };
        let retries_max = usize::try_from(options.integer("lookup.max-retries", 3)?)
            .map_err(|_| EngineError::config("option \"lookup.max-retries\" is negative"))?;
        Ok(Some(Self { cache, retries_max }))
    }

    /// What the engine keeps of the answers.
    pub(crate) fn engine_cache(&self) -> Option<LookupCache> {
        match self.cache {
            CacheOption::Partial(limits) => Some(limits),
            CacheOption::None | CacheOption::Full(_) => None,
        }
    }
}

fn positive(name: &str, value: i64) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|value| *value > 0)
        .ok_or_else(|| EngineError::config(format!("option \"{name}\" must be above 0")))
}

/// The options.
pub(crate) fn descriptors() -> Vec<OptionDescriptor> {
    let option = |name, kind, default, doc| OptionDescriptor { name, kind, required: false, default, doc };
    let rows = "Rows that the partial cache of a shard keeps at the most.";
    let expire = "How old an answer in the partial cache may become.";
    vec![
        option(
            "lookup.cache",
            OptionType::Choice(CACHES),
            Some("NONE"),
            "What temporal joins keep: nothing, answers by key, or the whole table.",
        ),
        option("lookup.cache.max-rows", OptionType::Integer, None, rows),
        option("lookup.partial-cache.max-rows", OptionType::Integer, None, rows),
        option("lookup.cache.expire-after-write", OptionType::Duration, None, expire),
        option("lookup.partial-cache.expire-after-write", OptionType::Duration, None, expire),
        option(
            "lookup.full-cache.periodic-reload.interval",
            OptionType::Duration,
            None,
            "How old the full cache may become before it is loaded again; without it it is loaded once.",
        ),
        option("lookup.max-retries", OptionType::Integer, Some("3"), "How often a failed lookup is tried again."),
        option(
            "lookup.async",
            OptionType::Boolean,
            Some("true"),
            "Accepted for Flink's scripts: lookups never block, and rows keep their order, either way.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<Option<LookupOptions>> {
        let values = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        LookupOptions::new(&OptionValues(values.collect()))
    }

    #[test]
    fn options_say_which_cache() {
        assert_eq!(read(&[("path", "x")]).unwrap(), None);
        let cache = |options: &[(&str, &str)]| read(options).unwrap().map(|options| options.cache);
        assert_eq!(cache(&[("lookup.cache", "NONE")]), Some(CacheOption::None));
        assert_eq!(cache(&[("lookup.max-retries", "1")]), Some(CacheOption::None));
        let limits = LookupCache { rows_max: Some(10), expire_us: Some(60_000_000) };
        let partial = [("lookup.cache.max-rows", "10"), ("lookup.partial-cache.expire-after-write", "1 min")];
        assert_eq!(cache(&partial), Some(CacheOption::Partial(limits)));
        let full = [("lookup.cache", "FULL"), ("lookup.full-cache.periodic-reload.interval", "2 s")];
        assert_eq!(cache(&full), Some(CacheOption::Full(Some(2_000_000))));
    }

    #[test]
    fn options_that_do_not_fit_are_refused() {
        assert!(read(&[("lookup.cache", "NONE"), ("lookup.cache.max-rows", "10")]).is_err());
        assert!(read(&[("lookup.cache", "FULL"), ("lookup.cache.max-rows", "10")]).is_err());
        let reload = ("lookup.full-cache.periodic-reload.interval", "2 s");
        assert!(read(&[("lookup.cache", "PARTIAL"), reload]).is_err());
        assert!(read(&[("lookup.cache.max-rows", "0")]).is_err());
        assert!(read(&[("lookup.max-retries", "-1")]).is_err());
    }
}
