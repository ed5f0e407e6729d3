//! The plan node of `UNNEST`: [`Unnest`].

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, TableReference};
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use super::rows::{RowsOf, columns_of, field_name};

/// Every row of its input once for each element of arrays or maps, with the columns of the element appended.
#[derive(Debug, Clone)]
pub(crate) struct Unnest {
    /// The rows.
    pub(crate) input: Arc<LogicalPlan>,
    /// The arrays and maps, side by side.
    pub(crate) of: Vec<Expr>,
    /// The number of the element is a last column, from 1.
    pub(crate) ordinality: bool,
    /// A row without elements stays, with nulls.
    pub(crate) outer: bool,
    /// What the appended columns are qualified with.
    table: Option<TableReference>,
    /// Names of the appended columns.
    names: Vec<String>,
    schema: DFSchemaRef,
}

impl Unnest {
    /// A node over `input`, whose appended columns have these names.
    ///
    /// # Errors
    /// Where what is unnested has no elements, there is another number of columns, or a name is one of the input's.
    pub(crate) fn try_new(
        input: LogicalPlan,
        (of, ordinality, outer): (Vec<Expr>, bool, bool),
        (table, names): (Option<TableReference>, Vec<String>),
    ) -> Result<Self> {
        let types = of.iter().map(|expr| expr.get_type(input.schema())).collect::<Result<Vec<_>>>()?;
        let columns = columns_of(&types, ordinality).filter(|columns| columns.len() == names.len());
        let Some(columns) = columns else {
            return Err(DataFusionError::Internal("UNNEST of other columns than before".into()));
        };
        let mut fields: Vec<_> =
            input.schema().iter().map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field))).collect();
        let appended = |(name, (_, data_type)): (&String, (String, DataType))| {
            (table.clone(), Arc::new(Field::new(name, data_type, true)))
        };
        fields.extend(names.iter().zip(columns).map(appended));
        let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
        Ok(Self { input: Arc::new(input), of, ordinality, outer, table, names, schema })
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

    /// The same over other rows: `of` is over them.
    ///
    /// # Errors
    /// As [`Self::try_new`].
    pub(crate) fn over(
        &self,
        input: LogicalPlan,
        of: Vec<Expr>,
        outer: bool,
        table: Option<TableReference>,
    ) -> Result<Self> {
        Self::try_new(input, (of, self.ordinality, outer), (table, self.names.clone()))
    }

    /// The list of rows that each row of the input is repeated for.
    pub(crate) fn list(&self) -> Expr {
        RowsOf::call(self.of.clone(), self.ordinality, self.outer)
    }

    /// The names of the fields in [`Self::list`], and the qualifiers and names of the columns they are.
    pub(crate) fn appended(&self) -> impl Iterator<Item = (String, Option<TableReference>, &str)> {
        let names = self.names.iter().enumerate();
        names.map(|(index, name)| (field_name(index), self.table.clone(), name.as_str()))
    }

    fn shape(&self) -> impl PartialOrd + Hash {
        (&self.input, &self.of, self.ordinality, self.outer, &self.table, &self.names)
    }
}

impl PartialEq for Unnest {
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape()
    }
}

impl Eq for Unnest {}

impl Hash for Unnest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shape().hash(state);
    }
}

impl PartialOrd for Unnest {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.shape().partial_cmp(&other.shape())
    }
}

impl UserDefinedLogicalNodeCore for Unnest {
    fn name(&self) -> &str {
        "UnnestRows"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.of.clone()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.names.iter().cloned().collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of: Vec<String> = self.of.iter().map(ToString::to_string).collect();
        let outer = if self.outer { "outer " } else { "" };
        let ordinality = if self.ordinality { " with ordinality" } else { "" };
        write!(f, "UnnestRows: {outer}{}{ordinality}", of.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return Err(DataFusionError::Internal("UNNEST has one input".into()));
        };
        let of = exprs.into_iter().map(Expr::unalias).collect();
        self.over(input, of, self.outer, self.table.clone())
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let columns = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|index| *index < columns).collect()])
    }
}
