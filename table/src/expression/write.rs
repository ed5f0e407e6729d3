//! Expressions as SQL text.

use std::fmt::Write;

use millstream_sql::{SqlError, SqlState, check_expression};

use super::{Call, Expression, IntervalUnit, Node, WindowProperty};
use crate::window::{GroupWindow, OverWindow};

/// The windows that an expression may name.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scope<'a> {
    pub(crate) group: Option<&'a GroupWindow>,
    pub(crate) over: &'a [OverWindow],
}

/// A name as SQL writes it, so that every name is taken as it is.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Expression {
    /// The expression as SQL.
    ///
    /// # Errors
    /// Where it holds SQL text that is no expression, or names a window.
    pub fn to_sql(&self) -> Result<String, SqlError> {
        self.item(Scope::default())
    }

    /// As an item of a select list, with its alias.
    pub(crate) fn item(&self, scope: Scope<'_>) -> Result<String, SqlError> {
        let value = self.sql(scope)?;
        Ok(match self.alias_name() {
            Some(name) => format!("{value} AS {}", quoted(name)),
            None => value,
        })
    }

    /// As an item of `ORDER BY`.
    pub(crate) fn order_item(&self, scope: Scope<'_>) -> Result<String, SqlError> {
        let mut text = self.sql(scope)?;
        if let Node::Order { descending, nulls_first, .. } = self.0.as_ref() {
            text.push_str(if *descending { " DESC" } else { " ASC" });
            text.push_str(match nulls_first {
                Some(true) => " NULLS FIRST",
                Some(false) => " NULLS LAST",
                None => "",
            });
        }
        Ok(text)
    }

    /// Without alias and order.
    pub(crate) fn sql(&self, scope: Scope<'_>) -> Result<String, SqlError> {
        let operand = |value: &Self| value.operand(scope);
        Ok(match self.0.as_ref() {
            Node::Column(name) if name == "*" => name.clone(),
            Node::Column(name) => match scope.group.filter(|window| window.alias == *name) {
                Some(window) => window.function("", scope)?,
                None => quoted(name),
            },
            Node::Literal(text) => text.clone(),
            Node::Number { number, wide: true } => format!("CAST({number} AS BIGINT)"),
            Node::Number { number, wide: false } => number.to_string(),
            Node::Sql(text) => {
                check_expression(text)?;
                closed(text)
            }
            Node::Interval { value, unit } => interval(value, *unit)?,
            Node::Rows(_) => return Err(refused("a number of rows stands in the bound of an over window only")),
            Node::Call(call) => call.sql(scope)?,
            Node::Prefix { operator, operand: value } => format!("{operator} {}", operand(value)?),
            Node::Postfix { operand: value, operator } => format!("{} {operator}", operand(value)?),
            Node::Binary { left, operator, right } => format!("{} {operator} {}", operand(left)?, operand(right)?),
            Node::Between { value, negated, low, high } => {
                let not = if *negated { "NOT " } else { "" };
                format!("{} {not}BETWEEN {} AND {}", operand(value)?, operand(low)?, operand(high)?)
            }
            Node::In { value, list } => format!("{} IN ({})", operand(value)?, listed(list, scope)?),
            Node::Cast { value, data_type, lenient } => {
                let cast = if *lenient { "TRY_CAST" } else { "CAST" };
                let text = format!("{cast}({} AS {data_type})", value.sql(scope)?);
                // The type is text of the caller: it must not be more than a type.
                check_expression(&text)?;
                text
            }
            Node::Case { condition, then, otherwise } => format!(
                "CASE WHEN {} THEN {} ELSE {} END",
                condition.sql(scope)?,
                then.sql(scope)?,
                otherwise.sql(scope)?
            ),
            Node::Array(values) => format!("ARRAY[{}]", listed(values, scope)?),
            Node::Field { value, name } => format!("({}).{}", value.sql(scope)?, quoted(name)),
            Node::Item { value, index } => format!("{}[{}]", operand(value)?, index.sql(scope)?),
            Node::Window { alias, property } => window(alias, *property, scope)?,
            Node::Alias { value, .. } | Node::Order { value, .. } => value.sql(scope)?,
        })
    }

    /// In parentheses, where an operator beside it could take it apart.
    fn operand(&self, scope: Scope<'_>) -> Result<String, SqlError> {
        let text = self.sql(scope)?;
        let whole = match self.value().0.as_ref() {
            Node::Number { number, wide } => *number >= 0 || *wide,
            Node::Column(_)
            | Node::Literal(_)
            | Node::Interval { .. }
            | Node::Rows(_)
            | Node::Call(_)
            | Node::Cast { .. }
            | Node::Case { .. }
            | Node::Array(_)
            | Node::Field { .. }
            | Node::Item { .. }
            | Node::Window { .. } => true,
            Node::Sql(_)
            | Node::Prefix { .. }
            | Node::Postfix { .. }
            | Node::Binary { .. }
            | Node::Between { .. }
            | Node::In { .. }
            | Node::Alias { .. }
            | Node::Order { .. } => false,
        };
        Ok(if whole { text } else { format!("({text})") })
    }

    /// The whole number that it is.
    pub(crate) fn number(&self) -> Result<i64, SqlError> {
        match self.value().0.as_ref() {
            Node::Number { number, .. } => Ok(*number),
            _ => Err(refused("a whole number must stand here, as in lit(10).minutes()")),
        }
    }
}

impl Call {
    fn sql(&self, scope: Scope<'_>) -> Result<String, SqlError> {
        let plain = self.name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && self.name.chars().all(|other| other.is_ascii_alphanumeric() || other == '_');
        let name = if plain { self.name.clone() } else { quoted(&self.name) };
        let args = self.args.as_ref().map_or_else(|| Ok("*".to_owned()), |args| listed(args, scope))?;
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let mut text = format!("{name}({distinct}{args})");
        if let Some(filter) = &self.filter {
            let _ = write!(text, " FILTER (WHERE {})", filter.sql(scope)?);
        }
        if let Some(alias) = &self.over {
            let window = scope.over.iter().find(|window| window.alias == *alias);
            let window = window.ok_or_else(|| refused(format!("over window \"{alias}\" does not exist")))?;
            let _ = write!(text, " OVER ({})", window.sql()?);
        }
        Ok(text)
    }
}

fn listed(values: &[Expression], scope: Scope<'_>) -> Result<String, SqlError> {
    let texts: Vec<String> = values.iter().map(|value| value.sql(scope)).collect::<Result<_, _>>()?;
    Ok(texts.join(", "))
}

fn interval(value: &Expression, unit: IntervalUnit) -> Result<String, SqlError> {
    let number = value.number()?;
    let unit = match unit {
        IntervalUnit::Millisecond => {
            let sign = if number < 0 { "-" } else { "" };
            let (seconds, rest) = (number.unsigned_abs() / 1_000, number.unsigned_abs() % 1_000);
            return Ok(format!("INTERVAL '{sign}{seconds}.{rest:03}' SECOND"));
        }
        IntervalUnit::Second => "SECOND",
        IntervalUnit::Minute => "MINUTE",
        IntervalUnit::Hour => "HOUR",
        IntervalUnit::Day => "DAY",
        IntervalUnit::Month => "MONTH",
        IntervalUnit::Year => "YEAR",
    };
    Ok(format!("INTERVAL '{number}' {unit}"))
}

fn window(alias: &Expression, property: WindowProperty, scope: Scope<'_>) -> Result<String, SqlError> {
    let name = alias.column_name().unwrap_or_default();
    let Some(window) = scope.group.filter(|window| window.alias == name) else {
        return Err(refused(format!("window \"{name}\" does not exist")));
    };
    let suffix = match property {
        WindowProperty::Start => "_START",
        WindowProperty::End => "_END",
        WindowProperty::Rowtime => "_ROWTIME",
        WindowProperty::Proctime => "_PROCTIME",
    };
    window.function(suffix, scope)
}

/// A text of the user so that what comes behind it is no part of a comment at its end.
pub(crate) fn closed(text: &str) -> String {
    if text.contains("--") { format!("{text}\n") } else { text.to_owned() }
}

/// The error of a query that cannot be written.
pub(crate) fn refused(message: impl Into<String>) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, message)
}
