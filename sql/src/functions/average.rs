//! `AVG` of decimals, rounded half away from zero as PostgreSQL and Flink have it; DataFusion's cuts. What DataFusion's
//! aggregate gives has one digit more here, which says how to round the one before it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::recast::{Recast, RecastGroups};

/// The digits that a decimal of Arrow's may have.
const DIGITS_MAX: u8 = 38;

/// The aggregate with its decimals rounded.
pub(super) fn rounded(average: &Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Rounded { inner: Arc::clone(average) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rounded {
    inner: Arc<AggregateUDF>,
}

/// The type with one digit more; `None` where it is no decimal or has no room.
fn finer(of: &DataType) -> Option<DataType> {
    match of {
        DataType::Decimal128(precision, scale) if scale.unsigned_abs() < DIGITS_MAX => {
            Some(DataType::Decimal128(precision.saturating_add(1).min(DIGITS_MAX), scale.saturating_add(1)))
        }
        _ => None,
    }
}

/// The field with one digit more, and the type that results are rounded to.
fn widened(returns: &FieldRef) -> Option<(FieldRef, DataType)> {
    let finer = finer(returns.data_type())?;
    let field = Field::new(returns.name(), finer, returns.is_nullable());
    Some((Arc::new(field), returns.data_type().clone()))
}

impl AggregateUDFImpl for Rounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match widened(&args.return_field) {
            Some((return_field, returns)) => {
                let inner = self.inner.accumulator(AccumulatorArgs { return_field, ..args })?;
                Ok(Box::new(Recast { inner, returns }))
            }
            None => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        self.inner.state_fields(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        match widened(&args.return_field) {
            Some((return_field, returns)) => {
                let inner = self.inner.create_groups_accumulator(AccumulatorArgs { return_field, ..args })?;
                Ok(Box::new(RecastGroups { inner, returns }))
            }
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}
