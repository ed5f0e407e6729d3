//! Aggregates that Flink and the standard have under other names, in the names and forms of the registry.

use datafusion::sql::sqlparser::ast as sp;

use crate::functions::{NativeFunction, WEIGHTED};

/// Gives the name of the registry, and the call its form: `LISTAGG(text [, separator]) [WITHIN GROUP (ORDER BY …)]` is
/// `string_agg(text, separator [ORDER BY …])`, `COLLECT(x)` is over `array_agg(x)` without nulls.
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
        "grouping_id" => "grouping".to_owned(),
        "arg_max" | "argmax" | "max_by" => at_edge(function, false),
        "arg_min" | "argmin" | "min_by" => at_edge(function, true),
        "percentile" => percentile(function),
        "mode" => mode(function),
        "count" => {
            of_rows(function);
            name
        }
        "array_slice" => {
            to_the_end(function);
            name
        }
        _ => name,
    }
}

/// `COUNT(DISTINCT a, b)` as that of rows without a null.
fn of_rows(function: &mut sp::Function) {
    let args = super::tvf::positional(function);
    let sp::FunctionArguments::List(list) = &mut function.args else { return };
    if list.duplicate_treatment != Some(sp::DuplicateTreatment::Distinct)
        || args.len() < 2
        || args.len() != list.args.len()
    {
        return;
    }
    let named = args.iter().enumerate().flat_map(|(index, expr)| [text(format!("c{index}")), expr.clone()]);
    list.args = vec![argument(sp::Expr::Function(call("named_struct", named.collect())))];
    args.into_iter().for_each(|value| present(function, value));
}

/// `ARRAY_SLICE(array, start)`: to the last element.
fn to_the_end(function: &mut sp::Function) {
    let sp::FunctionArguments::List(list) = &mut function.args else { return };
    if let [_, _] = list.args.as_slice() {
        let minus_one = sp::Expr::UnaryOp {
            op: sp::UnaryOperator::Minus,
            expr: Box::new(sp::Expr::Value(sp::Value::Number("1".to_owned(), false).into())),
        };
        list.args.push(argument(minus_one));
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

/// `ARG_MAX(x, y)`, the x where y is greatest, as `first_value(x ORDER BY y DESC)` of the rows that have a y.
fn at_edge(function: &mut sp::Function, asc: bool) -> String {
    let args = super::tvf::positional(function);
    let sp::FunctionArguments::List(list) = &mut function.args else { return "first_value".to_owned() };
    if let [value, by] = args.as_slice() {
        list.args = vec![argument(value.clone())];
        list.clauses.push(sp::FunctionArgumentClause::OrderBy(vec![ordered(by.clone(), asc)]));
        present(function, by.clone());
    }
    "first_value".to_owned()
}

/// `PERCENTILE(x, p)` as `percentile_cont(p) WITHIN GROUP (ORDER BY x)`; an array of percentages as an array of those.
fn percentile(function: &mut sp::Function) -> String {
    const NAME: &str = "percentile_cont";
    let args = super::tvf::positional(function);
    let (value, fraction, frequency) = match args.as_slice() {
        [value, fraction] => (value, fraction, None),
        [value, fraction, frequency] => (value, fraction, Some(frequency)),
        _ => return NAME.to_owned(),
    };
    let of = |fraction: &sp::Expr| {
        if let Some(frequency) = frequency {
            return weighted(function, value, fraction, frequency);
        }
        let mut one = function.clone();
        one.name = sp::ObjectName::from(vec![sp::Ident::new(NAME)]);
        if let sp::FunctionArguments::List(list) = &mut one.args {
            list.args = vec![argument(fraction.clone())];
        }
        one.within_group = vec![ordered(value.clone(), true)];
        one
    };
    match fraction {
        sp::Expr::Array(fractions) => {
            *function = call("make_array", fractions.elem.iter().map(|one| sp::Expr::Function(of(one))).collect());
            "make_array".to_owned()
        }
        one => {
            *function = of(one);
            if frequency.is_some() { WEIGHTED.to_owned() } else { NAME.to_owned() }
        }
    }
}

/// `PERCENTILE(x, p, f)` as a function of the list of rows.
fn weighted(function: &sp::Function, value: &sp::Expr, fraction: &sp::Expr, frequency: &sp::Expr) -> sp::Function {
    let mut rows = function.clone();
    rows.name = sp::ObjectName::from(vec![sp::Ident::new("array_agg")]);
    let typed =
        |expr: &sp::Expr, kind: &str| sp::Expr::Function(call("arrow_cast", vec![expr.clone(), text(kind.to_owned())]));
    let pair = vec![
        text("value".to_owned()),
        typed(value, "Float64"),
        text("frequency".to_owned()),
        typed(frequency, "Int64"),
    ];
    if let sp::FunctionArguments::List(list) = &mut rows.args {
        list.args = vec![argument(sp::Expr::Function(call("named_struct", pair)))];
    }
    call(WEIGHTED, vec![sp::Expr::Function(rows), fraction.clone()])
}

/// `MODE(x)`, or `MODE() WITHIN GROUP (ORDER BY x)`, as a function of the list of rows.
fn mode(function: &mut sp::Function) -> String {
    const NAME: &str = "array_mode";
    let mut rows = function.clone();
    rows.name = sp::ObjectName::from(vec![sp::Ident::new("array_agg")]);
    let order = std::mem::take(&mut rows.within_group);
    if let (sp::FunctionArguments::List(list), [by]) = (&mut rows.args, order.as_slice()) {
        list.args = vec![argument(by.expr.clone())];
    }
    *function = call(NAME, vec![sp::Expr::Function(rows)]);
    NAME.to_owned()
}

fn ordered(expr: sp::Expr, asc: bool) -> sp::OrderByExpr {
    sp::OrderByExpr { expr, options: sp::OrderByOptions { asc: Some(asc), nulls_first: Some(false) }, with_fill: None }
}

fn without_nulls(function: &mut sp::Function) {
    let sp::FunctionArguments::List(list) = &function.args else { return };
    let [sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(value))] = list.args.as_slice() else { return };
    let value = value.clone();
    present(function, value);
}

/// Leaves out the rows where a value is null.
fn present(function: &mut sp::Function, value: sp::Expr) {
    let present = sp::Expr::IsNotNull(Box::new(sp::Expr::Nested(Box::new(value))));
    function.filter = Some(Box::new(match function.filter.take() {
        Some(filter) => {
            let (left, right) = (Box::new(sp::Expr::Nested(filter)), Box::new(present));
            sp::Expr::BinaryOp { left, op: sp::BinaryOperator::And, right }
        }
        None => present,
    }));
}
