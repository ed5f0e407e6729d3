//! `AVG` of decimals, rounded half away from zero as PostgreSQL and Flink have it; DataFusion's cuts. What DataFusion's
//! aggregate gives has one digit more here, which says how to round the one before it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

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
                Ok(Box::new(One { inner, returns }))
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
                Ok(Box::new(Groups { inner, returns }))
            }
            None => self.inner.create_groups_accumulator(args),
        }
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The mean of one group.
#[derive(Debug)]
struct One {
    inner: Box<dyn Accumulator>,
    returns: DataType,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()?.cast_to(&self.returns)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

/// The means of many groups.
struct Groups {
    inner: Box<dyn GroupsAccumulator>,
    returns: DataType,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.inner.update_batch(values, groups, filter, total)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        Ok(cast(&self.inner.evaluate(emit_to)?, &self.returns)?)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, total)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
