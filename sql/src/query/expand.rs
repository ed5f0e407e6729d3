//! Functions that are replaced by expressions: SQL functions of the catalog, and `MOD`.

use std::any::Any;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, DataFusionError, Result as PlanResult};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility, cast,
};
use datafusion::sql::planner::{PlannerContext, SqlToRel};

use super::provider::{Provider, external, options};
use super::resolve::Resolver;
use super::{DEPTH_MAX, from_datafusion, literals, text};
use crate::bound::BindContext;
use crate::catalog::SqlFunction;
use crate::error::{Result, SqlError, SqlState};
use crate::functions::replaced;

/// Replaces the functions in all expressions of a plan.
pub(super) fn expand(plan: LogicalPlan) -> Result<LogicalPlan> {
    let expanded = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        let mapped = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let expanded = expand_expr(expr, 0)?;
            Ok(if expanded.transformed { Transformed::yes(name.restore(expanded.data)) } else { expanded })
        })?;
        if mapped.transformed { mapped.map_data(LogicalPlan::recompute_schema) } else { Ok(mapped) }
    });
    Ok(expanded.map_err(from_datafusion)?.data)
}

fn expand_expr(expr: Expr, depth: usize) -> PlanResult<Transformed<Expr>> {
    if depth > DEPTH_MAX {
        return Err(external(SqlError::unsupported(format!("functions call functions more than {DEPTH_MAX} deep"))));
    }
    expr.transform_up(|expr| {
        let Expr::ScalarFunction(call) = expr else { return Ok(Transformed::no(expr)) };
        if call.name() == "mod"
            && let [left, right] = call.args.as_slice()
        {
            let rest = BinaryExpr::new(Box::new(left.clone()), Operator::Modulo, Box::new(right.clone()));
            return Ok(Transformed::yes(Expr::BinaryExpr(rest)));
        }
        if let Some(expr) = replaced(call.name(), &call.args) {
            return Ok(Transformed::yes(expr?));
        }
        let inner: &dyn Any = call.func.inner().as_ref();
        let Some(function) = inner.downcast_ref::<Placeholder>() else {
            return Ok(Transformed::no(Expr::ScalarFunction(call)));
        };
        let body = function.body.clone().map_err(external)?;
        let inlined = body.transform_up(|node| match &node {
            Expr::Column(column) => match function.parameters.iter().position(|(name, _)| *name == column.name) {
                Some(index) => match (call.args.get(index), function.parameters.get(index)) {
                    (Some(arg), Some((_, data_type))) => Ok(Transformed::yes(cast(arg.clone(), data_type.clone()))),
                    _ => Err(DataFusionError::Internal("a parameter without an argument".into())),
                },
                None => Ok(Transformed::no(node)),
            },
            _ => Ok(Transformed::no(node)),
        })?;
        let inlined = expand_expr(inlined.data, depth + 1)?.data;
        Ok(Transformed::yes(cast(inlined, function.returns.clone())))
    })
}

/// A SQL function as the planner sees it, until its body is put in.
#[derive(Debug)]
struct Placeholder {
    name: String,
    parameters: Vec<(String, DataType)>,
    returns: DataType,
    /// The body over columns named as the parameters.
    body: Result<Expr>,
    signature: Signature,
}

/// The function for the planner.
pub(super) fn placeholder(function: &SqlFunction, context: &BindContext) -> Arc<ScalarUDF> {
    let parameters = function.parameters.iter();
    Arc::new(ScalarUDF::new_from_impl(Placeholder {
        name: function.name.to_ascii_lowercase(),
        parameters: parameters.map(|(name, data_type)| (name.clone(), data_type.arrow.clone())).collect(),
        returns: function.returns.arrow.clone(),
        body: body(function, context),
        signature: Signature::user_defined(Volatility::Immutable),
    }))
}

fn body(function: &SqlFunction, context: &BindContext) -> Result<Expr> {
    let mut expr = text::expression(&function.body)?;
    let fields: Vec<Field> =
        function.parameters.iter().map(|(name, data_type)| Field::new(name, data_type.arrow.clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    Resolver::new(&context.catalog).expression(&mut expr, &schema)?;
    literals::typed(&mut expr, context.semantics);
    let schema = DFSchema::try_from(schema).map_err(from_datafusion)?;
    let provider = Provider::new(context, Vec::new(), 0)?;
    let planner = SqlToRel::new_with_options(&provider, options(context.semantics));
    let planned = planner.sql_to_expr(expr, &schema, &mut PlannerContext::new()).map_err(from_datafusion)?;
    literals::folded_expr(planned)
}

impl PartialEq for Placeholder {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Placeholder {}

impl Hash for Placeholder {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Placeholder {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> PlanResult<DataType> {
        Ok(self.returns.clone())
    }

    fn coerce_types(&self, types: &[DataType]) -> PlanResult<Vec<DataType>> {
        let wanted: Vec<DataType> = self.parameters.iter().map(|(_, data_type)| data_type.clone()).collect();
        let fits = |(from, to): (&DataType, &DataType)| {
            from == to || *from == DataType::Null || arrow::compute::can_cast_types(from, to)
        };
        if types.len() == wanted.len() && types.iter().zip(&wanted).all(fits) {
            return Ok(wanted);
        }
        let show = |types: &[DataType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let message = format!("function {}({}) does not exist", self.name, show(types));
        let hint = format!("it is declared as {}({})", self.name, show(&wanted));
        Err(external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message).with_hint(hint)))
    }

    fn invoke_with_args(&self, _args: ScalarFunctionArgs) -> PlanResult<ColumnarValue> {
        Err(DataFusionError::Internal(format!("the body of {} was not put in", self.name)))
    }
}
