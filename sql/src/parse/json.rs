//! The clauses of SQL's JSON functions, which become arguments of plain calls:
//! `JSON_VALUE(j, p RETURNING INT DEFAULT 0 ON EMPTY)` is `CAST(json_value(j, p, 'DEFAULT', 0, 'NULL', NULL) AS INT)`.
//!
//! `JSON_ARRAYAGG(v)` is `json_arrayagg(plan, array_agg(v))`, a function of the list of a group's rows, with `FILTER` and `OVER`
//! at the list.
//!
//! The functions themselves are in `functions/json`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::forms::text;
use super::prefix;
use super::words;
use crate::types;

type Result<T, E = ParserError> = std::result::Result<T, E>;

/// A call of one of the functions, from its name on.
pub(super) fn call(parser: &mut Parser) -> Result<sp::Expr> {
    let name = parser.parse_identifier()?;
    parser.expect_token(&Token::LParen)?;
    let found = match name.value.to_ascii_uppercase().as_str() {
        "JSON_OBJECT" => object(parser)?,
        "JSON_ARRAY" => array(parser)?,
        "JSON_VALUE" => value(parser)?,
        "JSON_QUERY" => query(parser)?,
        _ => exists(parser)?,
    };
    parser.expect_token(&Token::RParen)?;
    Ok(found)
}

fn function(name: &str, args: Vec<sp::Expr>) -> sp::Expr {
    sp::Expr::Function(prefix::call(sp::Ident::new(name), args))
}

fn null() -> sp::Expr {
    sp::Expr::Value(sp::Value::Null.with_empty_span())
}

/// `expr IS [NOT] JSON [VALUE | SCALAR | ARRAY | OBJECT]` behind the expression; `None` where something else is.
pub(super) fn is_json(parser: &mut Parser, expr: &sp::Expr) -> Option<sp::Expr> {
    let not = words::accept(parser, &["IS", "NOT", "JSON"]);
    if !not && !words::accept(parser, &["IS", "JSON"]) {
        return None;
    }
    let kinds = ["VALUE", "SCALAR", "ARRAY", "OBJECT"];
    let kind = kinds.into_iter().find(|kind| words::accept(parser, &[kind])).unwrap_or("VALUE");
    let test = function("is_json", vec![expr.clone(), text(kind)]);
    if !not {
        return Some(test);
    }
    Some(sp::Expr::UnaryOp { op: sp::UnaryOperator::Not, expr: Box::new(test) })
}

/// The document and the path.
fn document(parser: &mut Parser) -> Result<Vec<sp::Expr>> {
    let json = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    Ok(vec![json, parser.parse_expr()?])
}

/// What is given where there is nothing, or where something is wrong, or is null: what, and the default.
fn behaviour(parser: &mut Parser, words_: &[&str], on: &str) -> Result<Option<(String, sp::Expr)>> {
    for word in words_ {
        let spelled: Vec<&str> = word.split(' ').chain(["ON", on]).collect();
        if words::accept(parser, &spelled) {
            return Ok(Some(((*word).to_owned(), null())));
        }
    }
    Ok(None)
}

/// `{ NULL | ERROR | DEFAULT x } ON EMPTY` and the same `ON ERROR`, each once.
fn value(parser: &mut Parser) -> Result<sp::Expr> {
    let mut args = document(parser)?;
    let returning = if words::accept(parser, &["RETURNING"]) { Some(types::parse(parser)?) } else { None };
    let mut on_empty = ("NULL".to_owned(), null());
    let mut on_error = ("NULL".to_owned(), null());
    while *words::peek(parser, 0) != Token::RParen {
        if words::accept(parser, &["DEFAULT"]) {
            let default = ("DEFAULT".to_owned(), parser.parse_expr()?);
            if words::accept(parser, &["ON", "EMPTY"]) {
                on_empty = default;
            } else {
                words::expect(parser, "ON")?;
                words::expect(parser, "ERROR")?;
                on_error = default;
            }
        } else if let Some(found) = behaviour(parser, &["NULL", "ERROR"], "EMPTY")? {
            on_empty = found;
        } else if let Some(found) = behaviour(parser, &["NULL", "ERROR"], "ERROR")? {
            on_error = found;
        } else {
            return words::unexpected(parser, "NULL, ERROR or DEFAULT, ON EMPTY or ON ERROR");
        }
    }
    for (what, default) in [on_empty, on_error] {
        args.extend([text(what), as_text(default)]);
    }
    let call = function("json_value", args);
    Ok(match returning {
        None => call,
        Some(data_type) => {
            sp::Expr::Cast { kind: sp::CastKind::TryCast, expr: Box::new(call), data_type, array: false, format: None }
        }
    })
}

fn as_text(expr: sp::Expr) -> sp::Expr {
    let (kind, expr) = (sp::CastKind::Cast, Box::new(expr));
    sp::Expr::Cast { kind, expr, data_type: sp::DataType::Text, array: false, format: None }
}

fn query(parser: &mut Parser) -> Result<sp::Expr> {
    let mut args = document(parser)?;
    let returning = if words::accept(parser, &["RETURNING"]) { Some(types::parse(parser)?) } else { None };
    let wrapper = if words::accept(parser, &["WITHOUT"]) {
        "WITHOUT"
    } else if words::accept(parser, &["WITH", "CONDITIONAL"]) {
        "CONDITIONAL"
    } else if words::accept(parser, &["WITH", "UNCONDITIONAL"]) || words::accept(parser, &["WITH"]) {
        "UNCONDITIONAL"
    } else {
        ""
    };
    if !wrapper.is_empty() {
        words::accept(parser, &["ARRAY"]);
        words::expect(parser, "WRAPPER")?;
    }
    let given = ["NULL", "EMPTY ARRAY", "EMPTY OBJECT", "ERROR"];
    let (mut on_empty, mut on_error) = ("NULL".to_owned(), "NULL".to_owned());
    while *words::peek(parser, 0) != Token::RParen {
        if let Some((found, _)) = behaviour(parser, &given, "EMPTY")? {
            on_empty = found;
        } else if let Some((found, _)) = behaviour(parser, &given, "ERROR")? {
            on_error = found;
        } else {
            return words::unexpected(parser, "NULL, EMPTY ARRAY, EMPTY OBJECT or ERROR, ON EMPTY or ON ERROR");
        }
    }
    args.extend([text(wrapper), text(on_empty), text(on_error)]);
    let call = function("json_query", args);
    // Flink has STRING and ARRAY<STRING> only.
    let is_list = matches!(returning, Some(sp::DataType::Array(_)));
    Ok(if is_list { function("json_texts", vec![call]) } else { call })
}

fn exists(parser: &mut Parser) -> Result<sp::Expr> {
    let mut args = document(parser)?;
    let found = behaviour(parser, &["TRUE", "FALSE", "UNKNOWN", "ERROR"], "ERROR")?;
    args.push(text(found.map_or_else(|| "FALSE".to_owned(), |(found, _)| found)));
    Ok(function("json_exists", args))
}

/// Whether a value is JSON already and is put in as it is.
fn is_raw(value: &sp::Expr) -> bool {
    let sp::Expr::Function(call) = value else { return false };
    let name = call.name.to_string().to_ascii_lowercase();
    matches!(name.as_str(), "json_object" | "json_array" | "json_objectagg" | "json_arrayagg" | "json" | "json_query")
}

/// `NULL ON NULL` and `ABSENT ON NULL`; whether nulls are left out.
fn absent_on_null(parser: &mut Parser, default: bool) -> bool {
    if words::accept(parser, &["NULL", "ON", "NULL"]) {
        false
    } else {
        words::accept(parser, &["ABSENT", "ON", "NULL"]) || default
    }
}

/// How a call is put together: `A` where nulls are left out, then for each value `J` where it is JSON, else `V`.
fn plan(absent: bool, values: &[sp::Expr]) -> sp::Expr {
    let flags = values.iter().map(|value| if is_raw(value) { 'J' } else { 'V' });
    text(std::iter::once(if absent { 'A' } else { 'N' }).chain(flags).collect::<String>())
}

/// `[[KEY] key VALUE value, …] [{ NULL | ABSENT } ON NULL]`, or `key : value`, or `key, value`.
fn object(parser: &mut Parser) -> Result<sp::Expr> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    while *words::peek(parser, 0) != Token::RParen && !at_on_null(parser) {
        words::accept(parser, &["KEY"]);
        keys.push(parser.parse_expr()?);
        if !words::accept(parser, &["VALUE"])
            && !parser.consume_token(&Token::Colon)
            && !parser.consume_token(&Token::Comma)
        {
            return words::unexpected(parser, "VALUE");
        }
        values.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let absent = absent_on_null(parser, false);
    let mut args = vec![plan(absent, &values)];
    args.extend(keys.into_iter().zip(values).flat_map(|(key, value)| [key, value]));
    Ok(function("json_object", args))
}

fn at_on_null(parser: &Parser) -> bool {
    words::ahead(parser, &["NULL", "ON", "NULL"]) || words::ahead(parser, &["ABSENT", "ON", "NULL"])
}

fn array(parser: &mut Parser) -> Result<sp::Expr> {
    let mut values = Vec::new();
    while *words::peek(parser, 0) != Token::RParen && !at_on_null(parser) {
        values.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let absent = absent_on_null(parser, true);
    let mut args = vec![plan(absent, &values)];
    args.extend(values);
    Ok(function("json_array", args))
}

/// `JSON_ARRAYAGG(value [{ NULL | ABSENT } ON NULL]) [FILTER (WHERE …)] [OVER (…)]`
pub(super) fn array_of_rows(parser: &mut Parser) -> Result<sp::Expr> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    let value = parser.parse_expr()?;
    let absent = absent_on_null(parser, true);
    parser.expect_token(&Token::RParen)?;
    let plan = plan(absent, std::slice::from_ref(&value));
    Ok(function("json_arrayagg", vec![plan, rows_of_group(parser, value)?]))
}

/// `JSON_OBJECTAGG([KEY] key VALUE value [{ NULL | ABSENT } ON NULL]) [FILTER (WHERE …)] [OVER (…)]`, or `key : value`, or
/// `key, value`. The rows are pairs.
pub(super) fn object_of_rows(parser: &mut Parser) -> Result<sp::Expr> {
    parser.advance_token();
    parser.expect_token(&Token::LParen)?;
    words::accept(parser, &["KEY"]);
    let key = parser.parse_expr()?;
    if !words::accept(parser, &["VALUE"])
        && !parser.consume_token(&Token::Colon)
        && !parser.consume_token(&Token::Comma)
    {
        return words::unexpected(parser, "VALUE");
    }
    let value = parser.parse_expr()?;
    let absent = absent_on_null(parser, false);
    parser.expect_token(&Token::RParen)?;
    let plan = plan(absent, std::slice::from_ref(&value));
    let pair = function("named_struct", vec![text("key"), key, text("value"), value]);
    Ok(function("json_objectagg", vec![plan, rows_of_group(parser, pair)?]))
}

/// The list of a value in the rows of a group: those of the `FILTER`, or the rows of the window, that follow.
fn rows_of_group(parser: &mut Parser, value: sp::Expr) -> Result<sp::Expr> {
    let mut call = prefix::call(sp::Ident::new("array_agg"), vec![value]);
    if words::accept(parser, &["FILTER"]) {
        parser.expect_token(&Token::LParen)?;
        words::expect(parser, "WHERE")?;
        call.filter = Some(Box::new(parser.parse_expr()?));
        parser.expect_token(&Token::RParen)?;
    }
    if words::accept(parser, &["OVER"]) {
        call.over = Some(if parser.consume_token(&Token::LParen) {
            sp::WindowType::WindowSpec(parser.parse_window_spec()?)
        } else {
            sp::WindowType::NamedWindow(parser.parse_identifier()?)
        });
    }
    Ok(sp::Expr::Function(call))
}
