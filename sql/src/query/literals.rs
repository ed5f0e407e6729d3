//! Numbers with an exponent, which are doubles in Flink, and exact in PostgreSQL as long as a decimal holds them.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::catalog::Semantics;

/// Gives the numbers of a statement or expression their type.
pub(super) fn typed(node: &mut impl VisitMut, semantics: Semantics) {
    let ControlFlow::Continue(()) = node.visit(&mut Exponents { exact: semantics == Semantics::Postgres });
}

/// The most digits of a decimal.
const DIGITS_MAX: usize = 38;

/// Finds the numbers with exponents.
struct Exponents {
    /// They are decimals where one can hold them.
    exact: bool,
}

impl VisitorMut for Exponents {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        if let sp::Expr::Value(value) = expr
            && let sp::Value::Number(number, _) = &mut value.value
            && let Some((digits, exponent)) = number.split_once(['e', 'E'])
        {
            if let Some(plain) = Some(self).filter(|those| those.exact).and_then(|_| written_out(digits, exponent)) {
                *number = plain;
                return ControlFlow::Continue(());
            }
            let (kind, data_type) = (sp::CastKind::Cast, sp::DataType::Double(sp::ExactNumberInfo::None));
            // As a text it may be as great or as small as a double is.
            let text = sp::Value::SingleQuotedString(number.clone()).with_span(value.span);
            let inner = Box::new(sp::Expr::Value(text));
            *expr = sp::Expr::Cast { kind, expr: inner, data_type, array: false, format: None };
        }
        ControlFlow::Continue(())
    }
}

/// A number without its exponent; `None` where it has more digits than a decimal. It has a point always, by which the planner
/// knows it for a decimal.
fn written_out(number: &str, exponent: &str) -> Option<String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: String = whole.chars().chain(fraction.chars()).filter(char::is_ascii_digit).collect();
    let before_point = i64::try_from(whole.chars().filter(char::is_ascii_digit).count()).ok()?;
    let point = before_point.checked_add(exponent.parse().ok()?)?;
    let all = i64::try_from(digits.len()).ok()?;
    let zeros = |count: i64| usize::try_from(count.max(0)).ok().filter(|count| *count <= DIGITS_MAX);
    let (before, behind) = ("0".repeat(zeros(-point)?), "0".repeat(zeros(point - all)?));
    let written = format!("{before}{digits}{behind}");
    let (whole, fraction) = written.split_at_checked(usize::try_from(point.max(0)).ok()?)?;
    let whole = whole.trim_start_matches('0');
    if whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    Some(format!("{}.{fraction}", if whole.is_empty() { "0" } else { whole }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_written_out() {
        let plain = |number: &str| number.split_once('e').and_then(|(digits, power)| written_out(digits, power));
        let exact = [
            ("1e3", "1000."),
            ("1.5e-3", "0.0015"),
            ("12e-1", "1.2"),
            ("1.50e1", "15.0"),
            ("0e5", "0."),
            (".5e+1", "5."),
            ("00.10e2", "10."),
            ("9e37", "90000000000000000000000000000000000000."),
        ];
        for (number, written) in exact {
            assert_eq!(plain(number).as_deref(), Some(written), "{number}");
        }
        for number in ["1e38", "1e-39", "1e400", "1e-400", "1e99999999999999999999", "1e9223372036854775807"] {
            assert_eq!(plain(number), None, "{number}");
        }
    }
}
