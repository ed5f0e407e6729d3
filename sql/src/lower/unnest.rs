//! `UNNEST`: rows repeated for the elements of arrays and maps, in `FROM` and in the select list.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::{DFSchema, NullHandling};
use datafusion::logical_expr::{Expr, UserDefinedLogicalNodeCore};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::Step;

use super::rel::Rel;
use super::{Lowering, broken, refuse};
use crate::error::Result;
use crate::query::unnest::{RowsOf, Unnest};

impl Lowering<'_> {
    /// `CROSS JOIN UNNEST` and `LEFT JOIN UNNEST`.
    pub(super) fn unnest(&mut self, unnest: &Unnest) -> Result<Rel> {
        let rel = self.plan(&unnest.input)?;
        let width = rel.schema.fields().len();
        let names = unnest.schema().fields().iter().skip(width).map(|field| field.name().clone());
        let key = rel.stream_key.clone().filter(|_| unnest.ordinality);
        let mut out = repeated(rel, &unnest.list(), unnest.input.schema(), names.collect())?;
        // The rows of one row are told apart by their number, the last column.
        out.stream_key = key.map(|key| key.into_iter().chain([out.schema.fields().len() - 1]).collect());
        Ok(out)
    }

    /// `SELECT unnest(a), b`: the columns are replaced by their elements, side by side.
    pub(super) fn unnested_columns(&mut self, unnest: &datafusion::logical_expr::Unnest) -> Result<Rel> {
        let deep = unnest.list_type_columns.iter().any(|(_, list)| list.depth > 1);
        if deep || !unnest.struct_type_columns.is_empty() {
            return Err(refuse("UNNEST of a row, or of arrays in arrays, in the select list", None));
        }
        let input = unnest.input.schema();
        let column = |index: usize| Expr::from(input.qualified_field(index));
        let lists: Vec<usize> = unnest.list_type_columns.iter().map(|(index, _)| *index).collect();
        let outer = unnest.options.null_handling == NullHandling::PreserveAndExpandEmpty;
        let list = RowsOf::call_whole(lists.iter().map(|index| column(*index)).collect(), outer);
        let rel = self.plan(&unnest.input)?;
        let width = rel.schema.fields().len();
        let names = (0..lists.len()).map(|index| format!("__unnest{index}")).collect();
        let mut out = repeated(rel, &list, input, names)?;
        // The lists are in the order of the columns that they become.
        let mut elements = width..;
        let from = unnest.dependency_indices.iter();
        let from = from.map(|index| if lists.contains(index) { elements.next() } else { Some(*index) });
        let from: Vec<Option<usize>> = from.collect();
        let exprs = from.iter().flatten().map(|column| Scalar::column(&out.schema, *column)).collect();
        let schema = nullable(unnest.schema.as_arrow());
        let mut steps = std::mem::take(&mut out.steps);
        steps.push(Step::Project { exprs, schema: Arc::clone(&schema) });
        let mut out = out.mapped(&from, schema);
        out.steps = steps;
        Ok(out)
    }
}

/// Rows repeated for the elements of a list of rows, whose fields become columns with these names.
fn repeated(rel: Rel, list: &Expr, input: &DFSchema, names: Vec<String>) -> Result<Rel> {
    let list = Scalar::compile(list, input)?;
    let DataType::List(item) = list.data_type(input.as_arrow())? else { return Err(broken("UNNEST without a list")) };
    let DataType::Struct(fields) = item.data_type() else { return Err(broken("UNNEST without rows")) };
    let appended = fields.iter().zip(names).map(|(field, name)| field.as_ref().clone().with_name(name));
    let columns = rel.schema.fields().iter().map(|field| field.as_ref().clone()).chain(appended);
    let schema = Arc::new(Schema::new(columns.collect::<Vec<_>>()));
    let width = rel.schema.fields().len();
    let from: Vec<Option<usize>> =
        (0..schema.fields().len()).map(|column| (column < width).then_some(column)).collect();
    let mut steps = rel.steps.clone();
    steps.push(Step::Unnest { list, schema: Arc::clone(&schema) });
    let mut out = rel.mapped(&from, schema);
    out.steps = steps;
    // Where rows multiply, a row is no longer told by its key alone.
    out.stream_key = None;
    Ok(out)
}

fn nullable(schema: &Schema) -> Arc<Schema> {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}
