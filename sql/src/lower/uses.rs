//! Which children of ROW columns a plan reads, scan by scan: `bid.auction` asks for that child alone.

use std::collections::{BTreeSet, HashMap};

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan};

use super::column_of;
use crate::query::nodes::{StateTtl, Watermark, WindowTvf};
use crate::query::unnest::Unnest;

/// What is read of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// These children (none: nothing).
    Children(BTreeSet<usize>),
    /// All of it.
    All,
}

/// What is read of the columns of every scan.
#[derive(Debug, Default)]
pub(super) struct Uses {
    scans: HashMap<LogicalPlan, Vec<Use>>,
}

impl Use {
    fn none() -> Self {
        Self::Children(BTreeSet::new())
    }

    fn add(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Children(have), Self::Children(more)) => have.extend(more),
        }
    }
}

impl Uses {
    /// The uses of plans whose whole output is read.
    pub(super) fn of(plans: &[LogicalPlan]) -> Self {
        let mut uses = Self::default();
        for plan in plans {
            uses.visit(plan, vec![Use::All; plan.schema().fields().len()]);
        }
        uses
    }

    /// The children of column `column` of a scan's output that are read; `None`: all.
    pub(super) fn children(&self, scan: &LogicalPlan, column: usize) -> Option<Vec<usize>> {
        match self.scans.get(scan)?.get(column)? {
            Use::All => None,
            Use::Children(children) => Some(children.iter().copied().collect()),
        }
    }

    fn visit(&mut self, plan: &LogicalPlan, output: Vec<Use>) {
        if let Some(watermark) = Watermark::of(plan) {
            let mut input = output;
            let schema = watermark.input.schema();
            [&watermark.column, &watermark.expr].iter().for_each(|expr| read(expr, schema, &mut input));
            return self.visit(&watermark.input, input);
        }
        if let Some(ttl) = StateTtl::of(plan) {
            return self.visit(&ttl.input, output);
        }
        if let Some(tvf) = WindowTvf::of(plan) {
            let schema = tvf.input.schema();
            let mut input: Vec<Use> = output.into_iter().take(schema.fields().len()).collect();
            std::iter::once(&tvf.time).chain(&tvf.partition_by).for_each(|expr| read(expr, schema, &mut input));
            return self.visit(&tvf.input, input);
        }
        if let Some(unnest) = Unnest::of(plan) {
            let schema = unnest.input.schema();
            let mut input: Vec<Use> = output.into_iter().take(schema.fields().len()).collect();
            unnest.of.iter().for_each(|expr| read(expr, schema, &mut input));
            return self.visit(&unnest.input, input);
        }
        match plan {
            LogicalPlan::TableScan(_) => {
                let known = self.scans.entry(plan.clone()).or_insert_with(|| vec![Use::none(); output.len()]);
                known.iter_mut().zip(&output).for_each(|(known, more)| known.add(more));
            }
            LogicalPlan::SubqueryAlias(alias) => self.visit(&alias.input, output),
            LogicalPlan::Filter(filter) => {
                let mut input = output;
                read(&filter.predicate, filter.input.schema(), &mut input);
                self.visit(&filter.input, input);
            }
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let mut input = vec![Use::none(); schema.fields().len()];
                for (expr, wanted) in projection.expr.iter().zip(&output) {
                    match column_of(expr, schema).and_then(|column| input.get_mut(column)) {
                        Some(column) => column.add(wanted),
                        None => read(expr, schema, &mut input),
                    }
                }
                self.visit(&projection.input, input);
            }
            other => {
                for input in other.inputs() {
                    self.visit(input, vec![Use::All; input.schema().fields().len()]);
                }
            }
        }
    }
}

/// Adds what an expression reads of the columns of its input.
fn read(expr: &Expr, schema: &DFSchema, columns: &mut [Use]) {
    if let Some((column, child)) = child_of(expr, schema)
        && let Some(column) = columns.get_mut(column)
    {
        return column.add(&Use::Children(BTreeSet::from([child])));
    }
    if let Expr::Column(column) = expr {
        if let Some(column) = index_of(column, schema).and_then(|index| columns.get_mut(index)) {
            column.add(&Use::All);
        }
        return;
    }
    let inner = |expr: &Expr| {
        read(expr, schema, columns);
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    };
    // The closure never fails, so neither does the walk.
    let _ = datafusion::common::tree_node::TreeNode::apply_children(expr, inner);
}

/// The column and the child that a field access reads.
fn child_of(expr: &Expr, schema: &DFSchema) -> Option<(usize, usize)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let (Expr::Column(column), Expr::Literal(name, _)) = (call.args.first()?, call.args.get(1)?) else { return None };
    let (ScalarValue::Utf8(Some(name)) | ScalarValue::Utf8View(Some(name)) | ScalarValue::LargeUtf8(Some(name))) = name
    else {
        return None;
    };
    let index = index_of(column, schema).filter(|_| call.name() == "get_field")?;
    let DataType::Struct(fields) = schema.field(index).data_type() else { return None };
    Some((index, fields.iter().position(|field| field.name() == name)?))
}

fn index_of(column: &Column, schema: &DFSchema) -> Option<usize> {
    schema.maybe_index_of_column(column)
}
