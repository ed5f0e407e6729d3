//! The options of a `postgres` table, read and checked.

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{OptionDescriptor, OptionType, TableSpec};
use tokio_postgres::Config;

use super::query::quoted;
use crate::lookup::{self, CacheOption, LookupOptions};

/// What the options of a table say.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) config: Config,
    /// The table's name as it stands in queries.
    pub(super) table: String,
    pub(super) lookup: LookupOptions,
    /// Where the table is, without secrets.
    pub(super) place: String,
}

impl Settings {
    /// Reads the options.
    ///
    /// # Errors
    /// Where they cannot work.
    pub(super) fn new(spec: &TableSpec) -> Result<Self> {
        let options = &spec.options;
        let either = |one: &str, other: &str| options.get(one).or_else(|| options.get(other)).map(str::to_owned);
        let mut config = match options.get("url") {
            Some(url) => {
                url.strip_prefix("jdbc:").unwrap_or(url).parse::<Config>().map_err(|error| EngineError::Config {
                    message: format!("option \"url\" is no PostgreSQL URL: {error}"),
                    hint: Some("write postgresql://host:5432/database".to_owned()),
                })?
            }
            None => Config::new(),
        };
        if let Some(host) = either("host", "hostname") {
            config.host(&host);
        }
        if options.get("port").is_some() {
            let port = u16::try_from(options.integer("port", 5432)?);
            config.port(port.map_err(|_| EngineError::config("option \"port\" is no port"))?);
        }
        if let Some(database) = either("database", "database-name") {
            config.dbname(&database);
        }
        if let Some(user) = either("username", "user") {
            config.user(&user);
        }
        if let Some(password) = options.get("password") {
            config.password(password);
        }
        config.application_name("millstream");
        if config.get_hosts().is_empty() {
            return Err(EngineError::Config {
                message: format!("table \"{}\" does not say where its server is", spec.name),
                hint: Some("set 'url' = 'postgresql://host:5432/database', or 'host'".to_owned()),
            });
        }
        let name = options
            .get("table-name")
            .ok_or_else(|| EngineError::config(format!("table \"{}\" has no option \"table-name\"", spec.name)))?;
        let table = name.split('.').map(quoted).collect::<Vec<_>>().join(".");
        let none = LookupOptions { cache: CacheOption::None, retries_max: 3 };
        let lookup = LookupOptions::new(options)?.unwrap_or(none);
        let place = format!("postgres table {name} in {}", config.get_dbname().unwrap_or("the user's database"));
        Ok(Self { config, table, lookup, place })
    }
}

/// The options.
pub(super) fn options() -> Vec<OptionDescriptor> {
    let option = |name, kind, doc| OptionDescriptor { name, kind, required: false, default: None, doc };
    let text = OptionType::String;
    let mut options = vec![
        option(
            "url",
            text.clone(),
            "The server and database: postgresql://host:5432/database, also with jdbc: before it.",
        ),
        option("host", text.clone(), "The server, in place of a URL."),
        option("hostname", text.clone(), "As host."),
        option("port", OptionType::Integer, "Its port, 5432 where nothing is said."),
        option("database", text.clone(), "The database."),
        option("database-name", text.clone(), "As database."),
        option("username", text.clone(), "Who logs in."),
        option("user", text.clone(), "As username."),
        option("password", text.clone(), "Their password."),
        OptionDescriptor {
            name: "table-name",
            kind: text,
            required: true,
            default: None,
            doc: "The table or view on the server, with its schema where it is not on the search path.",
        },
    ];
    options.extend(lookup::descriptors());
    options
}
