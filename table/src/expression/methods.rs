//! What is made of an expression of one row: names, comparisons, operators, conversions, under the names of Flink's Table
//! API. Aggregates and windows are in [`aggregates`](super::aggregates).

use std::ops::{Add, Div, Mul, Neg, Not, Rem, Sub};

use super::{Expression, Node, ToOperand, not};

/// Names, order and conversions.
impl Expression {
    /// Under another name (Flink's `as`).
    #[must_use]
    pub fn alias(self, name: impl Into<String>) -> Self {
        Self::new(Node::Alias { value: self, name: name.into() })
    }

    /// From the smallest, for `order_by`.
    #[must_use]
    pub fn asc(self) -> Self {
        Self::new(Node::Order { value: self, descending: false, nulls_first: None })
    }

    /// From the greatest, for `order_by`.
    #[must_use]
    pub fn desc(self) -> Self {
        Self::new(Node::Order { value: self, descending: true, nulls_first: None })
    }

    /// With nulls before all others, behind `asc` or `desc`.
    #[must_use]
    pub fn nulls_first(self) -> Self {
        self.nulls(true)
    }

    /// With nulls behind all others, behind `asc` or `desc`.
    #[must_use]
    pub fn nulls_last(self) -> Self {
        self.nulls(false)
    }

    fn nulls(self, first: bool) -> Self {
        let (value, descending) = match *self.0 {
            Node::Order { value, descending, .. } => (value, descending),
            other => (Self::new(other), false),
        };
        Self::new(Node::Order { value, descending, nulls_first: Some(first) })
    }

    /// As a type of SQL: `col("a").cast("DECIMAL(10, 2)")`.
    #[must_use]
    pub fn cast(self, data_type: impl Into<String>) -> Self {
        Self::new(Node::Cast { value: self, data_type: data_type.into(), lenient: false })
    }

    /// As a type of SQL; null where it cannot be.
    #[must_use]
    pub fn try_cast(self, data_type: impl Into<String>) -> Self {
        Self::new(Node::Cast { value: self, data_type: data_type.into(), lenient: true })
    }

    /// A field of a ROW.
    #[must_use]
    pub fn get(self, field: impl Into<String>) -> Self {
        Self::new(Node::Field { value: self, name: field.into() })
    }

    /// An element of an array, from 1, or the value of a key of a map.
    #[must_use]
    pub fn at(self, index: impl ToOperand) -> Self {
        Self::new(Node::Item { value: self, index: index.to_operand() })
    }
}

/// Comparisons and conditions.
impl Expression {
    fn binary(self, operator: &'static str, right: impl ToOperand) -> Self {
        Self::new(Node::Binary { left: self, operator, right: right.to_operand() })
    }

    fn postfix(self, operator: &'static str) -> Self {
        Self::new(Node::Postfix { operand: self, operator })
    }

    /// `=`
    #[must_use]
    pub fn is_equal(self, other: impl ToOperand) -> Self {
        self.binary("=", other)
    }

    /// `<>`
    #[must_use]
    pub fn is_not_equal(self, other: impl ToOperand) -> Self {
        self.binary("<>", other)
    }

    /// `>`
    #[must_use]
    pub fn is_greater(self, other: impl ToOperand) -> Self {
        self.binary(">", other)
    }

    /// `>=`
    #[must_use]
    pub fn is_greater_or_equal(self, other: impl ToOperand) -> Self {
        self.binary(">=", other)
    }

    /// `<`
    #[must_use]
    pub fn is_less(self, other: impl ToOperand) -> Self {
        self.binary("<", other)
    }

    /// `<=`
    #[must_use]
    pub fn is_less_or_equal(self, other: impl ToOperand) -> Self {
        self.binary("<=", other)
    }

    /// Both are true.
    #[must_use]
    pub fn and(self, other: impl ToOperand) -> Self {
        self.binary("AND", other)
    }

    /// One is true.
    #[must_use]
    pub fn or(self, other: impl ToOperand) -> Self {
        self.binary("OR", other)
    }

    /// `LIKE`
    #[must_use]
    pub fn like(self, pattern: impl ToOperand) -> Self {
        self.binary("LIKE", pattern)
    }

    /// `SIMILAR TO`
    #[must_use]
    pub fn similar(self, pattern: impl ToOperand) -> Self {
        self.binary("SIMILAR TO", pattern)
    }

    /// Neither below `low` nor above `high`.
    #[must_use]
    pub fn between(self, low: impl ToOperand, high: impl ToOperand) -> Self {
        Self::new(Node::Between { value: self, negated: false, low: low.to_operand(), high: high.to_operand() })
    }

    /// Below `low` or above `high`.
    #[must_use]
    pub fn not_between(self, low: impl ToOperand, high: impl ToOperand) -> Self {
        Self::new(Node::Between { value: self, negated: true, low: low.to_operand(), high: high.to_operand() })
    }

    /// One of these (Flink's `in`).
    #[must_use]
    pub fn in_list<E: ToOperand>(self, list: impl IntoIterator<Item = E>) -> Self {
        Self::new(Node::In { value: self, list: list.into_iter().map(ToOperand::to_operand).collect() })
    }

    /// `IS NULL`
    #[must_use]
    pub fn is_null(self) -> Self {
        self.postfix("IS NULL")
    }

    /// `IS NOT NULL`
    #[must_use]
    pub fn is_not_null(self) -> Self {
        self.postfix("IS NOT NULL")
    }

    /// `IS TRUE`
    #[must_use]
    pub fn is_true(self) -> Self {
        self.postfix("IS TRUE")
    }

    /// `IS FALSE`
    #[must_use]
    pub fn is_false(self) -> Self {
        self.postfix("IS FALSE")
    }

    /// `IS NOT TRUE`
    #[must_use]
    pub fn is_not_true(self) -> Self {
        self.postfix("IS NOT TRUE")
    }

    /// `IS NOT FALSE`
    #[must_use]
    pub fn is_not_false(self) -> Self {
        self.postfix("IS NOT FALSE")
    }

    /// Where this condition is true the one, else the other.
    #[must_use]
    pub fn then(self, then: impl ToOperand, otherwise: impl ToOperand) -> Self {
        super::if_then_else(self, then, otherwise)
    }
}

impl<T: ToOperand> Add<T> for Expression {
    type Output = Self;

    fn add(self, other: T) -> Self {
        self.binary("+", other)
    }
}

impl<T: ToOperand> Sub<T> for Expression {
    type Output = Self;

    fn sub(self, other: T) -> Self {
        self.binary("-", other)
    }
}

impl<T: ToOperand> Mul<T> for Expression {
    type Output = Self;

    fn mul(self, other: T) -> Self {
        self.binary("*", other)
    }
}

impl<T: ToOperand> Div<T> for Expression {
    type Output = Self;

    fn div(self, other: T) -> Self {
        self.binary("/", other)
    }
}

impl<T: ToOperand> Rem<T> for Expression {
    type Output = Self;

    fn rem(self, other: T) -> Self {
        self.binary("%", other)
    }
}

impl Neg for Expression {
    type Output = Self;

    fn neg(self) -> Self {
        Self::new(Node::Prefix { operator: "-", operand: self })
    }
}

impl Not for Expression {
    type Output = Self;

    fn not(self) -> Self {
        not(self)
    }
}
