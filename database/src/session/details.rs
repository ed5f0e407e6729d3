//! `DESCRIBE CATALOG`, `DATABASE`, `FUNCTION` and `JOB`, `SHOW CREATE CATALOG`, and the lists of what there is always the
//! same of.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::compute::filter;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use millstream_sql::ast::{Details, Show};
use millstream_sql::error::from_arrow;
use millstream_sql::namespace::Namespace;
use millstream_sql::{SqlError, SqlState, create_catalog};

use super::namespaces::{CATALOG, DATABASE};
use super::show::{text, texts};
use super::{Session, functions, job_list};

/// The type that all catalogs have.
const CATALOG_TYPE: &str = "generic_in_memory";

impl Session {
    /// The rows of what this file tells.
    pub(super) fn details(&self, what: &Show) -> Result<Vec<ArrayRef>, SqlError> {
        Ok(match what {
            Show::Modules { full: false } => vec![texts(["core".to_owned()])],
            Show::Modules { full: true } => vec![texts(["core".to_owned()]), Arc::new(BooleanArray::from(vec![true]))],
            Show::CreateCatalog(name) => {
                let found = self.namespace(&format!("{}.", name.value));
                let built_in = Namespace { name: format!("{CATALOG}."), comment: None };
                vec![texts([create_catalog(&found.unwrap_or(built_in))])]
            }
            Show::Details(Details::Catalog(name)) => {
                let found = self.namespace(&format!("{}.", name.value));
                let (name, comment) = named(found, CATALOG);
                table([("name", name), ("type", CATALOG_TYPE.to_owned()), ("comment", comment)])
            }
            Show::Details(Details::Database(name)) => {
                let written = name.to_string().replace(['"', '`'], "");
                let (catalog, database) = written.rsplit_once('.').unwrap_or(("", &written));
                let current = self.snapshot().current_catalog();
                let inside = Some(catalog).filter(|catalog| !catalog.is_empty()).or(current.as_deref());
                let found = inside.and_then(|catalog| self.namespace(&format!("{catalog}.{database}")));
                let found = found.or_else(|| self.namespace(database));
                let catalog = inside.filter(|_| found.as_ref().is_some_and(|found| found.name.contains('.')));
                let catalog = catalog.unwrap_or(CATALOG).to_owned();
                let (name, comment) = named(found, DATABASE);
                table([("catalog", catalog), ("database", name), ("comment", comment)])
            }
            Show::Details(Details::Function(name)) => {
                let columns = functions::all(&self.database.catalog().snapshot(&self.temporary));
                let is_it =
                    |found: Option<&str>| Some(found.is_some_and(|found| found.eq_ignore_ascii_case(&name.value)));
                let wanted = columns.first().map(|names| names.as_string::<i32>().iter().map(is_it).collect());
                wanted_rows(&columns, &wanted.unwrap_or_else(|| BooleanArray::from(Vec::<bool>::new())))?
            }
            Show::Details(Details::Job(id)) => {
                let columns = self.database.job_list();
                let number = id.parse::<i64>().unwrap_or(-1);
                let ids = columns.first().and_then(|ids| ids.as_primitive_opt::<Int64Type>());
                let wanted: BooleanArray = ids
                    .map(|ids| ids.iter().map(|known| Some(known == Some(number))).collect())
                    .unwrap_or_else(|| BooleanArray::from(Vec::<bool>::new()));
                if wanted.true_count() == 0 {
                    let message = format!("job {id} does not exist");
                    let error = SqlError::new(SqlState::UNDEFINED_OBJECT, message);
                    return Err(error.with_hint("SHOW JOBS lists those that exist"));
                }
                wanted_rows(&columns, &wanted)?
            }
            _ => vec![texts([])],
        })
    }

    /// What is known of a database or catalog that somebody made.
    fn namespace(&self, name: &str) -> Option<Namespace> {
        let snapshot = self.snapshot();
        snapshot.namespaces.values().find(|known| known.name.eq_ignore_ascii_case(name)).cloned()
    }
}

/// The name and the comment; of what is always there, its name.
fn named(found: Option<Namespace>, otherwise: &str) -> (String, String) {
    match found {
        Some(Namespace { name, comment }) => {
            let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or_default().to_owned();
            (last, comment.unwrap_or_default())
        }
        None => (otherwise.to_owned(), String::new()),
    }
}

/// Two columns of names and values.
fn table(lines: [(&str, String); 3]) -> Vec<ArrayRef> {
    let (names, values): (Vec<_>, Vec<_>) = lines.into_iter().map(|(name, value)| (name.to_owned(), value)).unzip();
    let values: StringArray = values.into_iter().map(|value| Some(value).filter(|value| !value.is_empty())).collect();
    vec![texts(names), Arc::new(values)]
}

fn wanted_rows(columns: &[ArrayRef], wanted: &BooleanArray) -> Result<Vec<ArrayRef>, SqlError> {
    columns.iter().map(|column| filter(column, wanted).map_err(from_arrow)).collect()
}

/// The columns of what this file tells.
pub(super) fn schema(what: &Show) -> SchemaRef {
    let fields = match what {
        Show::Modules { full: false } => vec![text("module name")],
        Show::Modules { full: true } => vec![text("module name"), Field::new("used", DataType::Boolean, true)],
        Show::CreateCatalog(_) => vec![text("result")],
        Show::Details(Details::Catalog(_) | Details::Database(_)) => vec![text("info name"), text("info value")],
        Show::Details(Details::Function(_)) => functions::fields(),
        Show::Details(Details::Job(_)) => return job_list::schema(),
        Show::Nothing(column) => vec![text(column)],
        _ => Vec::new(),
    };
    Arc::new(Schema::new(fields))
}
