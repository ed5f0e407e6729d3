//! Which values each column gets, from its type and its options. The values are made in [`make`](super::make).

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef};
use millstream_engine::ports::{OptionValues, TableSpec};
use millstream_engine::{EngineError, Result};

use super::make::{ColumnGenerator, Values, mix};
use super::settings::Settings;

/// Elements of an array where nothing is said, as in Flink.
const LIST_LENGTH: i64 = 3;
/// Bytes of a row beyond which a table is refused.
const ROW_BYTES_MAX: u64 = 16 << 20;
/// Bytes that a batch aims at the most.
const BATCH_BYTES: u64 = 32 << 20;

/// The columns of a table.
#[derive(Debug, Clone)]
pub(super) struct Generator {
    columns: Vec<ColumnGenerator>,
    rows: Option<u64>,
    pub(super) rows_per_second: u64,
}

impl Generator {
    pub(super) fn new(table: &TableSpec) -> Result<Self> {
        let mut generator = Self {
            columns: Vec::new(),
            rows: positive(&table.options, "number-of-rows")?,
            rows_per_second: positive(&table.options, "rows-per-second")?.unwrap_or(10_000),
        };
        let seed = table.options.integer("seed", 0)? as u64;
        let mut planner = Planner { settings: Settings::new(&table.options), seed, made: 0 };
        for field in table.schema.fields() {
            let end = planner.sequence(field)?;
            let column = match end {
                Some((start, _)) => planner.finish(field, field.name(), Values::Sequence { start })?,
                None => planner.column(field, field.name())?,
            };
            generator.columns.push(column);
            let rows = end.map(|(_, rows)| rows);
            generator.rows = generator.rows.into_iter().chain(rows).min();
        }
        planner.settings.all_used()?;
        if generator.row_bytes() > ROW_BYTES_MAX {
            let message = format!("a row of table \"{}\" would be larger than {ROW_BYTES_MAX} bytes", table.name);
            return Err(EngineError::config(message));
        }
        Ok(generator)
    }

    /// Number of rows; none where it is endless.
    pub(super) fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Rows of a batch at the most, so that long values do not fill the memory.
    pub(super) fn batch_rows_max(&self) -> usize {
        usize::try_from(BATCH_BYTES / self.row_bytes().max(1)).unwrap_or(usize::MAX).max(1)
    }

    fn row_bytes(&self) -> u64 {
        self.columns.iter().map(ColumnGenerator::bytes).fold(0, u64::saturating_add)
    }

    /// A column of rows. `now_us`: the clock, for timestamps. `children`: those of a ROW that are read.
    pub(super) fn column(
        &self,
        index: usize,
        children: Option<&[usize]>,
        rows: &[u64],
        now_us: i64,
    ) -> Result<ArrayRef> {
        match self.columns.get(index) {
            Some(column) => column.make(rows, children, now_us),
            None => Err(EngineError::Internal("a scan of a column that is not there".into())),
        }
    }
}

/// An option that is a number above 0.
fn positive(options: &OptionValues, name: &str) -> Result<Option<u64>> {
    if options.get(name).is_none() {
        return Ok(None);
    }
    match u64::try_from(options.integer(name, 0)?) {
        Ok(value) if value > 0 => Ok(Some(value)),
        Ok(_) | Err(_) => Err(EngineError::config(format!("option '{name}' must be above 0"))),
    }
}

/// Turns fields and options into generators.
struct Planner<'a> {
    settings: Settings<'a>,
    seed: u64,
    /// Generators made so far: gives each its own random numbers.
    made: u64,
}

impl Planner<'_> {
    fn finish(&mut self, field: &FieldRef, path: &str, values: Values) -> Result<ColumnGenerator> {
        self.settings.add_path(path, values.describe());
        let null_rate = self.settings.float(path, "null-rate", 0.0)?;
        let key = self.settings.key(path, "null-rate");
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(EngineError::config(format!("option '{key}' is {null_rate}; it must be from 0 to 1")));
        }
        if null_rate > 0.0 && !field.is_nullable() {
            return Err(EngineError::config(format!("option '{key}': \"{path}\" is NOT NULL")));
        }
        self.made += 1;
        let stream = mix(self.seed ^ mix(self.made));
        Ok(ColumnGenerator { field: Arc::clone(field), values, null_rate, stream })
    }

    /// Start and number of rows where the column is a sequence.
    fn sequence(&mut self, field: &Field) -> Result<Option<(i64, u64)>> {
        let path = field.name();
        if !self.settings.text(path, "kind").is_some_and(|kind| kind.eq_ignore_ascii_case("sequence")) {
            return Ok(None);
        }
        let (least, most) = match field.data_type() {
            DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
            DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
            DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
            DataType::Int64 | DataType::Float32 | DataType::Float64 | DataType::Utf8 => (i64::MIN, i64::MAX),
            DataType::Decimal128(precision, scale) => {
                let digits = u32::try_from(i16::from(*precision) - i16::from(*scale)).unwrap_or(0);
                let most = 10_i64.checked_pow(digits).map_or(i64::MAX, |limit| limit - 1);
                (-most, most)
            }
            other => return Err(EngineError::config(format!("a sequence cannot fill \"{path}\" of type {other}"))),
        };
        if self.settings.text(path, "start").is_none() || self.settings.text(path, "end").is_none() {
            let message = format!("a sequence needs options 'fields.{path}.start' and 'fields.{path}.end'");
            return Err(EngineError::config(message));
        }
        let start = self.settings.within(path, "start", 0, (least, most))?;
        let end = self.settings.within(path, "end", 0, (least, most))?;
        if start > end {
            return Err(EngineError::config(format!("option 'fields.{path}.start' is above 'fields.{path}.end'")));
        }
        let rows = u64::try_from(i128::from(end) - i128::from(start) + 1).unwrap_or(u64::MAX);
        Ok(Some((start, rows)))
    }

    /// The generator of a column, or of a field in one; random.
    fn column(&mut self, field: &FieldRef, path: &str) -> Result<ColumnGenerator> {
        let kind = self.settings.text(path, "kind");
        if kind.is_some_and(|kind| kind.eq_ignore_ascii_case("sequence")) {
            return Err(EngineError::config(format!("\"{path}\" is no column of its own: it cannot be a sequence")));
        }
        let values = match field.data_type() {
            DataType::Int8 => self.integer(path, i64::from(i8::MIN), i64::from(i8::MAX))?,
            DataType::Int16 => self.integer(path, i64::from(i16::MIN), i64::from(i16::MAX))?,
            DataType::Int32 => self.integer(path, i64::from(i32::MIN), i64::from(i32::MAX))?,
            DataType::Int64 => self.integer(path, i64::MIN, i64::MAX)?,
            DataType::Float32 | DataType::Float64 => {
                let min = self.settings.float(path, "min", 0.0)?;
                let max = self.settings.float(path, "max", 1_000_000.0)?;
                ordered(path, min <= max)?;
                Values::Float { min, max }
            }
            DataType::Decimal128(precision, scale) => self.decimal(path, *precision, *scale)?,
            DataType::Utf8 => self.text(path, false)?,
            DataType::Binary => self.text(path, true)?,
            DataType::Boolean => Values::Boolean,
            DataType::Timestamp(_, _) => {
                let most_us = self.settings.duration_us(path, "max-past")?;
                Values::Past { most_us }
            }
            DataType::Date32 | DataType::Time32(_) | DataType::Time64(_) => Values::Past { most_us: 0 },
            DataType::Struct(fields) => {
                let child = |child: &FieldRef| self.column(child, &format!("{path}.{}", child.name()));
                Values::Row(fields.iter().map(child).collect::<Result<_>>()?)
            }
            DataType::List(element) => {
                let length = self.settings.within(path, "length", LIST_LENGTH, (0, 1 << 16))?;
                let element = Box::new(self.column(element, &format!("{path}.element"))?);
                Values::List { length: length as u32, element }
            }
            other => {
                return Err(EngineError::config(format!("datagen makes no values of type {other} for \"{path}\"")));
            }
        };
        self.finish(field, path, values)
    }

    fn integer(&mut self, path: &str, least: i64, most: i64) -> Result<Values> {
        let min = self.settings.within(path, "min", least, (least, most))?;
        let max = self.settings.within(path, "max", most, (least, most))?;
        ordered(path, min <= max)?;
        Ok(Values::Integer { min, max })
    }

    fn decimal(&mut self, path: &str, precision: u8, scale: i8) -> Result<Values> {
        let most = 10_i128.saturating_pow(u32::from(precision)) - 1;
        let mut bound = |what: &str, default: i128| match self.settings.text(path, what) {
            None => Ok(default),
            Some(text) => parse_decimal::<Decimal128Type>(text.trim(), precision, scale).map_err(|_| {
                let kind = format!("DECIMAL({precision}, {scale})");
                EngineError::config(format!("option 'fields.{path}.{what}' takes a number of {kind}, not '{text}'"))
            }),
        };
        let (min, max) = (bound("min", -most)?, bound("max", most)?);
        ordered(path, min <= max)?;
        Ok(Values::Decimal { min, max })
    }

    fn text(&mut self, path: &str, binary: bool) -> Result<Values> {
        let length = self.settings.within(path, "length", 100, (0, 1 << 20))? as u32;
        let varies = self.settings.boolean(path, "var-len")?;
        Ok(Values::Text { length, varies, binary })
    }
}

fn ordered(path: &str, ordered: bool) -> Result<()> {
    let message = || format!("option 'fields.{path}.min' is above 'fields.{path}.max'");
    if ordered { Ok(()) } else { Err(EngineError::config(message())) }
}
