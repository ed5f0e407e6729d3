//! `LISTAGG`, Flink's and the standard's `string_agg`.

use datafusion::sql::sqlparser::ast as sp;

/// Writes `LISTAGG(text [, separator]) [WITHIN GROUP (ORDER BY …)]` as `string_agg(text, separator [ORDER BY …])`. Gives
/// whether it is one.
pub(super) fn rewrite(function: &mut sp::Function, name: &str) -> bool {
    if name != "listagg" {
        return false;
    }
    if let sp::FunctionArguments::List(list) = &mut function.args {
        if let [_] = list.args.as_slice() {
            let comma = sp::Expr::Value(sp::Value::SingleQuotedString(",".to_owned()).into());
            list.args.push(sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(comma)));
        }
        let order = std::mem::take(&mut function.within_group);
        if !order.is_empty() {
            list.clauses.push(sp::FunctionArgumentClause::OrderBy(order));
        }
    }
    true
}
