//! The types of Parquet files as ours: what only Arrow or DataFusion has becomes the type that it is shown as, and what files have
//! in different types the type that takes all of them.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

/// The schema that queries see of files with these schemas: the columns of all of them, by name. DataFusion casts what it reads,
/// and makes nulls of what a file does not have.
///
/// # Errors
/// What the types are of a column that no type fits.
pub(super) fn merged(schemas: &[SchemaRef]) -> Result<Schema, String> {
    let mut fields: Vec<FieldRef> = Vec::new();
    for field in schemas.iter().flat_map(|schema| schema.fields()) {
        take_in(&mut fields, field)?;
    }
    Ok(Schema::new(fields.iter().map(readable_field).collect::<Vec<_>>()))
}

fn take_in(fields: &mut Vec<FieldRef>, field: &FieldRef) -> Result<(), String> {
    let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
        fields.push(Arc::clone(field));
        return Ok(());
    };
    let wider = wider(known.data_type(), field.data_type()).ok_or_else(|| {
        let (left, right) = (readable_type(known.data_type()), readable_type(field.data_type()));
        format!("column \"{}\" is {left} in one file and {right} in another", field.name())
    })?;
    *known = Arc::new(Field::new(known.name(), wider, true));
    Ok(())
}

/// The type that takes the values of both; `None` where there is none but text.
fn wider(left: &DataType, right: &DataType) -> Option<DataType> {
    match (left, right) {
        (DataType::Null, other) | (other, DataType::Null) => return Some(other.clone()),
        (DataType::Struct(known), DataType::Struct(more)) => {
            let mut fields = known.to_vec();
            more.iter().try_for_each(|field| take_in(&mut fields, field)).ok()?;
            return Some(DataType::Struct(fields.into()));
        }
        (DataType::List(known), DataType::List(more)) => {
            let item = wider(known.data_type(), more.data_type())?;
            return Some(DataType::List(Arc::new(Field::new(known.name(), item, true))));
        }
        _ => (),
    }
    let (left, right) = (readable_type(left), readable_type(right));
    if left == right {
        return Some(left);
    }
    match (&left, &right) {
        (DataType::Timestamp(one, zone), DataType::Timestamp(other, same)) if zone == same => {
            Some(DataType::Timestamp(*one.max(other), zone.clone()))
        }
        (DataType::Date32, stamp @ DataType::Timestamp(_, None))
        | (stamp @ DataType::Timestamp(_, None), DataType::Date32) => Some(stamp.clone()),
        (left, right) => wider_number(left, right),
    }
}

fn wider_number(left: &DataType, right: &DataType) -> Option<DataType> {
    if !left.is_numeric() || !right.is_numeric() {
        return None;
    }
    // Digits before and behind the point.
    let digits = |data_type: &DataType| match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => Some((i16::from(*precision) - i16::from(*scale), i16::from(*scale))),
        _ => None,
    };
    let (Some(one), Some(other)) = (digits(left), digits(right)) else { return Some(DataType::Float64) };
    let (whole, scale) = (one.0.max(other.0), one.1.max(other.1));
    if left.is_integer() && right.is_integer() {
        return Some(if one.0 > other.0 { left.clone() } else { right.clone() });
    }
    let precision = u8::try_from(whole + scale).ok().filter(|precision| *precision <= 38);
    Some(match (precision, i8::try_from(scale)) {
        (Some(precision), Ok(scale)) => DataType::Decimal128(precision, scale),
        _ => DataType::Float64,
    })
}

fn readable_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), readable_type(field.data_type()), true))
}

fn readable_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Null | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Dictionary(_, values) => readable_type(values),
        // One instant, whatever zone the writer was in.
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(readable_field(item))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(readable_field).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    use super::merged;

    fn merge(left: DataType, right: DataType) -> Result<DataType, String> {
        let schema = |data_type| Arc::new(Schema::new(vec![Field::new("c", data_type, true)]));
        Ok(merged(&[schema(left), schema(right)])?.field(0).data_type().clone())
    }

    #[test]
    fn types_that_differ_become_wider() {
        assert_eq!(merge(DataType::Int32, DataType::Int64), Ok(DataType::Int64));
        assert_eq!(merge(DataType::UInt32, DataType::Int8), Ok(DataType::Int64));
        assert_eq!(merge(DataType::Int64, DataType::Float32), Ok(DataType::Float64));
        assert_eq!(merge(DataType::Decimal128(8, 2), DataType::Int32), Ok(DataType::Decimal128(12, 2)));
        assert_eq!(merge(DataType::Decimal128(38, 0), DataType::Decimal128(10, 5)), Ok(DataType::Float64));
        assert_eq!(merge(DataType::Null, DataType::Int64), Ok(DataType::Int64));
        assert_eq!(merge(DataType::LargeUtf8, DataType::Utf8View), Ok(DataType::Utf8));
        let stamp = |unit| DataType::Timestamp(unit, None);
        assert_eq!(merge(stamp(TimeUnit::Millisecond), stamp(TimeUnit::Nanosecond)), Ok(stamp(TimeUnit::Nanosecond)));
        assert_eq!(merge(DataType::Date32, stamp(TimeUnit::Second)), Ok(stamp(TimeUnit::Second)));
        let row = |name: &str, data_type| DataType::Struct(vec![Field::new(name, data_type, true)].into());
        let both = DataType::Struct(
            vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)].into(),
        );
        assert_eq!(merge(row("a", DataType::Int64), row("b", DataType::Utf8)), Ok(both));
        assert!(merge(DataType::Utf8, DataType::Int32).is_err_and(|error| error.contains("column \"c\"")));
    }
}
