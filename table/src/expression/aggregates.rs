//! Aggregates of an expression, over which rows, and intervals and windows, under the names of Flink's Table API.

use super::{Call, Expression, IntervalUnit, Node, ToExpression, ToOperand, WindowProperty, call};

/// Aggregates.
impl Expression {
    fn aggregate(self, name: &str) -> Self {
        call(name, [self])
    }

    /// How many are not null.
    #[must_use]
    pub fn count(self) -> Self {
        self.aggregate("COUNT")
    }

    /// Their sum; null of none.
    #[must_use]
    pub fn sum(self) -> Self {
        self.aggregate("SUM")
    }

    /// The least.
    #[must_use]
    pub fn min(self) -> Self {
        self.aggregate("MIN")
    }

    /// The greatest.
    #[must_use]
    pub fn max(self) -> Self {
        self.aggregate("MAX")
    }

    /// Their mean.
    #[must_use]
    pub fn avg(self) -> Self {
        self.aggregate("AVG")
    }

    /// The first.
    #[must_use]
    pub fn first_value(self) -> Self {
        self.aggregate("FIRST_VALUE")
    }

    /// The last.
    #[must_use]
    pub fn last_value(self) -> Self {
        self.aggregate("LAST_VALUE")
    }

    /// The standard deviation of the population.
    #[must_use]
    pub fn stddev_pop(self) -> Self {
        self.aggregate("STDDEV_POP")
    }

    /// The standard deviation of the sample.
    #[must_use]
    pub fn stddev_samp(self) -> Self {
        self.aggregate("STDDEV_SAMP")
    }

    /// The variance of the population.
    #[must_use]
    pub fn var_pop(self) -> Self {
        self.aggregate("VAR_POP")
    }

    /// The variance of the sample.
    #[must_use]
    pub fn var_samp(self) -> Self {
        self.aggregate("VAR_SAMP")
    }

    /// All that are not null.
    #[must_use]
    pub fn collect(self) -> Self {
        self.aggregate("COLLECT")
    }

    /// All, nulls too.
    #[must_use]
    pub fn array_agg(self) -> Self {
        self.aggregate("ARRAY_AGG")
    }

    /// The texts with a separator between them.
    #[must_use]
    pub fn list_agg(self, separator: impl ToOperand) -> Self {
        call("LISTAGG", [self, separator.to_operand()])
    }

    /// An aggregate over different values only: `col("a").count().distinct()`.
    #[must_use]
    pub fn distinct(self) -> Self {
        self.of_call(|call| call.distinct = true)
    }

    /// An aggregate over the rows for which a condition is true.
    #[must_use]
    pub fn filter(self, condition: impl ToExpression) -> Self {
        let condition = condition.to_expression();
        self.of_call(|call| call.filter = Some(condition))
    }

    /// An aggregate over the rows that the over window of this alias has around each row.
    #[must_use]
    pub fn over(self, window: impl ToExpression) -> Self {
        let window = window.to_expression();
        let alias = match window.0.as_ref() {
            Node::Sql(alias) => alias.clone(),
            _ => window.column_name().unwrap_or_default().to_owned(),
        };
        self.of_call(|call| call.over = Some(alias))
    }

    /// Changes the call that this is; of anything else it makes one that the parser refuses.
    fn of_call(self, change: impl FnOnce(&mut Call)) -> Self {
        let mut made = match *self.0 {
            Node::Call(call) => call,
            other => Call {
                name: String::new(),
                args: Some(vec![Self::new(other)]),
                distinct: false,
                filter: None,
                over: None,
            },
        };
        change(&mut made);
        Self::new(Node::Call(made))
    }
}

/// Intervals, from whole numbers; and what a group's window has.
impl Expression {
    fn interval(self, unit: IntervalUnit) -> Self {
        Self::new(Node::Interval { value: self, unit })
    }

    /// So many milliseconds.
    #[must_use]
    pub fn millis(self) -> Self {
        self.interval(IntervalUnit::Millisecond)
    }

    /// So many seconds.
    #[must_use]
    pub fn seconds(self) -> Self {
        self.interval(IntervalUnit::Second)
    }

    /// So many minutes.
    #[must_use]
    pub fn minutes(self) -> Self {
        self.interval(IntervalUnit::Minute)
    }

    /// So many hours.
    #[must_use]
    pub fn hours(self) -> Self {
        self.interval(IntervalUnit::Hour)
    }

    /// So many days.
    #[must_use]
    pub fn days(self) -> Self {
        self.interval(IntervalUnit::Day)
    }

    /// So many months.
    #[must_use]
    pub fn months(self) -> Self {
        self.interval(IntervalUnit::Month)
    }

    /// So many years.
    #[must_use]
    pub fn years(self) -> Self {
        self.interval(IntervalUnit::Year)
    }

    /// So many rows, in the bound of an over window.
    #[must_use]
    pub fn rows(self) -> Self {
        Self::new(Node::Rows(self))
    }

    fn property(self, property: WindowProperty) -> Self {
        Self::new(Node::Window { alias: self, property })
    }

    /// Where the window of the group begins: `col("w").start()`.
    #[must_use]
    pub fn start(self) -> Self {
        self.property(WindowProperty::Start)
    }

    /// Where the window of the group ends; not in it any more.
    #[must_use]
    pub fn end(self) -> Self {
        self.property(WindowProperty::End)
    }

    /// The last moment of the window of the group, as event time.
    #[must_use]
    pub fn rowtime(self) -> Self {
        self.property(WindowProperty::Rowtime)
    }

    /// The processing time, for what is built on the window of the group.
    #[must_use]
    pub fn proctime(self) -> Self {
        self.property(WindowProperty::Proctime)
    }
}
