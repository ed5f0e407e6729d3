//! Windows: [`Tumble`], [`Slide`] and [`Session`] group rows by time, [`Over`] gives each row the rows around it.
//!
//! ```
//! # use millstream_table::{Slide, col, lit};
//! let window = Slide::over(lit(10).minutes()).every(lit(1).minutes()).on(col("ts")).alias("w");
//! ```

use millstream_sql::SqlError;

use crate::expression::{Expression, Node, Scope, ToExpression, refused};

/// Windows of one length, one after the other.
#[derive(Debug, Clone)]
pub struct Tumble {
    size: Expression,
}

impl Tumble {
    /// Windows of this length: `lit(10).minutes()`.
    pub fn over(size: Expression) -> Self {
        Self { size }
    }

    /// By this time column.
    pub fn on(self, time: impl ToExpression) -> TimedWindow {
        TimedWindow { function: "TUMBLE", time: time.to_expression(), intervals: vec![self.size] }
    }
}

/// Windows of one length that begin at equal distances.
#[derive(Debug, Clone)]
pub struct Slide {
    size: Expression,
}

/// [`Slide`] with the distance.
#[derive(Debug, Clone)]
pub struct SlideEvery {
    size: Expression,
    slide: Expression,
}

impl Slide {
    /// Windows of this length.
    pub fn over(size: Expression) -> Self {
        Self { size }
    }

    /// So far from one to the next.
    pub fn every(self, slide: Expression) -> SlideEvery {
        SlideEvery { size: self.size, slide }
    }
}

impl SlideEvery {
    /// By this time column.
    pub fn on(self, time: impl ToExpression) -> TimedWindow {
        TimedWindow { function: "HOP", time: time.to_expression(), intervals: vec![self.slide, self.size] }
    }
}

/// Windows that end where nothing comes for a while.
#[derive(Debug, Clone)]
pub struct Session {
    gap: Expression,
}

impl Session {
    /// So long nothing comes.
    pub fn with_gap(gap: Expression) -> Self {
        Self { gap }
    }

    /// By this time column.
    pub fn on(self, time: impl ToExpression) -> TimedWindow {
        TimedWindow { function: "SESSION", time: time.to_expression(), intervals: vec![self.gap] }
    }
}

/// A window by a time column, which still needs its alias.
#[derive(Debug, Clone)]
pub struct TimedWindow {
    function: &'static str,
    time: Expression,
    intervals: Vec<Expression>,
}

impl TimedWindow {
    /// The name under which `group_by` and `select` know it (Flink's `as`).
    pub fn alias(self, name: impl Into<String>) -> GroupWindow {
        let Self { function, time, intervals } = self;
        GroupWindow { alias: name.into(), function, time, intervals }
    }
}

/// A window that groups rows, for [`Table::window`](crate::Table::window).
#[derive(Debug, Clone)]
pub struct GroupWindow {
    pub(crate) alias: String,
    function: &'static str,
    time: Expression,
    intervals: Vec<Expression>,
}

impl GroupWindow {
    /// The window, or what `suffix` says of it, as SQL.
    pub(crate) fn function(&self, suffix: &str, scope: Scope<'_>) -> Result<String, SqlError> {
        let plain = Scope { group: None, ..scope };
        let mut args = vec![self.time.sql(plain)?];
        for interval in &self.intervals {
            args.push(interval.sql(plain)?);
        }
        Ok(format!("{}{suffix}({})", self.function, args.join(", ")))
    }
}

/// Rows around each row, which aggregates and ranks are computed over.
///
/// ```
/// # use millstream_table::{Over, UNBOUNDED_RANGE, col, lit};
/// let last = Over::partition_by([col("user")]).order_by(col("ts")).preceding(lit(5).rows()).alias("last");
/// let all = Over::partition_by([col("user")]).order_by(col("ts")).preceding(UNBOUNDED_RANGE).alias("all");
/// ```
#[derive(Debug, Clone)]
pub struct Over {
    partition_by: Vec<Expression>,
    order_by: Vec<Expression>,
    preceding: Option<Bound>,
    following: Option<Bound>,
}

/// Up to where an over window reaches.
#[derive(Debug, Clone)]
pub enum Bound {
    /// Up to a distance: a number of rows (`lit(5).rows()`) or an interval of the order.
    Distance(Expression),
    /// All rows, by their values.
    UnboundedRange,
    /// All rows, by their number.
    UnboundedRow,
    /// The row and those with the same order.
    CurrentRange,
    /// The row alone.
    CurrentRow,
}

/// All rows on that side, counted by the values of the order.
pub const UNBOUNDED_RANGE: Bound = Bound::UnboundedRange;
/// All rows on that side, counted one by one.
pub const UNBOUNDED_ROW: Bound = Bound::UnboundedRow;
/// Up to the row and those with the same order.
pub const CURRENT_RANGE: Bound = Bound::CurrentRange;
/// Up to the row itself.
pub const CURRENT_ROW: Bound = Bound::CurrentRow;

impl From<Expression> for Bound {
    fn from(distance: Expression) -> Self {
        Self::Distance(distance)
    }
}

impl Bound {
    /// Whether it counts rows; `None` where it is an interval or a value.
    fn counts_rows(&self) -> bool {
        match self {
            Self::Distance(distance) => matches!(distance.0.as_ref(), Node::Rows(_)),
            Self::UnboundedRow | Self::CurrentRow => true,
            Self::UnboundedRange | Self::CurrentRange => false,
        }
    }

    fn sql(&self, side: &str) -> Result<String, SqlError> {
        Ok(match self {
            Self::Distance(distance) => match distance.0.as_ref() {
                Node::Rows(number) => format!("{} {side}", number.number()?),
                _ => format!("{} {side}", distance.sql(Scope::default())?),
            },
            Self::UnboundedRange | Self::UnboundedRow => format!("UNBOUNDED {side}"),
            Self::CurrentRange | Self::CurrentRow => "CURRENT ROW".to_owned(),
        })
    }
}

impl Over {
    /// For each value of these on its own.
    pub fn partition_by<E: ToExpression>(keys: impl IntoIterator<Item = E>) -> Self {
        let partition_by = keys.into_iter().map(ToExpression::to_expression).collect();
        Self { partition_by, order_by: Vec::new(), preceding: None, following: None }
    }

    /// Over all rows, in an order.
    pub fn ordered_by(order: impl ToExpression) -> Self {
        Self::partition_by(std::iter::empty::<Expression>()).order_by(order)
    }

    /// In this order, behind the orders that were given before.
    #[must_use]
    pub fn order_by(mut self, order: impl ToExpression) -> Self {
        self.order_by.push(order.to_expression());
        self
    }

    /// From so far before the row; without it, from the first.
    #[must_use]
    pub fn preceding(mut self, bound: impl Into<Bound>) -> Self {
        self.preceding = Some(bound.into());
        self
    }

    /// To so far behind the row; without it, to the row.
    #[must_use]
    pub fn following(mut self, bound: impl Into<Bound>) -> Self {
        self.following = Some(bound.into());
        self
    }

    /// The name that [`over`](Expression::over) takes (Flink's `as`).
    pub fn alias(self, name: impl Into<String>) -> OverWindow {
        OverWindow { alias: name.into(), over: self }
    }
}

/// An [`Over`] with its name, for [`Table::window`](crate::Table::window).
#[derive(Debug, Clone)]
pub struct OverWindow {
    pub(crate) alias: String,
    over: Over,
}

impl OverWindow {
    /// What stands in the parentheses of `OVER (…)`.
    pub(crate) fn sql(&self) -> Result<String, SqlError> {
        let Over { partition_by, order_by, preceding, following } = &self.over;
        let scope = Scope::default();
        let mut parts = Vec::new();
        if !partition_by.is_empty() {
            let keys: Vec<String> = partition_by.iter().map(|key| key.sql(scope)).collect::<Result<_, _>>()?;
            parts.push(format!("PARTITION BY {}", keys.join(", ")));
        }
        if !order_by.is_empty() {
            let keys: Vec<String> = order_by.iter().map(|key| key.order_item(scope)).collect::<Result<_, _>>()?;
            parts.push(format!("ORDER BY {}", keys.join(", ")));
        }
        let Some(first) = preceding.as_ref().or(following.as_ref()) else { return Ok(parts.join(" ")) };
        let rows = first.counts_rows();
        if [preceding, following].into_iter().flatten().any(|bound| bound.counts_rows() != rows) {
            return Err(refused(format!("over window \"{}\" is bounded by rows on one side only", self.alias)));
        }
        let unit = if rows { "ROWS" } else { "RANGE" };
        let from = preceding.as_ref().unwrap_or(&UNBOUNDED_ROW).sql("PRECEDING")?;
        let to = following.as_ref().unwrap_or(&CURRENT_ROW).sql("FOLLOWING")?;
        parts.push(format!("{unit} BETWEEN {from} AND {to}"));
        Ok(parts.join(" "))
    }
}
