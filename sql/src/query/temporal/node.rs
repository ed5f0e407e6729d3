//! [`TemporalJoin`]: the plan node of a join with one version of a table.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan, UserDefinedLogicalNodeCore};
use millstream_engine::plan::AsofMatch;

/// A join of each left row with the right row of its keys whose time is nearest to its own. Its columns are those of an
/// inner or left join.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct TemporalJoin {
    /// The sides, the equalities that choose the versions, and a further condition that chooses no other version.
    pub(crate) join: Join,
    /// `None`: processing time, what the right side holds when the row arrives: all rows of its keys.
    pub(crate) times: Option<Times>,
}

/// The times that are compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Times {
    /// A column of the left side.
    pub(crate) left: Expr,
    /// A column of the right side.
    pub(crate) right: Expr,
    /// Which row is meant.
    pub(crate) asof: AsofMatch,
}

impl TemporalJoin {
    pub(crate) fn new(join: Join, times: Option<Times>) -> Self {
        Self { join, times }
    }

    /// The node as a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The node of a plan, where it is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for TemporalJoin {
    fn name(&self) -> &str {
        "TemporalJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.join.left, &self.join.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.join.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let keys = self.join.on.iter().flat_map(|(left, right)| [left.clone(), right.clone()]);
        let times = self.times.iter().flat_map(|times| [times.left.clone(), times.right.clone()]);
        keys.chain(times).chain(self.join.filter.clone()).collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        // A filter would go to both sides, and one on the right side would choose other versions.
        self.join.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TemporalJoin {}:", self.join.join_type)?;
        for (left, right) in &self.join.on {
            write!(f, " {left} = {right}")?;
        }
        match &self.times {
            Some(times) => write!(f, ", {:?} {} of {}", times.asof, times.left, times.right),
            None => write!(f, ", now"),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let wrong = || DataFusionError::Internal("a temporal join has two inputs and its own expressions".into());
        let Ok([left, right]) = <[LogicalPlan; 2]>::try_from(inputs) else { return Err(wrong()) };
        let mut exprs = exprs.into_iter().map(Expr::unalias);
        let mut next = || exprs.next().ok_or_else(wrong);
        let mut on = Vec::with_capacity(self.join.on.len());
        for _ in &self.join.on {
            on.push((next()?, next()?));
        }
        let times = match &self.times {
            Some(times) => Some(Times { left: next()?, right: next()?, asof: times.asof }),
            None => None,
        };
        let filter = self.join.filter.as_ref().map(|_| next()).transpose()?;
        let Join { join_type, join_constraint, null_equality, null_aware, .. } = self.join;
        let (left, right) = (Arc::new(left), Arc::new(right));
        let join = Join::try_new(left, right, on, filter, join_type, join_constraint, null_equality, null_aware)?;
        Ok(Self { join, times })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.join.left.schema().fields().len();
        let left = output_columns.iter().copied().filter(|column| *column < width).collect();
        let right = output_columns.iter().filter_map(|column| column.checked_sub(width)).collect();
        Some(vec![left, right])
    }
}
