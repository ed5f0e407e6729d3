//! Parameters of statements: `$1`, `$2`, … — their types before execution, their values at it.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::scalar::ScalarValue;
use millstream_sql::ast::{ParsedStatement, Statement};
use millstream_sql::bound::{BoundQuery, BoundStatement};
use millstream_sql::error::from_datafusion;
use millstream_sql::{SqlError, SqlState};

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
    /// Tells parameters and columns of a statement without running it.
    ///
    /// # Errors
    /// As binding it.
    pub async fn describe(&mut self, statement: &ParsedStatement) -> Result<Description, SqlError> {
        if self.open_set.as_ref().is_some_and(|set| set.explains)
            && matches!(statement.ast, Statement::Transaction("COMMIT"))
        {
            return Ok(Description { parameters: Vec::new(), columns: Some(explain::schema()) });
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
        let parameters = query.map(|query| types(&query.plan)).transpose()?.unwrap_or_default();
        Ok(Description { parameters, columns })
    }
}

/// The types of a plan's parameters in order; text where nothing tells.
pub(crate) fn types(plan: &LogicalPlan) -> Result<Vec<DataType>, SqlError> {
    let mut found: BTreeMap<usize, DataType> = BTreeMap::new();
    for (id, kind) in plan.get_parameter_types().map_err(from_datafusion)? {
        let number = number(&id)?;
        found.insert(number, kind.unwrap_or(DataType::Null));
    }
    for (number, kind) in cast_types(plan)? {
        let known = found.entry(number).or_insert(DataType::Null);
        if known == &DataType::Null {
            *known = kind;
        }
    }
    let count = found.last_key_value().map_or(0, |(number, _)| *number);
    let kind = |number: usize| match found.get(&number) {
        Some(kind) if kind != &DataType::Null => kind.clone(),
        _ => DataType::Utf8,
    };
    Ok((1..=count).map(kind).collect())
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
    let kinds = types(&query.plan)?;
    if kinds.is_empty() {
        return Ok(query);
    }
    if values.len() < kinds.len() {
        return Err(SqlError::new(SqlState("42P02"), format!("there is no parameter ${}", values.len() + 1)));
    }
    let values = kinds.iter().zip(values).map(|(kind, value)| fit(value, kind)).collect::<Result<Vec<_>, _>>()?;
    query.plan = query.plan.with_param_values(ParamValues::from(values)).map_err(from_datafusion)?;
    Ok(query)
}

/// A value in the type that the statement wants.
pub(crate) fn fit(value: &ScalarValue, kind: &DataType) -> Result<ScalarValue, SqlError> {
    if &value.data_type() == kind {
        return Ok(value.clone());
    }
    value.cast_to(kind).map_err(from_datafusion)
}
