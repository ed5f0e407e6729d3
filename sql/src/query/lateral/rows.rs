//! The rows of a query that sees an outer row, freed of it: [`Rows`].

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, SortExpr, binary_expr, lit,
};

/// A column of the query.
#[derive(Debug, Clone)]
pub(super) struct Visible {
    pub(super) table: Option<TableReference>,
    pub(super) name: String,
    /// Over the columns of [`Rows::plan`] and of the outer row.
    pub(super) value: Expr,
}

/// The rows of a query. Expressions are over the columns of `plan` and, as outer references, those of the outer row.
#[derive(Debug)]
pub(super) struct Rows {
    /// Rows that do not depend on the outer one.
    pub(super) plan: LogicalPlan,
    pub(super) columns: Vec<Visible>,
    /// What holds for those that belong to the outer row.
    pub(super) conditions: Vec<Expr>,
    /// The order the query has given them.
    pub(super) order: Vec<SortExpr>,
    /// Of a query that gives one row in any case: the column that is null where no row of `plan` belongs to the outer one.
    pub(super) met: Option<Expr>,
    /// What holds besides, when the outer row has met its row of `plan` or nulls.
    pub(super) after: Vec<Expr>,
    /// A column that is never null, where it was asked for.
    pub(super) marker: Option<Expr>,
}

/// An equality of something of the outer row with something of `plan`.
pub(super) struct Key {
    pub(super) inner: Expr,
    outer: Expr,
    op: Operator,
}

impl Key {
    /// The same equality with the value under another name.
    pub(super) fn with_inner(&self, inner: Expr) -> Expr {
        binary_expr(self.outer.clone(), self.op, inner)
    }
}

impl Rows {
    /// Rows that nothing is known of: those of a plan that does not see the outer row.
    pub(super) fn of(plan: LogicalPlan) -> Self {
        let column = |(table, field): (Option<&TableReference>, &arrow::datatypes::FieldRef)| Visible {
            table: table.cloned(),
            name: field.name().clone(),
            value: Expr::from((table, field)),
        };
        let columns = plan.schema().iter().map(column).collect();
        let (conditions, order, after) = (Vec::new(), Vec::new(), Vec::new());
        Self { plan, columns, conditions, order, met: None, after, marker: None }
    }

    /// An expression over the query's columns, over those of `plan` and the outer row.
    pub(super) fn over(&self, expr: Expr) -> Result<Expr> {
        let over = expr.transform_down(|expr| {
            let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
            let named = |visible: &&Visible| {
                visible.name == column.name && (column.relation.is_none() || column.relation == visible.table)
            };
            Ok(match self.columns.iter().find(named) {
                Some(visible) => Transformed::new(visible.value.clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(expr),
            })
        });
        Ok(over?.data)
    }

    /// The keys, where nothing but equalities says which rows belong to an outer row.
    pub(super) fn keys(&self) -> Option<Vec<Key>> {
        let mut keys: Vec<Key> = Vec::new();
        for condition in self.conditions.iter().filter(|condition| condition.any_column_refs()) {
            keys.push(self.key(condition)?);
        }
        Some(keys)
    }

    fn key(&self, condition: &Expr) -> Option<Key> {
        let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::IsNotDistinctFrom), right }) =
            condition
        else {
            return None;
        };
        let (outer, inner) = if left.contains_outer() { (left, right) } else { (right, left) };
        let types = (inner.get_type(self.plan.schema()).ok()?, outer.get_type(&DFSchema::empty()).ok()?);
        let apart = outer.contains_outer() && !outer.any_column_refs() && !inner.contains_outer();
        let key = || Key { inner: inner.as_ref().clone(), outer: outer.as_ref().clone(), op: *op };
        (apart && equal_alike(&types.0, &types.1)).then(key)
    }

    /// The conditions that see nothing but the outer row.
    pub(super) fn outer_conditions(&self) -> impl Iterator<Item = &Expr> {
        self.conditions.iter().filter(|condition| !condition.any_column_refs())
    }

    /// All expressions.
    pub(super) fn exprs(&self) -> impl Iterator<Item = &Expr> {
        let columns = self.columns.iter().map(|column| &column.value);
        let order = self.order.iter().map(|sort| &sort.expr);
        columns.chain(&self.conditions).chain(order).chain(&self.met).chain(&self.after)
    }

    /// The same with every expression rewritten.
    pub(super) fn mapped(mut self, mut map: impl FnMut(Expr) -> Result<Expr>) -> Result<Self> {
        for column in &mut self.columns {
            column.value = map(std::mem::take(&mut column.value))?;
        }
        for sort in &mut self.order {
            sort.expr = map(std::mem::take(&mut sort.expr))?;
        }
        for expr in self.conditions.iter_mut().chain(&mut self.met).chain(&mut self.after) {
            *expr = map(std::mem::take(expr))?;
        }
        Ok(self)
    }

    /// The same with all that `plan` can compute computed there, under names that no other plan has.
    pub(super) fn settled(mut self, table: String, marked: bool) -> Result<Self> {
        let table = TableReference::bare(table);
        let mut computed: Vec<(Expr, Expr)> = Vec::new();
        let mut own = |expr: &Expr| match computed.iter().find(|(known, _)| known == expr) {
            Some((_, own)) => own.clone(),
            None => {
                let own = Expr::Column(Column::new(Some(table.clone()), format!("column{}", computed.len())));
                computed.push((expr.clone(), own.clone()));
                own
            }
        };
        // Values that a row without a partner has too are not computed below the join.
        let below = self.met.is_none();
        for column in &mut self.columns {
            if below && !column.value.contains_outer() {
                column.value = own(&column.value);
            } else {
                column.value = columns_as(std::mem::take(&mut column.value), &mut own)?;
            }
        }
        let columns = std::mem::take(&mut self.columns);
        let mut settled = self.mapped(|expr| columns_as(expr, &mut own))?;
        settled.columns = columns;
        if marked || computed.is_empty() {
            let marker = Expr::Column(Column::new(Some(table.clone()), "marker"));
            settled.marker = Some(marker.clone());
            computed.push((lit(true), marker));
        }
        let named = computed.into_iter().map(|(expr, own)| match own {
            Expr::Column(column) => expr.alias_qualified(column.relation, column.name),
            other => other,
        });
        settled.plan = LogicalPlanBuilder::from(settled.plan).project(named)?.build()?;
        Ok(settled)
    }
}

/// An expression whose columns are put under other names.
fn columns_as(expr: Expr, own: &mut impl FnMut(&Expr) -> Expr) -> Result<Expr> {
    let expr = expr.transform_down(|expr| {
        Ok(match &expr {
            Expr::Column(_) => Transformed::new(own(&expr), true, TreeNodeRecursion::Jump),
            _ => Transformed::no(expr),
        })
    });
    Ok(expr?.data)
}

/// Whether values of the inner type that are different differ from any value of the outer type differently: one key then is one
/// value.
fn equal_alike(inner: &DataType, outer: &DataType) -> bool {
    let decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    let text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8);
    inner == outer
        || [DataType::is_integer, decimal, text].iter().any(|is: &fn(&DataType) -> bool| is(inner) && is(outer))
}
