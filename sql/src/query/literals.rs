//! Numbers with an exponent, which are doubles in Flink, and exact in PostgreSQL as long as a decimal holds them.

use std::convert::Infallible;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{VisitMut, VisitorMut};

use crate::catalog::Semantics;

/// Gives the numbers of a statement or expression their type.
pub(super) fn typed(node: &mut impl VisitMut, semantics: Semantics) {
    let exponent_max = match semantics {
        Semantics::Flink => 0,
        Semantics::Postgres => EXPONENT_MAX,
    };
    let ControlFlow::Continue(()) = node.visit(&mut Doubles { exponent_max });
}

/// What an exponent may be, up or down, for the number to be a decimal.
const EXPONENT_MAX: u32 = 30;

/// Finds the numbers with greater exponents.
struct Doubles {
    exponent_max: u32,
}

impl VisitorMut for Doubles {
    type Break = Infallible;

    fn post_visit_expr(&mut self, expr: &mut sp::Expr) -> ControlFlow<Infallible> {
        if let sp::Expr::Value(value) = expr
            && let sp::Value::Number(number, _) = &value.value
            && let Some((_, exponent)) = number.split_once(['e', 'E'])
            && (self.exponent_max == 0
                || exponent.parse::<i32>().is_ok_and(|power| power.unsigned_abs() > self.exponent_max))
        {
            let (kind, data_type) = (sp::CastKind::Cast, sp::DataType::Double(sp::ExactNumberInfo::None));
            // As a text it may be as great or as small as a double is.
            let text = sp::Value::SingleQuotedString(number.clone()).with_span(value.span);
            let inner = Box::new(sp::Expr::Value(text));
            *expr = sp::Expr::Cast { kind, expr: inner, data_type, array: false, format: None };
        }
        ControlFlow::Continue(())
    }
}
