//! Which columns of a table stand in keys, in values and beside them, and which of them a scan asks for.

use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{ScanRequest, TableSpec};

use super::metadata::Metadata;
use super::settings::{Flavour, Settings};
use crate::formats::WantedColumn;

/// The columns of keys and values.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// Columns of keys, as they are named there.
    pub(super) key_fields: Fields,
    /// Their indexes in the table.
    pub(super) key: Vec<usize>,
    /// Columns of values.
    pub(super) value_fields: Fields,
    /// Their indexes in the table.
    pub(super) value: Vec<usize>,
}

impl Columns {
    /// Sorts out the columns of a table.
    ///
    /// # Errors
    /// Where `key.fields` names no column, or says something without `key.format`.
    pub(super) fn new(flavour: Flavour, table: &TableSpec, has_key_format: bool) -> Result<Self> {
        let fields = table.schema.fields();
        let physical = |index: &usize| is_physical(fields, *index);
        let key = match flavour {
            Flavour::Append => key_fields(table, has_key_format)?,
            Flavour::Upsert => primary_key(table, has_key_format)?,
        };
        let prefix = table.options.get("key.fields-prefix").unwrap_or("");
        let except_key = table.options.get("value.fields-include").is_some_and(|word| word == "EXCEPT_KEY");
        if !prefix.is_empty() && !except_key {
            return Err(EngineError::config(
                "option \"key.fields-prefix\" needs 'value.fields-include' = 'EXCEPT_KEY'",
            ));
        }
        let mut key_fields: Vec<FieldRef> = Vec::with_capacity(key.len());
        for field in key.iter().filter_map(|index| fields.get(*index)) {
            let Some(name) = field.name().strip_prefix(prefix) else {
                return Err(EngineError::config(format!(
                    "column \"{}\" of the key does not begin with \"{prefix}\", as 'key.fields-prefix' says",
                    field.name()
                )));
            };
            key_fields.push(Arc::new(Field::new(name, field.data_type().clone(), field.is_nullable())));
        }
        let all = (0..fields.len()).filter(physical);
        let value: Vec<usize> = all.filter(|index| !except_key || !key.contains(index)).collect();
        let value_fields = value.iter().filter_map(|index| fields.get(*index).cloned()).collect();
        Ok(Self { key_fields: key_fields.into(), key, value_fields, value })
    }
}

fn is_physical(fields: &Fields, index: usize) -> bool {
    fields.get(index).is_some_and(|field| !field.metadata().contains_key(TableSpec::METADATA_KEY))
}

/// The columns that `key.fields` names.
fn key_fields(table: &TableSpec, has_key_format: bool) -> Result<Vec<usize>> {
    let named = table.options.get("key.fields");
    let (names, has_format) = match (named, has_key_format) {
        (Some(names), true) => (names, true),
        (None, false) => return Ok(Vec::new()),
        (Some(_), false) => ("", true),
        (None, true) => ("", false),
    };
    if names.is_empty() {
        let (has, needs) = if has_format { ("key.fields", "key.format") } else { ("key.format", "key.fields") };
        return Err(EngineError::config(format!("option \"{has}\" needs option \"{needs}\"")));
    }
    let find = |name: &str| {
        let fields = table.schema.fields();
        let index = fields.iter().position(|field| field.name() == name);
        index.filter(|index| is_physical(fields, *index)).ok_or_else(|| {
            EngineError::config(format!(
                "option \"key.fields\" names no column of table \"{}\": \"{name}\"",
                table.name
            ))
        })
    };
    names.split(';').map(str::trim).filter(|name| !name.is_empty()).map(find).collect()
}

/// The primary key, which an upsert table must have.
fn primary_key(table: &TableSpec, has_key_format: bool) -> Result<Vec<usize>> {
    if table.primary_key.is_empty() {
        return Err(EngineError::Config {
            message: format!("table \"{}\" has no PRIMARY KEY", table.name),
            hint: Some("connector \"upsert-kafka\" needs one: add PRIMARY KEY (column) NOT ENFORCED".to_owned()),
        });
    }
    if !has_key_format {
        return Err(EngineError::config("connector \"upsert-kafka\" needs option \"key.format\""));
    }
    Ok(table.primary_key.clone())
}

/// Where a column of a scan comes from.
#[derive(Debug, Clone)]
pub(super) enum Output {
    /// A column of the key.
    Key(usize),
    /// A column of what is read of the value.
    Value(usize),
    /// A column of the metadata that are read.
    Metadata(usize),
}

/// What a scan reads of each message, and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What is read of keys, in the order of the batch that comes of it.
    pub(super) key: Vec<WantedColumn>,
    /// What is read of values.
    pub(super) value: Vec<WantedColumn>,
    /// What is read of metadata.
    pub(super) metadata: Vec<Metadata>,
    /// The columns of the scan.
    pub(super) outputs: Vec<Output>,
    /// Their schema.
    pub(super) schema: SchemaRef,
}

impl Layout {
    /// Sorts out the columns of a request.
    ///
    /// # Errors
    /// Where a column is not the table's.
    pub(super) fn new(settings: &Settings, table: &TableSpec, request: &ScanRequest) -> Result<Self> {
        let columns = &settings.columns;
        // Deletions tell their key alone: an upsert reads all of it, and first.
        let key = match settings.flavour {
            Flavour::Append => Vec::new(),
            Flavour::Upsert => (0..columns.key.len()).map(|index| (index, None)).collect(),
        };
        let mut layout = Self {
            key,
            value: Vec::new(),
            metadata: Vec::new(),
            outputs: Vec::with_capacity(request.columns.len()),
            schema: Arc::new(Schema::empty()),
        };
        let mut fields = Vec::with_capacity(request.columns.len());
        for column in &request.columns {
            let lost = || EngineError::Internal(format!("table \"{}\" has no column {}", table.name, column.index));
            let field = table.schema.fields().get(column.index).ok_or_else(lost)?;
            fields.push(Arc::clone(field));
            let in_value = columns.value.iter().position(|index| *index == column.index);
            let in_key = columns.key.iter().position(|index| *index == column.index);
            let from_key = settings.flavour == Flavour::Upsert || in_value.is_none();
            let output = if let Some(key) = field.metadata().get(TableSpec::METADATA_KEY) {
                layout.metadata.push(Metadata::new(key)?);
                Output::Metadata(layout.metadata.len() - 1)
            } else if let Some(index) = in_key.filter(|_| from_key) {
                Output::Key(want(&mut layout.key, index, None))
            } else {
                let index = in_value.ok_or_else(lost)?;
                Output::Value(want(&mut layout.value, index, column.children.clone()))
            };
            layout.outputs.push(output);
        }
        layout.schema = Arc::new(Schema::new(fields));
        Ok(layout)
    }
}

/// The place of a column among those that are read, each once.
fn want(wanted: &mut Vec<WantedColumn>, index: usize, children: Option<Vec<usize>>) -> usize {
    match wanted.iter().position(|(known, _)| *known == index) {
        Some(at) => {
            // Asked for twice: read whole.
            if let Some(known) = wanted.get_mut(at) {
                known.1 = None;
            }
            at
        }
        None => {
            wanted.push((index, children));
            wanted.len() - 1
        }
    }
}
