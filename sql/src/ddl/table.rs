//! `CREATE TABLE`.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast as sp;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Boundedness, ConnectorDescriptor, TableSpec};

use crate::ast::{ColumnDef, ColumnKind, CreateTable, TypeName};
use crate::bound::BoundStatement;
use crate::catalog::{Column, ColumnOrigin, ConnectorTable, InternalTable, Relation, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};
use crate::statement_text;
use crate::types;

use super::expressions::{check_of_one_row, functions_of_table};
use super::names::{quoted, span, with_near};
use super::{Binder, options, queries};

impl Binder<'_> {
    pub(super) fn create_table(&self, table: &CreateTable) -> Result<BoundStatement> {
        let name = self.simple(&table.name)?;
        if let (Some(query), true) = (&table.query, table.or_replace) {
            return self.create_table_as(table, query, self.replaced_table(table, &name)?);
        }
        if let Some(existing) = self.existing(&table.name, &name, table.temporary, table.if_not_exists)? {
            return Ok(BoundStatement::CreateTable { relation: existing.as_ref().clone(), exists: true });
        }
        if let Some(query) = &table.query {
            return self.create_table_as(table, query, None);
        }
        let relation = match &table.like {
            Some(like) => self.table_relation(&self.like(table, like)?)?,
            None => self.table_relation(table)?,
        };
        Ok(BoundStatement::CreateTable { relation, exists: false })
    }

    /// The table whose place a new one takes, where there is one of its name.
    fn replaced_table(&self, table: &CreateTable, name: &str) -> Result<Option<&Relation>> {
        let known = self.context.catalog.relations.get(name);
        let Some(old) = known.filter(|known| known.temporary == table.temporary) else { return Ok(None) };
        if !matches!(old.kind, RelationKind::ConnectorTable(_) | RelationKind::InternalTable(_)) {
            let error = SqlError::new(SqlState::WRONG_OBJECT_TYPE, format!("\"{}\" is not a table", old.name));
            return Err(self.at(error, span(&table.name)));
        }
        self.no_readers(old, &table.name)?;
        Ok(Some(old))
    }

    /// The relation of a table that says all its columns itself.
    pub(super) fn table_relation(&self, table: &CreateTable) -> Result<Relation> {
        let name = self.simple(&table.name)?;
        let catalog = &self.context.catalog;
        let connector = match table.options.is_empty() {
            true => None,
            false => Some(options::connector(&table.options, catalog)?),
        };
        let columns = self.columns(table, connector)?;
        let stored = stored_schema(&columns, connector);
        let watermark = self.watermark(table, &columns, &stored)?;
        let primary_key = self.stored_indexes(&table.primary_key, &columns, &stored, "key")?;
        let partitioned_by = self.stored_indexes(&table.partitioned_by, &columns, &stored, "PARTITIONED BY")?;
        let kind = match connector {
            Some(connector) => {
                let options = options::check(&table.options, connector)?;
                self.partitionable(table, connector)?;
                let spec = TableSpec { name: name.clone(), schema: stored, options, partitioned_by, primary_key };
                // Whether reading ends is the connector's to say: the server fills it in.
                let boundedness = Boundedness::Unbounded;
                let connector = connector.name.to_owned();
                RelationKind::ConnectorTable(ConnectorTable { connector, spec, watermark, boundedness })
            }
            None => {
                self.internal_partitions(table)?;
                RelationKind::InternalTable(InternalTable { schema: stored, primary_key, watermark })
            }
        };
        let mut relation = Relation {
            id: RelationId(0),
            name,
            temporary: table.temporary,
            columns,
            kind,
            definition: String::new(),
            comment: table.comment.clone(),
            depends_on: Vec::new(),
            functions: functions_of_table(table, catalog).into_iter().collect(),
        };
        relation.definition = statement_text::create_table(&relation, &catalog.written(&relation.name));
        Ok(relation)
    }

    /// The relation that is in the way of a new one: an error, unless `IF NOT EXISTS` was said. A temporary relation is
    /// not in the way of a permanent one, nor the other way round.
    pub(super) fn existing(
        &self,
        name: &sp::ObjectName,
        simple: &str,
        temporary: bool,
        if_not_exists: bool,
    ) -> Result<Option<&Arc<Relation>>> {
        match self.context.catalog.relations.get(simple).filter(|found| found.temporary == temporary) {
            Some(found) if if_not_exists => Ok(Some(found)),
            Some(_) => {
                let message = format!("relation \"{simple}\" already exists");
                Err(self.at(SqlError::new(SqlState::DUPLICATE_TABLE, message), span(name)))
            }
            None => Ok(None),
        }
    }

    /// The columns in declared order, computed ones with their types.
    fn columns(&self, table: &CreateTable, connector: Option<&ConnectorDescriptor>) -> Result<Vec<Column>> {
        let mut columns: Vec<Column> = Vec::with_capacity(table.columns.len());
        let mut seen: HashMap<&str, ()> = HashMap::new();
        for column in &table.columns {
            if seen.insert(&column.name.value, ()).is_some() {
                let message = format!("column \"{}\" specified more than once", column.name.value);
                return Err(self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), column.name.span));
            }
            columns.push(self.column(column, table, connector)?);
        }
        let stored = stored_schema(&columns, connector);
        if stored.fields().is_empty() {
            let message = "a table needs a column that is not computed";
            return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), span(&table.name)));
        }
        for (column, declared) in columns.iter_mut().zip(&table.columns) {
            if let ColumnKind::Computed(expr) = &declared.kind {
                check_of_one_row(expr, "a computed column").map_err(|error| self.at(error, declared.name.span))?;
                column.data_type = types::from_arrow(queries::expression_type(expr, &stored, self.context)?);
            }
        }
        Ok(columns)
    }

    /// A column; the type of a computed one is still open.
    fn column(
        &self,
        column: &ColumnDef,
        table: &CreateTable,
        connector: Option<&ConnectorDescriptor>,
    ) -> Result<Column> {
        let (data_type, nullable, origin) = match &column.kind {
            ColumnKind::Physical { data_type, not_null } => {
                let in_key = table.primary_key.iter().any(|key| same(&key.value, &column.name.value));
                (data_type.clone(), !*not_null && !in_key, ColumnOrigin::Physical)
            }
            ColumnKind::Computed(expr) => {
                let open = TypeName { arrow: DataType::Null, text: String::new() };
                (open, true, ColumnOrigin::Computed(expr.to_string()))
            }
            ColumnKind::Metadata { data_type, key, virtual_ } => {
                let key = key.as_ref().unwrap_or(&column.name.value);
                self.metadata(&column.name, key, data_type, connector)?;
                (data_type.clone(), true, ColumnOrigin::Metadata(key.clone(), *virtual_))
            }
        };
        Ok(Column { name: column.name.value.clone(), data_type, nullable, origin, comment: column.comment.clone() })
    }

    /// Checks that the connector has this metadata, of this type or one that is cast to it.
    fn metadata(
        &self,
        column: &sp::Ident,
        key: &str,
        data_type: &TypeName,
        connector: Option<&ConnectorDescriptor>,
    ) -> Result<()> {
        let refuse = |error: SqlError| Err(self.at(error, column.span));
        let Some(connector) = connector else {
            let message = "an internal table has no METADATA columns";
            return refuse(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message));
        };
        let Some((_, offered)) = connector.metadata.iter().find(|(name, _)| *name == key) else {
            let names: Vec<&str> = connector.metadata.iter().map(|(name, _)| *name).collect();
            let message = format!("connector \"{}\" has no metadata \"{key}\"", connector.name);
            let error = SqlError::new(SqlState::UNDEFINED_COLUMN, message);
            let detail = match names.is_empty() {
                true => "it has no metadata".to_owned(),
                false => format!("its metadata are {}", quoted(&names)),
            };
            return refuse(with_near(error.with_detail(detail), nearest(key, names.into_iter())));
        };
        if *offered == data_type.arrow || metadata_fits(offered, &data_type.arrow) {
            return Ok(());
        }
        let wanted = types::flink_name(offered);
        let message =
            format!("metadata \"{key}\" of connector \"{}\" is {wanted}, not {}", connector.name, data_type.text);
        let hint = format!("declare the column as {wanted} and add a computed column that makes of it what is needed");
        refuse(SqlError::new(SqlState::DATATYPE_MISMATCH, message).with_hint(hint))
    }

    /// The watermark: index of its column, and its expression as text.
    fn watermark(
        &self,
        table: &CreateTable,
        columns: &[Column],
        stored: &SchemaRef,
    ) -> Result<Option<(usize, String)>> {
        let Some(watermark) = &table.watermark else { return Ok(None) };
        let index = self.find(&watermark.column, columns, "watermark")?;
        let column = columns.get(index);
        if let Some(column) = column.filter(|column| !is_timestamp(&column.data_type.arrow)) {
            let message = format!(
                "a watermark column must be a TIMESTAMP or TIMESTAMP_LTZ: \"{}\" is {}",
                column.name, column.data_type.text
            );
            let hint = "add a computed column, such as ts AS CAST(text AS TIMESTAMP(3)), and put the watermark on it";
            let error = SqlError::new(SqlState::DATATYPE_MISMATCH, message).with_hint(hint);
            return Err(self.at(error, watermark.column.span));
        }
        check_of_one_row(&watermark.expr, "a watermark").map_err(|error| self.at(error, watermark.column.span))?;
        let computed = columns.iter().filter(|column| matches!(column.origin, ColumnOrigin::Computed(_)));
        let computed = computed.map(|column| Field::new(&column.name, column.data_type.arrow.clone(), true));
        let fields: Vec<Field> = stored.fields().iter().map(|field| field.as_ref().clone()).chain(computed).collect();
        let found = queries::expression_type(&watermark.expr, &Arc::new(Schema::new(fields)), self.context)?;
        if !is_timestamp(&found) {
            let message =
                format!("a watermark must be a TIMESTAMP or TIMESTAMP_LTZ, not {}", types::flink_name(&found));
            return Err(self.at(SqlError::new(SqlState::DATATYPE_MISMATCH, message), watermark.column.span));
        }
        Ok(Some((index, watermark.expr.to_string())))
    }

    /// The indexes of named columns among the stored ones; they must be physical.
    fn stored_indexes(
        &self,
        names: &[sp::Ident],
        columns: &[Column],
        stored: &SchemaRef,
        clause: &str,
    ) -> Result<Vec<usize>> {
        let mut indexes = BTreeSet::new();
        let mut ordered = Vec::with_capacity(names.len());
        for name in names {
            let column = columns.get(self.find(name, columns, clause)?);
            let physical = column.filter(|column| column.origin == ColumnOrigin::Physical);
            let Some(index) = physical.and_then(|column| stored.index_of(&column.name).ok()) else {
                let message = format!("column \"{}\" named in {clause} is not stored", name.value);
                return Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), name.span));
            };
            if !indexes.insert(index) {
                let message = format!("column \"{}\" appears twice in {clause}", name.value);
                return Err(self.at(SqlError::new(SqlState::DUPLICATE_COLUMN, message), name.span));
            }
            ordered.push(index);
        }
        Ok(ordered)
    }

    /// The index of a column: the exact name, else the only one that differs in case alone.
    fn find(&self, name: &sp::Ident, columns: &[Column], clause: &str) -> Result<usize> {
        if let Some(index) = columns.iter().position(|column| column.name == name.value) {
            return Ok(index);
        }
        let mut alike = columns.iter().enumerate().filter(|(_, column)| same(&column.name, &name.value));
        match (alike.next(), alike.next()) {
            (Some((index, _)), None) => Ok(index),
            (Some(_), Some(_)) => {
                let message = format!("column name \"{}\" is ambiguous", name.value);
                Err(self.at(SqlError::new(SqlState::AMBIGUOUS_COLUMN, message), name.span))
            }
            (None, _) => {
                let message = format!("column \"{}\" named in {clause} does not exist", name.value);
                let near = nearest(&name.value, columns.iter().map(|column| column.name.as_str()));
                let error = with_near(SqlError::new(SqlState::UNDEFINED_COLUMN, message), near);
                Err(self.at(error, name.span))
            }
        }
    }

    fn partitionable(&self, table: &CreateTable, connector: &ConnectorDescriptor) -> Result<()> {
        match table.partitioned_by.first() {
            Some(first) if !connector.capabilities.partitioned => {
                let message = format!("connector \"{}\" does not take PARTITIONED BY", connector.name);
                Err(self.at(SqlError::unsupported(message), first.span))
            }
            _ => Ok(()),
        }
    }

    fn internal_partitions(&self, table: &CreateTable) -> Result<()> {
        match table.partitioned_by.first() {
            Some(first) => {
                let message = "an internal table does not take PARTITIONED BY";
                Err(self.at(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message), first.span))
            }
            None => Ok(()),
        }
    }
}

fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

fn is_timestamp(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(..))
}

/// Whether metadata of one type is cast to a column of another, as Flink does it: numbers and points in time to others of
/// their kind, and all of them to texts.
fn metadata_fits(offered: &DataType, declared: &DataType) -> bool {
    let number = |data_type: &DataType| data_type.is_numeric();
    match (offered, declared) {
        (DataType::Timestamp(_, from), DataType::Timestamp(_, to)) => from.is_some() == to.is_some(),
        (from, DataType::Utf8) => !from.is_nested() && *from != DataType::Binary,
        (from, to) => number(from) && number(to),
    }
}

/// The physical columns, then the metadata columns with their keys. Metadata are stored in the connector's type; the
/// declared column is a cast of it.
fn stored_schema(columns: &[Column], connector: Option<&ConnectorDescriptor>) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.data_type.arrow.clone(), column.nullable);
    let physical = columns.iter().filter(|column| column.origin == ColumnOrigin::Physical).map(field);
    let metadata = columns.iter().filter_map(|column| match &column.origin {
        ColumnOrigin::Metadata(key, is_virtual) => {
            let mut notes = HashMap::from([(TableSpec::METADATA_KEY.to_owned(), key.clone())]);
            if *is_virtual {
                notes.insert(TableSpec::VIRTUAL_KEY.to_owned(), String::new());
            }
            let offered = connector.and_then(|connector| connector.metadata.iter().find(|(name, _)| name == key));
            let data_type = offered.map_or_else(|| column.data_type.arrow.clone(), |(_, offered)| offered.clone());
            Some(field(column).with_data_type(data_type).with_metadata(notes))
        }
        ColumnOrigin::Physical | ColumnOrigin::Computed(_) => None,
    });
    Arc::new(Schema::new(physical.chain(metadata).collect::<Vec<_>>()))
}
