//! What stands for an expression: as an operand a Rust value is a literal, as an item of a query a text is SQL.

use super::{Expression, Node};

/// What a function or an operator takes: an expression, or a Rust value, which is a literal.
pub trait ToOperand {
    /// The expression.
    fn to_operand(self) -> Expression;
}

/// What a verb of a table takes: an expression, or a text, which is SQL.
pub trait ToExpression {
    /// The expression.
    fn to_expression(self) -> Expression;
}

impl ToExpression for Expression {
    fn to_expression(self) -> Expression {
        self
    }
}

impl ToExpression for &str {
    fn to_expression(self) -> Expression {
        super::call_sql(self)
    }
}

impl ToExpression for String {
    fn to_expression(self) -> Expression {
        super::call_sql(self)
    }
}

impl ToOperand for Expression {
    fn to_operand(self) -> Expression {
        self
    }
}

impl ToOperand for &Expression {
    fn to_operand(self) -> Expression {
        self.clone()
    }
}

impl ToOperand for &str {
    fn to_operand(self) -> Expression {
        Expression::new(Node::Literal(format!("'{}'", self.replace('\'', "''"))))
    }
}

impl ToOperand for String {
    fn to_operand(self) -> Expression {
        self.as_str().to_operand()
    }
}

impl ToOperand for bool {
    fn to_operand(self) -> Expression {
        Expression::new(Node::Literal(if self { "TRUE" } else { "FALSE" }.to_owned()))
    }
}

impl ToOperand for i64 {
    /// A BIGINT.
    fn to_operand(self) -> Expression {
        Expression::new(Node::Number { number: self, wide: true })
    }
}

impl ToOperand for i32 {
    /// An INT.
    fn to_operand(self) -> Expression {
        Expression::new(Node::Number { number: i64::from(self), wide: false })
    }
}

impl ToOperand for u32 {
    /// A BIGINT: SQL has no type of its own for it.
    fn to_operand(self) -> Expression {
        i64::from(self).to_operand()
    }
}

impl ToOperand for f64 {
    /// A DOUBLE; a DECIMAL is written as SQL.
    fn to_operand(self) -> Expression {
        Expression::new(Node::Literal(format!("CAST('{self}' AS DOUBLE)")))
    }
}

impl<T: ToOperand> ToOperand for Option<T> {
    /// `None` is NULL.
    fn to_operand(self) -> Expression {
        self.map_or_else(|| Expression::new(Node::Literal("NULL".to_owned())), ToOperand::to_operand)
    }
}
