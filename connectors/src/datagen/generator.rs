//! How the values of each column are made.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringBuilder, TimestampMicrosecondArray,
};
use arrow::compute::{cast, nullif};
use arrow::datatypes::DataType;
use millstream_engine::ports::{OptionValues, TableSpec};
use millstream_engine::{EngineError, Result};

/// Letters of random strings, as Flink: hexadecimal digits.
const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The columns of a table.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    columns: Vec<ColumnGenerator>,
    rows: Option<u64>,
    pub(super) rows_per_second: u64,
    seed: u64,
}

#[derive(Debug, Clone)]
struct ColumnGenerator {
    data_type: DataType,
    values: Values,
    null_rate: f64,
}

/// Where the values of a column come from.
#[derive(Debug, Clone)]
enum Values {
    Sequence {
        start: i64,
    },
    Integer {
        min: i64,
        max: i64,
    },
    Float {
        min: f64,
        max: f64,
    },
    Decimal {
        min: i128,
        max: i128,
    },
    Text {
        length: usize,
        varies: bool,
    },
    Boolean,
    /// Now, less at most so many microseconds.
    Past {
        most_us: i64,
    },
}

impl Generator {
    pub(super) fn new(table: &TableSpec) -> Result<Self> {
        let options = &table.options;
        let number = |name: &str| match options.get(name) {
            None => Ok(None),
            Some(_) => u64::try_from(options.integer(name, 0)?)
                .map(Some)
                .map_err(|_| EngineError::config(format!("option '{name}' must not be negative"))),
        };
        let mut generator = Self {
            columns: Vec::new(),
            rows: number("number-of-rows")?,
            rows_per_second: number("rows-per-second")?.unwrap_or(10_000).max(1),
            seed: number("seed")?.unwrap_or(0),
        };
        for name in options.0.keys().filter_map(|key| key.strip_prefix("fields.")) {
            let known = table
                .schema
                .fields()
                .iter()
                .any(|field| name.strip_prefix(field.name().as_str()).is_some_and(|rest| rest.starts_with('.')));
            if !known {
                return Err(EngineError::config(format!("option 'fields.{name}' names no column of the table")));
            }
        }
        for field in table.schema.fields() {
            let (column, end) = column(field.name(), field.data_type(), options)?;
            generator.columns.push(column);
            generator.rows = match (generator.rows, end) {
                (Some(rows), Some(end)) => Some(rows.min(end)),
                (rows, end) => rows.or(end),
            };
        }
        Ok(generator)
    }

    /// Number of rows; none where it is endless.
    pub(super) fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// A column of rows. `now_us`: the clock, for timestamps.
    pub(super) fn column(&self, index: usize, rows: &[u64], now_us: i64) -> Result<ArrayRef> {
        let Some(column) = self.columns.get(index) else {
            return Err(EngineError::Internal("a scan of a column that is not there".into()));
        };
        let salt = self.seed.wrapping_mul(0xd134_2543_de82_ef95) ^ ((index as u64) << 48);
        let bits = |row: u64, draw: u64| mix(salt.wrapping_add(row.wrapping_mul(4).wrapping_add(draw)));
        let made = column.make(rows, now_us, &bits)?;
        if column.null_rate <= 0.0 {
            return Ok(made);
        }
        let null = rows.iter().map(|row| Some(unit(bits(*row, 3)) < column.null_rate));
        Ok(nullif(&made, &BooleanArray::from_iter(null))?)
    }
}

impl ColumnGenerator {
    fn make(&self, rows: &[u64], now_us: i64, bits: &dyn Fn(u64, u64) -> u64) -> Result<ArrayRef> {
        let plain: ArrayRef = match &self.values {
            Values::Sequence { start } => {
                let value = |row: &u64| start.saturating_add(i64::try_from(*row).unwrap_or(i64::MAX));
                Arc::new(Int64Array::from_iter_values(rows.iter().map(value)))
            }
            Values::Integer { min, max } => {
                let value = |row: &u64| i128::from(*min) + between(bits(*row, 0), i128::from(*max) - i128::from(*min));
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(value(row)).unwrap_or(*max))))
            }
            Values::Float { min, max } => {
                Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| min + unit(bits(*row, 0)) * (max - min))))
            }
            Values::Decimal { min, max } => {
                let value = |row: &u64| min + between(bits(*row, 0), max - min);
                let values = Decimal128Array::from_iter_values(rows.iter().map(value));
                return Ok(Arc::new(values.with_data_type(self.data_type.clone())));
            }
            Values::Text { length, varies } => {
                let mut text = StringBuilder::with_capacity(rows.len(), rows.len() * length);
                let mut word = String::with_capacity(*length);
                for row in rows {
                    word.clear();
                    let most = *length as u64;
                    let length = if *varies { 1 + bits(*row, 1) % most.max(1) } else { most };
                    let mut state = bits(*row, 0);
                    for at in 0..length {
                        if at % 16 == 15 {
                            state = mix(state);
                        }
                        word.push(char::from(DIGITS[(state >> (4 * (at % 16)) & 15) as usize]));
                    }
                    text.append_value(&word);
                }
                Arc::new(text.finish())
            }
            Values::Boolean => Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(bits(*row, 0) & 1 == 1)))),
            Values::Past { most_us } => {
                let value = |row: &u64| {
                    let back = between(bits(*row, 0), i128::from(*most_us));
                    now_us.saturating_sub(i64::try_from(back).unwrap_or(0))
                };
                Arc::new(TimestampMicrosecondArray::from_iter_values(rows.iter().map(value)))
            }
        };
        if *plain.data_type() == self.data_type { Ok(plain) } else { Ok(cast(&plain, &self.data_type)?) }
    }
}

/// The generator of a column, and the number of rows after which it is at its end.
fn column(name: &str, data_type: &DataType, options: &OptionValues) -> Result<(ColumnGenerator, Option<u64>)> {
    let key = |what: &str| format!("fields.{name}.{what}");
    let float = |what: &str, default: f64| match options.get(&key(what)) {
        None => Ok(default),
        Some(text) => text
            .trim()
            .parse()
            .map_err(|_| EngineError::config(format!("option '{}' takes a number, not '{text}'", key(what)))),
    };
    let null_rate = float("null-rate", 0.0)?;
    let with = |values| ColumnGenerator { data_type: data_type.clone(), values, null_rate };
    if options.get(&key("kind")).is_some_and(|kind| kind.eq_ignore_ascii_case("sequence")) {
        let (Some(_), Some(_)) = (options.get(&key("start")), options.get(&key("end"))) else {
            let message = format!("a sequence needs options '{}' and '{}'", key("start"), key("end"));
            return Err(EngineError::config(message));
        };
        let (start, end) = (options.integer(&key("start"), 0)?, options.integer(&key("end"), 0)?);
        let rows = u64::try_from(i128::from(end) - i128::from(start) + 1).unwrap_or(0);
        return Ok((with(Values::Sequence { start }), Some(rows)));
    }
    let whole = |least: i64, most: i64| -> Result<Values> {
        let (min, max) = (options.integer(&key("min"), least)?, options.integer(&key("max"), most)?);
        ordered(name, min <= max)?;
        Ok(Values::Integer { min: min.max(least), max: max.min(most) })
    };
    let values = match data_type {
        DataType::Int8 => whole(i64::from(i8::MIN), i64::from(i8::MAX))?,
        DataType::Int16 => whole(i64::from(i16::MIN), i64::from(i16::MAX))?,
        DataType::Int32 => whole(i64::from(i32::MIN), i64::from(i32::MAX))?,
        DataType::Int64 => whole(i64::MIN, i64::MAX)?,
        DataType::Float32 | DataType::Float64 => {
            let (min, max) = (float("min", 0.0)?, float("max", 1_000_000.0)?);
            ordered(name, min <= max)?;
            Values::Float { min, max }
        }
        DataType::Decimal128(precision, scale) => {
            let limit = 10_f64.powi(i32::from(*precision) - i32::from(*scale));
            let unit = 10_f64.powi(i32::from(*scale));
            let (min, max) = (float("min", -limit)?.max(-limit), float("max", limit)?.min(limit));
            ordered(name, min <= max)?;
            let most = 10_i128.pow(u32::from(*precision)) - 1;
            Values::Decimal { min: ((min * unit) as i128).max(-most), max: ((max * unit) as i128).min(most) }
        }
        DataType::Utf8 | DataType::Binary => {
            let length = options.integer(&key("length"), 100)?.clamp(1, 1 << 16);
            Values::Text { length: length as usize, varies: options.boolean(&key("var-len"), false)? }
        }
        DataType::Boolean => Values::Boolean,
        DataType::Timestamp(_, _) | DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => {
            Values::Past { most_us: options.duration_us(&key("max-past"), 0)? }
        }
        other => return Err(EngineError::config(format!("datagen makes no values of type {other} for \"{name}\""))),
    };
    Ok((with(values), None))
}

fn ordered(name: &str, ordered: bool) -> Result<()> {
    let message = || format!("option 'fields.{name}.min' is above 'fields.{name}.max'");
    if ordered { Ok(()) } else { Err(EngineError::config(message())) }
}

/// A number in `0 ..= most`.
fn between(bits: u64, most: i128) -> i128 {
    i128::try_from((u128::from(bits) * (most.unsigned_abs() + 1)) >> 64).unwrap_or(0)
}

/// A number in `0.0 .. 1.0`.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The output function of SplitMix64.
fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
