//! Expressions: made by functions and methods under the names of Flink's Table API, or from SQL text; written as SQL.
//!
//! [`Expression`] is a tree; [`functions`](self::functions) and [`methods`](self::methods) grow it, [`write`](self::write)
//! turns it into text when the query that it stands in is known. What is wrong with it is told when the query runs.

mod aggregates;
mod functions;
mod literal;
mod methods;
mod write;

pub use functions::{
    and, array, call, call_sql, coalesce, col, concat, count_all, current_timestamp, if_then_else, lit, not, null_of,
    or, proctime, row, row_number,
};
pub use literal::{ToExpression, ToOperand};
pub(crate) use write::{Scope, closed, quoted, refused};

/// A value computed from the columns of a table, or an aggregate over them.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression(pub(crate) Box<Node>);

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// A column, or the alias of a window; `*` for all columns.
    Column(String),
    /// A literal, as SQL writes it.
    Literal(String),
    /// A whole number, which may become an interval or a number of rows. `wide`: it is a BIGINT, however small.
    Number {
        number: i64,
        wide: bool,
    },
    /// SQL of the user.
    Sql(String),
    Interval {
        value: Expression,
        unit: IntervalUnit,
    },
    /// A number of rows in the bound of an over window.
    Rows(Expression),
    Call(Call),
    Prefix {
        operator: &'static str,
        operand: Expression,
    },
    Postfix {
        operand: Expression,
        operator: &'static str,
    },
    Binary {
        left: Expression,
        operator: &'static str,
        right: Expression,
    },
    Between {
        value: Expression,
        negated: bool,
        low: Expression,
        high: Expression,
    },
    In {
        value: Expression,
        list: Vec<Expression>,
    },
    Cast {
        value: Expression,
        data_type: String,
        lenient: bool,
    },
    Case {
        condition: Expression,
        then: Expression,
        otherwise: Expression,
    },
    Array(Vec<Expression>),
    Field {
        value: Expression,
        name: String,
    },
    Item {
        value: Expression,
        index: Expression,
    },
    Window {
        alias: Expression,
        property: WindowProperty,
    },
    Alias {
        value: Expression,
        name: String,
    },
    Order {
        value: Expression,
        descending: bool,
        nulls_first: Option<bool>,
    },
}

/// A call of a function.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// `None`: `f(*)`
    pub(crate) args: Option<Vec<Expression>>,
    pub(crate) distinct: bool,
    pub(crate) filter: Option<Expression>,
    /// The alias of an over window.
    pub(crate) over: Option<String>,
}

/// The units of intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IntervalUnit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Year,
}

/// What can be asked of the window of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowProperty {
    Start,
    End,
    Rowtime,
    Proctime,
}

impl Expression {
    pub(crate) fn new(node: Node) -> Self {
        Self(Box::new(node))
    }

    /// The name after `alias`, where it has one.
    pub(crate) fn alias_name(&self) -> Option<&str> {
        match self.0.as_ref() {
            Node::Alias { name, .. } => Some(name),
            _ => None,
        }
    }

    /// The name of the column that this is, where it is nothing but one.
    pub(crate) fn column_name(&self) -> Option<&str> {
        match self.0.as_ref() {
            Node::Column(name) => Some(name),
            Node::Alias { .. } | Node::Order { .. } => self.value().column_name(),
            _ => None,
        }
    }

    /// What stands before `alias`, `asc` or `desc`.
    pub(crate) fn value(&self) -> &Self {
        match self.0.as_ref() {
            Node::Alias { value, .. } | Node::Order { value, .. } => value,
            _ => self,
        }
    }
}
