//! Finds for the fields of a schema the columns that take them.

use super::schema::{Schema, SchemaField};
use crate::formats::columns::{Column, RowColumn, Values};
use crate::formats::names::Target;

/// Finds for each field of a record the column that takes it.
///
/// # Errors
/// Where the schema is no record.
pub(super) fn bind(schema: Schema, row: &RowColumn) -> Result<Schema, String> {
    match schema {
        Schema::Record(fields) => Ok(Schema::Record(bind_fields(fields, row))),
        Schema::Union(branches) if branches.len() == 1 => match branches.into_iter().next() {
            Some(only) => bind(only, row),
            None => Err("the schema is an empty union".to_owned()),
        },
        _ => Err("the schema is no record".to_owned()),
    }
}

/// The same for the fields of a record.
pub(super) fn bind_fields(fields: Vec<SchemaField>, row: &RowColumn) -> Vec<SchemaField> {
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let mut taken = vec![false; row.fields.len()];
    let mut bound = Vec::with_capacity(fields.len());
    for field in fields {
        let slot = match row.names.resolve(&field.name) {
            Target::Exact(slot) => Some(slot),
            // A field of exactly the column's name, if there is one, goes before one that differs in case.
            Target::Loose(slot) => row.fields.get(slot).filter(|column| !names.contains(&column.name)).map(|_| slot),
            Target::Skip => None,
        };
        let slot = slot.filter(|slot| taken.get_mut(*slot).is_some_and(|taken| !std::mem::replace(taken, true)));
        let column = slot.and_then(|slot| row.fields.get(slot)).map(|field| &field.column);
        let schema = bind_value(field.schema, column);
        bound.push(SchemaField { name: field.name, schema, slot });
    }
    bound
}

fn bind_value(schema: Schema, column: Option<&Column>) -> Schema {
    match (schema, column.map(|column| &column.values)) {
        (Schema::Record(fields), Some(Values::Row(row))) => Schema::Record(bind_fields(fields, row)),
        (Schema::Array(item), Some(Values::List(_, items))) => Schema::Array(Box::new(bind_value(*item, Some(items)))),
        (Schema::Map(value), Some(Values::Map(_, entries))) => {
            Schema::Map(Box::new(bind_value(*value, Some(&entries.1))))
        }
        (Schema::Union(branches), _) => {
            Schema::Union(branches.into_iter().map(|branch| bind_value(branch, column)).collect())
        }
        (other, _) => other,
    }
}
