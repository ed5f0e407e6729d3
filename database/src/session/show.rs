//! `SHOW`, `DESCRIBE`, `SHOW CREATE`: what exists, as rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::kernels::comparison::{ilike, like};
use arrow::compute::{filter, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use millstream_sql::ast::{NamePattern, Show};
use millstream_sql::catalog::{ColumnOrigin, Relation, RelationKind};
use millstream_sql::error::from_arrow;
use millstream_sql::namespace::split;
use millstream_sql::{SqlError, SqlState};

use super::{Database, Outcome, Rows, Session, checkpoint_list, details, functions, job_list};

/// Word of the command tag.
const COMMAND: &str = "SHOW";

impl Session {
    pub(super) fn show(&self, what: &Show) -> Result<Outcome, SqlError> {
        answer(self.show_schema(what), self.show_columns(what)?)
    }

    fn show_columns(&self, what: &Show) -> Result<Vec<ArrayRef>, SqlError> {
        let columns = match what {
            Show::Tables => self.tables(&self.snapshot().current_prefix().unwrap_or_default()),
            Show::Views => self.relations(|kind| matches!(kind, RelationKind::View { .. })),
            Show::MaterializedViews => self.relations(|kind| matches!(kind, RelationKind::MaterializedView { .. })),
            Show::Jobs => self.database.job_list(),
            Show::Checkpoints => self.database.checkpoint_list(),
            Show::Savepoints => self.database.savepoint_list()?,
            Show::Watermarks => self.watermarks(),
            Show::Connectors => self.connectors(),
            Show::Formats => vec![texts(millstream_connectors::formats().map(str::to_owned))],
            Show::Functions => functions::all(&self.database.catalog().snapshot(&self.temporary)),
            Show::UserFunctions => functions::own(&self.database.catalog().snapshot(&self.temporary)),
            Show::Catalogs => self.catalogs(),
            Show::CurrentCatalog => self.current_catalog(),
            Show::Databases => self.databases(),
            Show::CurrentDatabase => self.current_database(),
            Show::CreateCatalog(_) | Show::Details(_) | Show::Modules { .. } | Show::Nothing(_) => {
                self.details(what)?
            }
            Show::Under { list, prefix } => match list.as_ref() {
                Show::Tables => self.tables(prefix),
                Show::Views => self.relations_under(prefix, |kind| matches!(kind, RelationKind::View { .. })),
                Show::MaterializedViews => {
                    self.relations_under(prefix, |kind| matches!(kind, RelationKind::MaterializedView { .. }))
                }
                Show::Databases => self.databases_of(Some(prefix.trim_end_matches('.')).filter(|of| !of.is_empty())),
                other => self.show_columns(other)?,
            },
            Show::Matching { list, pattern } => matching(&self.show_columns(list)?, pattern)?,
            Show::All => self.settings_columns(),
            Show::Setting(name) => {
                let (_, value) = self.settings.show(name)?;
                vec![texts([value])]
            }
            Show::Columns(name) | Show::Create(name) | Show::Partitions(name, _) | Show::Of { of: name, .. } => {
                let message = format!("SHOW of \"{name}\" came unbound");
                return Err(SqlError::new(SqlState::INTERNAL_ERROR, message));
            }
        };
        Ok(columns)
    }

    /// The schema of a `SHOW`; that of one setting has the setting's canonical name.
    fn show_schema(&self, what: &Show) -> SchemaRef {
        if let Show::Setting(name) = what
            && let Ok((name, _)) = self.settings.show(name)
        {
            return Arc::new(Schema::new(vec![text(&name)]));
        }
        schema(what)
    }

    /// Everything in a database that `SELECT` can name, as Flink's `SHOW TABLES`.
    fn tables(&self, prefix: &str) -> Vec<ArrayRef> {
        let catalog = self.snapshot();
        let inside = |relation: &&Arc<Relation>| is_under(&relation.name, prefix);
        let names = catalog.relations.values().filter(inside).map(|relation| split(&relation.name).1.to_owned());
        let kinds = catalog.relations.values().filter(inside).map(|relation| kind_name(relation).to_owned());
        vec![texts(names), texts(kinds)]
    }

    fn relations(&self, wanted: impl Fn(&RelationKind) -> bool) -> Vec<ArrayRef> {
        self.relations_under(&self.snapshot().current_prefix().unwrap_or_default(), wanted)
    }

    fn relations_under(&self, prefix: &str, wanted: impl Fn(&RelationKind) -> bool) -> Vec<ArrayRef> {
        let catalog = self.snapshot();
        let found = catalog.relations.values().filter(|relation| wanted(&relation.kind));
        let found = found.filter(|relation| is_under(&relation.name, prefix));
        vec![texts(found.map(|relation| split(&relation.name).1.to_owned()))]
    }

    fn watermarks(&self) -> Vec<ArrayRef> {
        let splits = self.database.engine().splits();
        vec![
            numbers(splits.iter().map(|split| split.job.0)),
            texts(splits.iter().map(|split| split.table.clone())),
            texts(splits.iter().map(|split| split.split.clone())),
            texts(splits.iter().map(|split| split.watermark.to_string())),
            Arc::new(splits.iter().map(|split| Some(split.idle)).collect::<BooleanArray>()),
            numbers(splits.iter().map(|split| split.rows)),
        ]
    }

    fn connectors(&self) -> Vec<ArrayRef> {
        let catalog = self.database.catalog().snapshot(&self.temporary);
        let found: Vec<_> = catalog.connectors.values().collect();
        let options = |connector: &millstream_engine::ports::ConnectorDescriptor| {
            connector.options.iter().map(|option| option.name).collect::<Vec<_>>().join(", ")
        };
        vec![
            texts(found.iter().map(|connector| connector.name.to_owned())),
            Arc::new(found.iter().map(|connector| Some(connector.capabilities.source)).collect::<BooleanArray>()),
            Arc::new(found.iter().map(|connector| Some(connector.capabilities.sink)).collect::<BooleanArray>()),
            texts(found.iter().map(|connector| connector.doc.to_owned())),
            texts(found.iter().map(|connector| options(connector))),
        ]
    }

    fn settings_columns(&self) -> Vec<ArrayRef> {
        let lines = self.settings.lines();
        vec![
            texts(lines.iter().map(|line| line.name.clone())),
            texts(lines.iter().map(|line| line.value.clone())),
            texts(lines.iter().map(|line| line.origin.to_string())),
            texts(lines.iter().map(|line| line.description.to_owned())),
        ]
    }
}

/// Whether a relation is in the database with this prefix.
fn is_under(name: &str, prefix: &str) -> bool {
    split(name).0.unwrap_or_default() == prefix.trim_end_matches('.')
}

/// The rows whose name, in the first column, is as the pattern says.
fn matching(columns: &[ArrayRef], pattern: &NamePattern) -> Result<Vec<ArrayRef>, SqlError> {
    let Some(names) = columns.first() else { return Ok(Vec::new()) };
    let text = StringArray::new_scalar(&pattern.text);
    let found = if pattern.any_case { ilike(names, &text) } else { like(names, &text) }.map_err(from_arrow)?;
    let wanted = if pattern.negated { not(&found).map_err(from_arrow)? } else { found };
    columns.iter().map(|column| filter(column, &wanted).map_err(from_arrow)).collect()
}

/// The jobs as `SHOW JOBS` tells them.
///
/// # Errors
/// Where Arrow cannot make the batch.
pub(crate) fn jobs_batch(database: &Database) -> Result<RecordBatch, SqlError> {
    RecordBatch::try_new(job_list::schema(), database.job_list()).map_err(from_arrow)
}

/// The columns of a `SHOW`.
pub(super) fn schema(what: &Show) -> SchemaRef {
    let fields = match what {
        Show::Tables => vec![text("name"), text("kind")],
        Show::Views | Show::MaterializedViews => vec![text("name")],
        Show::Jobs => return job_list::schema(),
        Show::Checkpoints => return checkpoint_list::schema(),
        Show::Savepoints => return checkpoint_list::savepoint_schema(),
        Show::Watermarks => {
            vec![number("job"), text("table"), text("split"), text("watermark"), flag("idle"), number("rows")]
        }
        Show::Connectors => {
            vec![text("name"), flag("source"), flag("sink"), text("description"), text("options")]
        }
        Show::Functions | Show::UserFunctions => functions::fields(),
        Show::Formats => vec![text("name")],
        Show::Catalogs => vec![text("catalog name")],
        Show::CurrentCatalog => vec![text("current catalog name")],
        Show::Databases => vec![text("database name")],
        Show::CurrentDatabase => vec![text("current database name")],
        Show::Partitions(..) => return partitions_schema(),
        Show::Columns(_) => return describe_schema(),
        Show::Create(_) => return create_schema(),
        Show::Matching { list, .. } | Show::Of { list, .. } | Show::Under { list, .. } => return schema(list),
        Show::CreateCatalog(_) | Show::Details(_) | Show::Modules { .. } | Show::Nothing(_) => {
            return details::schema(what);
        }
        Show::All => vec![text("name"), text("setting"), text("source"), text("description")],
        Show::Setting(name) => vec![text(name)],
    };
    Arc::new(Schema::new(fields))
}

/// The columns of `DESCRIBE`, as Flink has them.
pub(super) fn describe_schema() -> SchemaRef {
    let fields =
        vec![text("name"), text("type"), flag("null"), text("key"), text("extras"), text("watermark"), text("comment")];
    Arc::new(Schema::new(fields))
}

/// The columns of `SHOW PARTITIONS`.
pub(super) fn partitions_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("partition name")]))
}

/// The columns of `SHOW CREATE`.
pub(super) fn create_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![text("result")]))
}

/// The columns of a relation, or those whose names are so.
pub(super) fn describe(relation: &Relation, pattern: Option<&NamePattern>) -> Result<Outcome, SqlError> {
    let columns = &relation.columns;
    let key = primary_key_names(relation);
    let key_text = (!key.is_empty()).then(|| format!("PRI({})", key.join(", ")));
    let watermark = watermark(relation);
    let extras = |origin: &ColumnOrigin| match origin {
        ColumnOrigin::Physical => None,
        ColumnOrigin::Computed(expr) => Some(format!("AS {expr}")),
        ColumnOrigin::Metadata(key, false) => Some(format!("METADATA FROM '{key}'")),
        ColumnOrigin::Metadata(key, true) => Some(format!("METADATA FROM '{key}' VIRTUAL")),
    };
    let lines: Vec<ArrayRef> = vec![
        texts(columns.iter().map(|column| column.name.clone())),
        texts(columns.iter().map(|column| column.data_type.text.clone())),
        Arc::new(columns.iter().map(|column| Some(column.nullable)).collect::<BooleanArray>()),
        Arc::new(
            columns
                .iter()
                .map(|column| key.contains(&column.name.as_str()).then(|| key_text.clone()).flatten())
                .collect::<StringArray>(),
        ),
        Arc::new(columns.iter().map(|column| extras(&column.origin)).collect::<StringArray>()),
        Arc::new(
            (0..columns.len())
                .map(|index| watermark.and_then(|(at, expr)| (at == index).then(|| expr.to_owned())))
                .collect::<StringArray>(),
        ),
        Arc::new(columns.iter().map(|column| column.comment.clone()).collect::<StringArray>()),
    ];
    let lines = match pattern {
        Some(pattern) => matching(&lines, pattern)?,
        None => lines,
    };
    answer(describe_schema(), lines)
}

/// The partitions of a table as its directories are now: `dt=2024-01-01/kind=x`.
pub(super) async fn partitions(relation: &Relation, of: &[String]) -> Result<Outcome, SqlError> {
    let RelationKind::ConnectorTable(table) = &relation.kind else {
        return Err(SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not partitioned", relation.name)));
    };
    let spec = table.spec.clone();
    let found = tokio::task::spawn_blocking(move || millstream_connectors::partitions(&spec)).await;
    let found =
        found.map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {error}")))??;
    let wanted = |path: &String| of.iter().all(|part| path.split('/').any(|found| found == part));
    answer(partitions_schema(), vec![texts(found.into_iter().filter(wanted))])
}

pub(super) fn create(relation: &Relation) -> Result<Outcome, SqlError> {
    answer(create_schema(), vec![texts([relation.definition.clone()])])
}

/// The names of the primary key columns, or of those that identify a row of a view.
fn primary_key_names(relation: &Relation) -> Vec<&str> {
    match &relation.kind {
        RelationKind::ConnectorTable(table) => field_names(&table.spec.schema, &table.spec.primary_key),
        RelationKind::InternalTable(table) => field_names(&table.schema, &table.primary_key),
        RelationKind::MaterializedView { stream_key, .. } => {
            let key = stream_key.iter().flatten();
            key.filter_map(|index| relation.columns.get(*index)).map(|column| column.name.as_str()).collect()
        }
        RelationKind::View { .. } => Vec::new(),
    }
}

fn field_names<'a>(schema: &'a Schema, indexes: &[usize]) -> Vec<&'a str> {
    indexes.iter().filter_map(|index| schema.fields().get(*index)).map(|field| field.name().as_str()).collect()
}

/// The event-time column of a relation and its watermark.
fn watermark(relation: &Relation) -> Option<(usize, &str)> {
    let declared = match &relation.kind {
        RelationKind::ConnectorTable(table) => table.watermark.as_ref(),
        RelationKind::InternalTable(table) => table.watermark.as_ref(),
        RelationKind::View { .. } | RelationKind::MaterializedView { .. } => None,
    };
    declared.map(|(index, expr)| (*index, expr.as_str()))
}

/// What a relation is called in listings.
pub(crate) fn kind_name(relation: &Relation) -> &'static str {
    match &relation.kind {
        RelationKind::ConnectorTable(_) => "connector table",
        RelationKind::InternalTable(_) => "table",
        RelationKind::View { .. } => "view",
        RelationKind::MaterializedView { .. } => "materialized view",
    }
}

fn answer(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<Outcome, SqlError> {
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(from_arrow)?;
    Ok(Outcome::rows(Rows::from_batches(schema, vec![batch], COMMAND)))
}

pub(super) fn text(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

pub(super) fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

fn flag(name: &str) -> Field {
    Field::new(name, DataType::Boolean, true)
}

pub(crate) fn texts(values: impl IntoIterator<Item = String>) -> ArrayRef {
    Arc::new(values.into_iter().map(Some).collect::<StringArray>())
}

pub(super) fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(values.map(|value| i64::try_from(value).ok()).collect::<Int64Array>())
}

pub(crate) fn some_numbers(values: impl Iterator<Item = Option<u64>>) -> ArrayRef {
    Arc::new(values.map(|value| value.and_then(|value| i64::try_from(value).ok())).collect::<Int64Array>())
}

pub(crate) fn moments(values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}
