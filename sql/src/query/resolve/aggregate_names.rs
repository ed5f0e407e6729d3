//! Aggregates that Flink and the standard have under other names, in the names and forms of the registry.

use datafusion::sql::sqlparser::ast as sp;

use crate::functions::NativeFunction;

/// Gives the name of the registry, and the call its form: `LISTAGG(text [, separator]) [WITHIN GROUP (ORDER BY …)]` is
/// `string_agg(text, separator [ORDER BY …])`, `COLLECT(x)` is `array_agg(x)` without nulls.
pub(super) fn registered(function: &mut sp::Function, name: String) -> String {
    match name.as_str() {
        "listagg" => {
            listed(function);
            "string_agg".to_owned()
        }
        "collect" => {
            without_nulls(function);
            "array_agg".to_owned()
        }
        "approx_count_distinct" => "approx_distinct".to_owned(),
        "every" => "bool_and".to_owned(),
        "variance" => "var_samp".to_owned(),
        _ => name,
    }
}

/// Writes the call of an aggregate of a program as a function of the list of its rows: `f(x)` is `f(array_agg(x))`, with
/// `DISTINCT`, `FILTER`, `OVER` and `ORDER BY` of the call at the list.
pub(super) fn over_rows(function: &mut sp::Function, native: &NativeFunction, lower: &str) {
    let mut rows = function.clone();
    rows.name = sp::ObjectName::from(vec![sp::Ident::new("array_agg")]);
    if let sp::FunctionArguments::List(list) = &mut rows.args {
        let given = list.args.drain(..).zip(native.parameters()).filter_map(|(arg, kind)| match arg {
            sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(expr)) => {
                Some(sp::Expr::Function(call("arrow_cast", vec![expr, text(kind.to_string())])))
            }
            _ => None,
        });
        let given: Vec<sp::Expr> = given.collect();
        let row = match given.as_slice() {
            [_] => given,
            several => {
                let named =
                    several.iter().enumerate().flat_map(|(index, expr)| [text(format!("c{index}")), expr.clone()]);
                vec![sp::Expr::Function(call("named_struct", named.collect()))]
            }
        };
        list.args = row.into_iter().map(argument).collect();
    }
    *function = call(lower, vec![sp::Expr::Function(rows)]);
}

fn text(text: String) -> sp::Expr {
    sp::Expr::Value(sp::Value::SingleQuotedString(text).into())
}

fn argument(expr: sp::Expr) -> sp::FunctionArg {
    sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(expr))
}

/// `name(args)`
pub(super) fn call(name: &str, args: Vec<sp::Expr>) -> sp::Function {
    let args = args.into_iter().map(argument).collect();
    sp::Function {
        name: sp::ObjectName::from(vec![sp::Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: sp::FunctionArguments::None,
        args: sp::FunctionArguments::List(sp::FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

fn listed(function: &mut sp::Function) {
    let sp::FunctionArguments::List(list) = &mut function.args else { return };
    if let [_] = list.args.as_slice() {
        let comma = sp::Expr::Value(sp::Value::SingleQuotedString(",".to_owned()).into());
        list.args.push(sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(comma)));
    }
    let order = std::mem::take(&mut function.within_group);
    if !order.is_empty() {
        list.clauses.push(sp::FunctionArgumentClause::OrderBy(order));
    }
}

fn without_nulls(function: &mut sp::Function) {
    let sp::FunctionArguments::List(list) = &function.args else { return };
    let [sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(value))] = list.args.as_slice() else { return };
    let present = sp::Expr::IsNotNull(Box::new(value.clone()));
    function.filter = Some(Box::new(match function.filter.take() {
        Some(filter) => {
            let (left, right) = (Box::new(sp::Expr::Nested(filter)), Box::new(present));
            sp::Expr::BinaryOp { left, op: sp::BinaryOperator::And, right }
        }
        None => present,
    }));
}
