//! Temporal joins with a table outside that can be asked for the rows of a key.

use std::sync::Arc;

use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, TableScan, try_cast};
use millstream_engine::plan::{
    ChangelogMode, Input, JoinKey, JoinKind, LookupJoinSpec, NodeId, OperatorSpec, Partitioning,
};
use millstream_engine::ports::LookupRequest;

use super::columns::extended;
use super::join::{Keyed, joined, shaped};
use super::rel::Rel;
use super::{Lowering, column_of};
use crate::catalog::{Relation, RelationKind};
use crate::error::Result;
use crate::query::from_datafusion;
use crate::query::temporal::TemporalJoin;
use crate::relation_source::RelationSource;

/// A connector table with nothing but names and a choice of columns on it.
struct Plain<'a> {
    relation: &'a Arc<Relation>,
    /// The stored column behind each column.
    columns: Vec<usize>,
}

impl<'a> Plain<'a> {
    fn of(plan: &'a LogicalPlan) -> Option<Self> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Projection(projection) => {
                let inner = Self::of(&projection.input)?;
                let stored = |expr: &Expr| inner.columns.get(column_of(expr, projection.input.schema())?).copied();
                let columns = projection.expr.iter().map(stored).collect::<Option<_>>()?;
                Some(Self { relation: inner.relation, columns })
            }
            LogicalPlan::TableScan(TableScan { source, projection, fetch: None, filters, .. })
                if filters.is_empty() =>
            {
                let source = source.downcast_ref::<RelationSource>()?;
                let RelationKind::ConnectorTable(_) = &source.relation.kind else { return None };
                let columns = projection.clone().unwrap_or_else(|| (0..source.schema.fields().len()).collect());
                Some(Self { relation: &source.relation, columns })
            }
            _ => None,
        }
    }
}

/// The equalities of a join by what the table can be asked for.
#[derive(Default)]
struct Equalities {
    /// What is looked up, over the left side.
    left: Vec<Expr>,
    /// The column of the right side that it is equal to.
    right: Vec<usize>,
    /// What is to be checked besides.
    others: Vec<Expr>,
}

impl Equalities {
    fn of(node: &TemporalJoin) -> Result<Self> {
        let (mut found, schema) = (Self::default(), node.join.right.schema());
        for (left, right) in &node.join.on {
            let equal = || left.clone().eq(right.clone());
            let (bare, is_cast) = match right {
                Expr::Cast(cast) => (cast.expr.as_ref(), true),
                other => (other, false),
            };
            let Some(column) = column_of(bare, schema) else {
                found.others.push(equal());
                continue;
            };
            let wanted = schema.field(column).data_type().clone();
            let same = left.get_type(node.join.left.schema()).map_err(from_datafusion)? == wanted;
            // A value that the column's type does not hold is found nowhere; one that is rounded to it is equal to nothing.
            found.left.push(if same { left.clone() } else { try_cast(left.clone(), wanted) });
            found.right.push(column);
            if is_cast || !same {
                found.others.push(equal());
            }
        }
        Ok(found)
    }
}

impl Lowering<'_> {
    /// A join with a table that is asked for keys, where it can be.
    pub(super) fn lookup_join(&mut self, node: &TemporalJoin, kind: JoinKind) -> Result<Option<Rel>> {
        let join = &node.join;
        let Some(table) = Plain::of(&join.right).filter(|_| node.times.is_none()) else { return Ok(None) };
        let equalities = Equalities::of(node)?;
        let keys: Option<Vec<usize>> =
            equalities.right.iter().map(|&column| table.columns.get(column).copied()).collect();
        let Some(keys) = keys.filter(|keys| !keys.is_empty()) else { return Ok(None) };
        let request = LookupRequest { columns: table.columns, keys };
        let Some(lookup) = self.opener.lookup(table.relation, &request)? else { return Ok(None) };
        let left = self.plan(&join.left)?;
        if left.changelog == ChangelogMode::Retract {
            return Err(super::temporal::updating("left"));
        }
        let right = Rel::new(NodeId(0), lookup.schema());
        let widths = (left.schema.fields().len(), right.schema.fields().len());
        let left = extended(left, &equalities.left, join.left.schema(), "left")?;
        let right = extended(right, &[], join.right.schema(), "right")?;
        let pairs = left.columns.iter().zip(&equalities.right);
        let keys: Vec<JoinKey> = pairs.map(|(&left, &right)| JoinKey { left, right, null_equal: false }).collect();
        let right_at = left.rel.schema.fields().len();
        let mut out = joined(&left.rel, &right.rel, kind);
        out.time_column = left.rel.time_column;
        out.proctime = left.rel.proctime.clone();
        out.window = left.rel.window.clone();
        out.spread = left.rel.spread.clone();
        let keyed = Keyed { left, right, keys, widths };
        let others = conjunction(equalities.others.into_iter().chain(join.filter.clone()));
        let residual = others.map(|others| keyed.residual(&others)).transpose()?;
        let inputs = vec![Input { from: self.settle(keyed.left.rel), partitioning: Partitioning::Forward }];
        let table = table.relation.name.clone();
        let spec = LookupJoinSpec { kind, table, lookup, keys: keyed.keys, residual };
        let out = self.node(OperatorSpec::LookupJoin(spec), inputs, out);
        Ok(Some(shaped(out, widths, right_at, kind, join)))
    }
}
