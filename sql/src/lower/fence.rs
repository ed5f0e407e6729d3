//! [`Fence`]: a place in a plan that no filter is pushed through and above which no column is found to be needless. It is there
//! while the plan is optimised (DataFusion does neither through a node that does not say that it may), and only where the last filter of a query is to stay above the state of what it filters: so that
//! the state is the same whatever the filter is.

use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchemaRef, DataFusionError};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::error::Result;
use crate::query::from_datafusion;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
struct Fence {
    input: Arc<LogicalPlan>,
}

impl UserDefinedLogicalNodeCore for Fence {
    fn name(&self) -> &str {
        "Fence"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fence")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> datafusion::common::Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return Err(DataFusionError::Internal("a fence has one input".into()));
        };
        Ok(Self { input: Arc::new(input) })
    }
}

/// The plan with a fence below its last filter, where nothing but projections stands above that.
pub(super) fn below_last_filter(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let fenced = match plan {
        LogicalPlan::Filter(filter) => {
            LogicalPlan::Extension(Extension { node: Arc::new(Fence { input: Arc::clone(&filter.input) }) })
        }
        LogicalPlan::Projection(projection) => below_last_filter(&projection.input)?,
        LogicalPlan::SubqueryAlias(alias) => below_last_filter(&alias.input)?,
        _ => return Ok(plan.clone()),
    };
    plan.with_new_exprs(plan.expressions(), vec![fenced]).map_err(from_datafusion)
}

/// The plan without fences.
pub(super) fn without(plan: LogicalPlan) -> Result<LogicalPlan> {
    let open = |plan: LogicalPlan| {
        Ok(match &plan {
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<Fence>() {
                Some(fence) => Transformed::yes(LogicalPlan::clone(&fence.input)),
                None => Transformed::no(plan),
            },
            _ => Transformed::no(plan),
        })
    };
    plan.transform_up(open).data().map_err(from_datafusion)
}
