//! Aggregates that Flink and the standard have under other names, in the names and forms of the registry.

use datafusion::sql::sqlparser::ast as sp;

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
