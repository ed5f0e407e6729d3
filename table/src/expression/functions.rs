//! Expressions that begin with a function: columns, literals, calls.

use super::{Call, Expression, Node, ToExpression, ToOperand};

/// A column by its name, or a window by its alias; `*` is all columns.
///
/// ```
/// # use millstream_table::{col, lit};
/// let dear = col("price").is_greater(100).and(col("currency").is_equal("EUR"));
/// assert_eq!(dear.to_sql().unwrap(), r#"("price" > 100) AND ("currency" = 'EUR')"#);
/// ```
pub fn col(name: impl Into<String>) -> Expression {
    Expression::new(Node::Column(name.into()))
}

/// A literal: a number, a text, a truth value.
pub fn lit(value: impl ToOperand) -> Expression {
    value.to_operand()
}

/// NULL of a type of SQL: `null_of("BIGINT")`.
pub fn null_of(data_type: impl Into<String>) -> Expression {
    Expression::new(Node::Literal("NULL".to_owned())).cast(data_type)
}

/// A call of a function by its name: one of SQL's, of `CREATE FUNCTION`, or of this program.
///
/// ```
/// # use millstream_table::{call, col};
/// assert_eq!(call("upper", [col("name")]).to_sql().unwrap(), r#"upper("name")"#);
/// ```
pub fn call<E: ToOperand>(name: impl Into<String>, args: impl IntoIterator<Item = E>) -> Expression {
    let args = args.into_iter().map(ToOperand::to_operand).collect();
    Expression::new(Node::Call(Call { name: name.into(), args: Some(args), distinct: false, filter: None, over: None }))
}

/// A call without arguments.
fn bare(name: &str) -> Expression {
    call(name, std::iter::empty::<Expression>())
}

/// An expression as SQL text.
///
/// ```
/// # use millstream_table::call_sql;
/// let total = call_sql("price * quantity").alias("total");
/// assert_eq!(total.to_sql().unwrap(), r#"price * quantity AS "total""#);
/// assert!(call_sql("price FROM").to_sql().is_err());
/// ```
pub fn call_sql(text: impl Into<String>) -> Expression {
    Expression::new(Node::Sql(text.into()))
}

/// `COUNT(*)`
pub fn count_all() -> Expression {
    let name = "COUNT".to_owned();
    Expression::new(Node::Call(Call { name, args: None, distinct: false, filter: None, over: None }))
}

/// `ROW_NUMBER()`, for [`over`](Expression::over).
pub fn row_number() -> Expression {
    bare("ROW_NUMBER")
}

/// The processing time.
pub fn proctime() -> Expression {
    bare("PROCTIME")
}

/// The time at which the statement began.
pub fn current_timestamp() -> Expression {
    Expression::new(Node::Literal("CURRENT_TIMESTAMP".to_owned()))
}

/// Whether both, or all, are true. True of none.
pub fn and<E: ToExpression>(all: impl IntoIterator<Item = E>) -> Expression {
    let all = all.into_iter().map(ToExpression::to_expression);
    all.reduce(Expression::and).unwrap_or_else(|| lit(true))
}

/// Whether one is true. False of none.
pub fn or<E: ToExpression>(any: impl IntoIterator<Item = E>) -> Expression {
    let any = any.into_iter().map(ToExpression::to_expression);
    any.reduce(Expression::or).unwrap_or_else(|| lit(false))
}

/// Whether it is false.
pub fn not(condition: impl ToExpression) -> Expression {
    Expression::new(Node::Prefix { operator: "NOT", operand: condition.to_expression() })
}

/// The first value that is not null.
pub fn coalesce<E: ToOperand>(values: impl IntoIterator<Item = E>) -> Expression {
    call("COALESCE", values)
}

/// The texts, one after the other.
pub fn concat<E: ToOperand>(texts: impl IntoIterator<Item = E>) -> Expression {
    call("CONCAT", texts)
}

/// `then` where the condition is true, else `otherwise`.
pub fn if_then_else(condition: impl ToExpression, then: impl ToOperand, otherwise: impl ToOperand) -> Expression {
    Expression::new(Node::Case {
        condition: condition.to_expression(),
        then: then.to_operand(),
        otherwise: otherwise.to_operand(),
    })
}

/// An array of these values.
pub fn array<E: ToOperand>(values: impl IntoIterator<Item = E>) -> Expression {
    Expression::new(Node::Array(values.into_iter().map(ToOperand::to_operand).collect()))
}

/// A row of these values.
pub fn row<E: ToOperand>(values: impl IntoIterator<Item = E>) -> Expression {
    call("ROW", values)
}
