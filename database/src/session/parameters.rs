//! Parameters of statements: `$1`, `$2`, … — their types before execution, their values at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ParamValues};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::scalar::ScalarValue;
use millstream_sql::ast::{ParsedStatement, Statement};
use millstream_sql::bound::{BoundQuery, BoundStatement};
use millstream_sql::error::{from_arrow, from_datafusion};
use millstream_sql::{SqlError, SqlState, value_of_text, with_values};

use super::{Session, explain, show, subscribe};

/// What a client is told of a statement before it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The types of `$1`, `$2`, …; text where nothing tells.
    pub parameters: Vec<DataType>,
    /// The columns of its rows; `None` where it gives none.
    pub columns: Option<SchemaRef>,
}

impl Session {
    /// Tells parameters and columns of a statement without running it. `declared`: the types that the client says, which count
    /// where the statement tells none.
    ///
    /// # Errors
    /// As binding it.
    pub async fn describe(
        &mut self,
        statement: &ParsedStatement,
        declared: &[Option<DataType>],
    ) -> Result<Description, SqlError> {
        match self.description(statement, declared).await {
            Ok(description) => {
                self.binding = None;
                Ok(description)
            }
            Err(error) => Err(self.located(statement, error).await),
        }
    }

    async fn description(
        &mut self,
        statement: &ParsedStatement,
        declared: &[Option<DataType>],
    ) -> Result<Description, SqlError> {
        if self.open_set.as_ref().is_some_and(|set| set.explains)
            && matches!(statement.ast, Statement::Transaction("COMMIT"))
        {
            return Ok(Description { parameters: Vec::new(), columns: Some(explain::schema()) });
        }
        if let Statement::Kept(kept) = &statement.ast {
            return Box::pin(self.describe_kept(kept)).await;
        }
        let bound = self.bind(statement).await?;
        let (query, columns) = match &bound {
            // The beginning of a statement set, whose plan comes at its end.
            BoundStatement::Explain { statement, .. } if matches!(**statement, BoundStatement::Acknowledge(_)) => {
                (None, None)
            }
            BoundStatement::Query(query) => (Some(query), Some(query.schema.clone())),
            BoundStatement::Subscribe(query) => (Some(query), Some(subscribe::schema(&query.schema))),
            BoundStatement::Insert { query, .. } | BoundStatement::Change { query, .. } => (Some(query), None),
            BoundStatement::Explain { .. } => (None, Some(explain::schema())),
            BoundStatement::Show(what) => (None, Some(show::schema(what))),
            BoundStatement::Describe(..) => (None, Some(show::describe_schema())),
            BoundStatement::ShowPartitions(..) => (None, Some(show::partitions_schema())),
            BoundStatement::ShowCreate(_) => (None, Some(show::create_schema())),
            BoundStatement::SystemCatalog => return self.system().describe(&statement.text).await,
            BoundStatement::StatementSet(_)
            | BoundStatement::CopyTo { .. }
            | BoundStatement::CopyFrom { .. }
            | BoundStatement::CreateTable { .. }
            | BoundStatement::CreateTableAs { .. }
            | BoundStatement::Alter { .. }
            | BoundStatement::CreateView { .. }
            | BoundStatement::CreateMaterializedView { .. }
            | BoundStatement::CreateFunction { .. }
            | BoundStatement::Drop { .. }
            | BoundStatement::CreateNamespaces { .. }
            | BoundStatement::DropNamespaces { .. }
            | BoundStatement::Set { .. }
            | BoundStatement::Reset(_)
            | BoundStatement::Job(_)
            | BoundStatement::Flush
            | BoundStatement::Acknowledge(_) => (None, None),
        };
        let Some(query) = query else { return Ok(Description { parameters: Vec::new(), columns }) };
        let known = known_types(&query.plan)?;
        let declared = |number: usize| declared.get(number).cloned().flatten().unwrap_or(DataType::Utf8);
        let kinds = known.iter().enumerate();
        let parameters: Vec<_> = kinds.map(|(number, kind)| kind.clone().unwrap_or_else(|| declared(number))).collect();
        let columns = match columns {
            // The type of a column may be that of a parameter.
            Some(_) if known.contains(&None) && matches!(bound, BoundStatement::Query(_)) => {
                let nulls = parameters.iter().map(ScalarValue::try_from).collect::<Result<Vec<_>, _>>();
                Some(fill_query(query.clone(), &nulls.map_err(from_datafusion)?)?.schema)
            }
            columns => columns,
        };
        Ok(Description { parameters, columns })
    }
}

/// The types of a plan's parameters in order; text where nothing tells.
pub(crate) fn types(plan: &LogicalPlan) -> Result<Vec<DataType>, SqlError> {
    Ok(known_types(plan)?.into_iter().map(|kind| kind.unwrap_or(DataType::Utf8)).collect())
}

/// The types of a plan's parameters in order; `None` where nothing tells.
fn known_types(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, SqlError> {
    let mut found: BTreeMap<usize, DataType> = BTreeMap::new();
    for (id, kind) in plan.get_parameter_types().map_err(from_datafusion)? {
        let number = number(&id)?;
        found.insert(number, kind.unwrap_or(DataType::Null));
    }
    for (number, kind) in cast_types(plan)?.into_iter().chain(member_types(plan)?) {
        let known = found.entry(number).or_insert(DataType::Null);
        if known == &DataType::Null {
            *known = kind;
        }
    }
    let count = found.last_key_value().map_or(0, |(number, _)| *number);
    Ok((1..=count).map(|number| found.get(&number).filter(|kind| **kind != DataType::Null).cloned()).collect())
}

/// Parameters without a type that stand directly in a cast: the type of the cast.
fn cast_types(plan: &LogicalPlan) -> Result<Vec<(usize, DataType)>, SqlError> {
    let mut found = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let cast = match expr {
                    Expr::Cast(cast) => Some((&cast.expr, cast.field.data_type())),
                    Expr::TryCast(cast) => Some((&cast.expr, cast.field.data_type())),
                    _ => None,
                };
                if let Some((inner, kind)) = cast
                    && let Expr::Placeholder(Placeholder { id, .. }) = inner.as_ref()
                    && let Ok(number) = number(id)
                {
                    found.push((number, kind.clone()));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map_err(from_datafusion)?;
    Ok(found)
}

/// Parameters without a type of `value = ANY($1)` and `$1 = ANY(array)`, as arrays of the value's type and as its items.
fn member_types(plan: &LogicalPlan) -> Result<Vec<(usize, DataType)>, SqlError> {
    let mut found = Vec::new();
    let visited = plan.apply_with_subqueries(|node| {
        let input = merge_schema(&node.inputs());
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.name() == "array_has"
                    && let [array, item] = call.args.as_slice()
                {
                    found.extend(member_type(array, item, &input));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    visited.map_err(from_datafusion)?;
    Ok(found)
}

fn member_type(array: &Expr, item: &Expr, input: &DFSchema) -> Option<(usize, DataType)> {
    let parameter = |expr: &Expr| match expr {
        Expr::Placeholder(Placeholder { id, .. }) => number(id).ok(),
        _ => None,
    };
    match (parameter(array), parameter(item)) {
        (Some(number), None) => {
            let item = item.get_type(input).ok().filter(|kind| *kind != DataType::Null)?;
            Some((number, DataType::List(Arc::new(Field::new_list_field(item, true)))))
        }
        (None, Some(number)) => match array.get_type(input).ok()? {
            DataType::List(item) => Some((number, item.data_type().clone())),
            _ => None,
        },
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn number(id: &str) -> Result<usize, SqlError> {
    let number = id.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
    number.filter(|number| (1..=65_535).contains(number)).ok_or_else(|| {
        SqlError::new(SqlState("42P02"), format!("there is no parameter {id}")).with_hint("Parameters are $1, $2, …")
    })
}

/// The statement with values in place of its parameters.
///
/// # Errors
/// Where there are too few values, or one does not fit (22P02), or the statement takes no parameters (42P02).
pub(super) fn fill(statement: BoundStatement, values: &[ScalarValue]) -> Result<BoundStatement, SqlError> {
    Ok(match statement {
        BoundStatement::Query(query) => BoundStatement::Query(fill_query(query, values)?),
        BoundStatement::Subscribe(query) => BoundStatement::Subscribe(fill_query(query, values)?),
        BoundStatement::Insert { target, query } => {
            BoundStatement::Insert { target, query: fill_query(query, values)? }
        }
        BoundStatement::Change { target, query, kind } => {
            BoundStatement::Change { target, query: fill_query(query, values)?, kind }
        }
        BoundStatement::Explain { statement, options } => {
            BoundStatement::Explain { statement: Box::new(fill(*statement, values)?), options }
        }
        BoundStatement::CreateMaterializedView { relation, exists, replaced, query, tag } => {
            let query = fill_query(query, &[])?;
            BoundStatement::CreateMaterializedView { relation, exists, replaced, query, tag }
        }
        other => other,
    })
}

fn fill_query(mut query: BoundQuery, values: &[ScalarValue]) -> Result<BoundQuery, SqlError> {
    let kinds = known_types(&query.plan)?;
    if kinds.is_empty() {
        return Ok(query);
    }
    if values.len() < kinds.len() {
        return Err(SqlError::new(SqlState("42P02"), format!("there is no parameter ${}", values.len() + 1)));
    }
    let fitted = kinds.iter().zip(values).map(|(kind, value)| match kind {
        Some(kind) => fit(value, kind),
        None => Ok(value.clone()),
    });
    let values = fitted.collect::<Result<Vec<_>, _>>()?;
    query.plan = query.plan.with_param_values(ParamValues::from(values)).map_err(from_datafusion)?;
    if kinds.contains(&None) {
        query.plan = with_values(query.plan)?;
        query.schema = retyped(&query);
    }
    Ok(query)
}

/// The columns of a query under their names, with the types that its parameters have given them.
fn retyped(query: &BoundQuery) -> SchemaRef {
    let columns = query.schema.fields().iter().zip(query.plan.schema().fields());
    let columns = columns.map(|(known, found)| match known.data_type() {
        DataType::Null => Field::new(known.name(), found.data_type().clone(), true),
        _ => known.as_ref().clone(),
    });
    Arc::new(Schema::new(columns.collect::<Vec<_>>()))
}

/// A value in the type that the statement wants.
pub(crate) fn fit(value: &ScalarValue, kind: &DataType) -> Result<ScalarValue, SqlError> {
    if &value.data_type() == kind {
        return Ok(value.clone());
    }
    if let ScalarValue::Utf8(Some(text)) = value {
        let read = value_of_text(text, kind).map_err(from_arrow)?;
        return ScalarValue::try_from_array(&read, 0).map_err(from_datafusion);
    }
    value.cast_to(kind).map_err(from_datafusion)
}
