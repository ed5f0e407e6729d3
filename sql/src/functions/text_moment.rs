//! Texts as moments by the clock of a zone, also in the hours that the clock jumps over or shows twice, which Arrow's cast
//! refuses. It has no name that a user can call: casts do it.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use chrono_tz::Tz;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::zones::{per_second, shown_at};

/// How texts are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    pub(crate) unit: TimeUnit,
    /// Of two moments that a clock shows so, the first.
    pub(crate) flink: bool,
    /// Null for a text that is none; else an error.
    pub(crate) trying: bool,
}

/// The moment of a text, in which a zone may stand; of one without by the clock in `zone`.
pub(crate) fn text_moment(text: Expr, zone: &str, reading: Reading) -> Expr {
    let parsed = Tz::from_str(zone).unwrap_or(Tz::UTC);
    let signature = Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(TextMoment { zone: parsed, reading, signature })).call(vec![text])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TextMoment {
    zone: Tz,
    reading: Reading,
    signature: Signature,
}

impl TextMoment {
    fn returns(&self) -> DataType {
        DataType::Timestamp(self.reading.unit, Some("UTC".into()))
    }

    /// The moments of the texts, numbers of the unit; null where Arrow's cast gives none.
    fn moments(&self, texts: &ArrayRef) -> Result<Int64Array> {
        let zoned = DataType::Timestamp(self.reading.unit, Some(self.zone.name().into()));
        Ok(cast(&cast(texts, &zoned)?, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    /// What a clock shows, of texts that are all there where they must be.
    fn walls(&self, texts: &ArrayRef) -> Result<Int64Array> {
        let wall = DataType::Timestamp(self.reading.unit, None);
        let options = CastOptions { safe: self.reading.trying, ..CastOptions::default() };
        let walls = cast_with_options(texts, &wall, &options)?;
        Ok(cast(&walls, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    fn read(&self, texts: &ArrayRef) -> Result<ArrayRef> {
        let moments = self.moments(texts)?;
        if moments.null_count() == texts.null_count() {
            return Ok(cast(&moments, &self.returns())?);
        }
        let (walls, (scale, _)) = (self.walls(texts)?, per_second(self.reading.unit));
        let moment = |wall: i64| {
            let seconds = shown_at(self.zone, wall.div_euclid(scale), self.reading.flink);
            seconds.saturating_mul(scale).saturating_add(wall.rem_euclid(scale))
        };
        let moments: Int64Array =
            moments.iter().zip(walls.iter()).map(|(known, wall)| known.or_else(|| wall.map(moment))).collect();
        Ok(cast(&moments, &self.returns())?)
    }
}

impl ScalarUDFImpl for TextMoment {
    fn name(&self) -> &'static str {
        "text_moment"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(self.returns())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = args.args.first().ok_or_else(|| DataFusionError::Internal("a moment of no text".into()))?;
        Ok(ColumnarValue::Array(self.read(&text.to_array(args.number_rows)?)?))
    }
}
