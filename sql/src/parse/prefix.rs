//! Expressions that start with a word which `sqlparser` reads otherwise than Flink, or reads twice.
//!
//! `sqlparser` parses a word such as `CAST` as its special form and, where that fails, again as a function or a column.
//! In nested calls that doubles the work at every level; so each of these words is decided here by the token behind it.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, Word};

use crate::types;

use super::dialect::StreamDialect;
use super::{forms, interval, json, unicode, words};

type Result<T, E = ParserError> = std::result::Result<T, E>;

/// The length from which a text is not cut.
const TEXT_MAX: u64 = i32::MAX as u64;

/// Words that cannot be columns: an expression that starts with one of them is missing.
const RESERVED: [&str; 24] = [
    "AND",
    "AS",
    "ASC",
    "CREATE",
    "DESC",
    "ELSE",
    "END",
    "EXCEPT",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INTERSECT",
    "INTO",
    "JOIN",
    "LIMIT",
    "ON",
    "OR",
    "ORDER",
    "SELECT",
    "THEN",
    "UNION",
    "WHEN",
    "WHERE",
];

/// The expression, where it starts with one of these words; `None` leaves it to `sqlparser`.
pub(super) fn prefix(parser: &mut Parser) -> Option<Result<sp::Expr>> {
    if let Token::UnicodeStringLiteral(text) = words::peek(parser, 0) {
        let text = text.clone();
        return Some(after(parser, |parser| unicode::literal(parser, text)));
    }
    let Token::Word(Word { value, quote_style: None, .. }) = words::peek(parser, 0) else { return None };
    let word = value.to_ascii_uppercase();
    let parenthesis = *words::peek(parser, 1) == Token::LParen;
    let bracket = *words::peek(parser, 1) == Token::LBracket;
    match (word.as_str(), parenthesis, bracket) {
        ("TABLE", false, false) => Some(after(parser, table_argument)),
        ("TABLE", true, _) => Some(after(parser, query_argument)),
        ("CAST", true, _) => Some(after(parser, |parser| cast(parser, sp::CastKind::Cast))),
        ("TRY_CAST", true, _) => Some(after(parser, |parser| cast(parser, sp::CastKind::TryCast))),
        ("CASE", ..) => Some(after(parser, Parser::parse_case_expr)),
        ("NOT", ..) => Some(after(parser, Parser::parse_not)),
        ("EXISTS", true, _) => Some(after(parser, |parser| parser.parse_exists_expr(false))),
        ("EXTRACT", true, _) => Some(after(parser, forms::extract)),
        ("CEIL" | "CEILING", true, _) => Some(after(parser, |parser| forms::round(parser, true))),
        ("FLOOR", true, _) => Some(after(parser, |parser| forms::round(parser, false))),
        ("TIMESTAMPADD" | "TIMESTAMPDIFF", true, _) => Some(forms::by_unit(parser)),
        ("JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" | "JSON_OBJECT" | "JSON_ARRAY", true, _) => {
            Some(json::call(parser))
        }
        ("JSON_ARRAYAGG", true, _) => Some(json::array_of_rows(parser)),
        ("JSON_OBJECTAGG", true, _) => Some(json::object_of_rows(parser)),
        ("TRIM", true, _) => Some(after(parser, Parser::parse_trim_expr)),
        ("OVERLAY", true, _) => Some(after(parser, Parser::parse_overlay_expr)),
        ("SUBSTRING" | "SUBSTR", true, _) => Some(parser.parse_substring()),
        ("POSITION", true, _) => Some(position(parser)),
        ("CONVERT", true, _) => Some(ident(parser).and_then(|name| parser.parse_function(name.into()))),
        ("ARRAY", true, _) => Some(after(parser, array_of_query)),
        // A multiset is an array: elements in no order of their own.
        ("ARRAY" | "MULTISET", _, true) => Some(after(parser, |parser| {
            parser.advance_token();
            parser.parse_array_expr(true)
        })),
        ("MAP", _, true) => Some(map_of_pairs(parser)),
        ("INTERVAL", ..) => Some(interval_literal(parser)),
        (reserved, ..) if RESERVED.contains(&reserved) => Some(words::unexpected(parser, "an expression")),
        ("DATE" | "TIME" | "TIMESTAMP" | "TIMESTAMP_LTZ" | "TIMESTAMPTZ", ..) => typed_string(parser).transpose(),
        _ => None,
    }
}

/// Parses what follows the next word.
fn after<'t, T>(parser: &mut Parser<'t>, parse: impl FnOnce(&mut Parser<'t>) -> Result<T>) -> Result<T> {
    parser.advance_token();
    parse(parser)
}

fn ident(parser: &mut Parser) -> Result<sp::Ident> {
    parser.parse_identifier()
}

/// `TABLE bid [PARTITION BY k | PARTITION BY (k, …)]` as an argument of a window function: a subquery
/// `(SELECT * FROM bid DISTRIBUTE BY k, …)`.
fn table_argument(parser: &mut Parser) -> Result<sp::Expr> {
    let name = match words::peek(parser, 0) {
        Token::Word(_) => parser.parse_object_name(false)?,
        _ => return words::unexpected(parser, "a table name"),
    };
    let keys = partition_keys(parser)?;
    Ok(sp::Expr::Subquery(Box::new(select_all(name, keys))))
}

/// `TABLE (SELECT …) [PARTITION BY …]`: the parentheses make a subquery by themselves.
fn query_argument(parser: &mut Parser) -> Result<sp::Expr> {
    let query = parser.parse_prefix()?;
    let keys = partition_keys(parser)?;
    match query {
        sp::Expr::Subquery(subquery) if !keys.is_empty() => {
            let (name, columns) = (sp::Ident::with_quote('"', "__partitioned"), Vec::new());
            let alias = Some(sp::TableAlias { explicit: false, name, columns, at: None });
            let relation = sp::TableFactor::Derived { lateral: false, subquery, alias, sample: None };
            Ok(sp::Expr::Subquery(Box::new(all_of(relation, keys))))
        }
        other => Ok(other),
    }
}

/// `[PARTITION BY k | PARTITION BY (k, …)]`
fn partition_keys(parser: &mut Parser) -> Result<Vec<sp::Expr>> {
    if !words::accept(parser, &["PARTITION", "BY"]) {
        return Ok(Vec::new());
    }
    if !parser.consume_token(&Token::LParen) {
        return Ok(vec![parser.parse_expr()?]);
    }
    let keys = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(&Token::RParen)?;
    Ok(keys)
}

/// `SELECT * FROM name [DISTRIBUTE BY keys]`
pub(super) fn select_all(name: sp::ObjectName, distribute_by: Vec<sp::Expr>) -> sp::Query {
    all_of(table(name), distribute_by)
}

fn table(name: sp::ObjectName) -> sp::TableFactor {
    sp::TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

fn all_of(relation: sp::TableFactor, distribute_by: Vec<sp::Expr>) -> sp::Query {
    let select = sp::Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![sp::SelectItem::Wildcard(sp::WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from: vec![sp::TableWithJoins { relation, joins: Vec::new() }],
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: sp::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by,
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: sp::SelectFlavor::Standard,
    };
    sp::Query {
        with: None,
        body: Box::new(sp::SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

/// `(expr AS type)` with our types.
fn cast(parser: &mut Parser, kind: sp::CastKind) -> Result<sp::Expr> {
    parser.expect_token(&Token::LParen)?;
    let expr = Box::new(parser.parse_expr()?);
    words::expect(parser, "AS")?;
    let data_type = types::parse(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(cast_to(kind, expr, data_type))
}

/// A cast; one to a text of a length cuts the text, and fills it where it is `CHAR`.
pub(super) fn cast_to(kind: sp::CastKind, expr: Box<sp::Expr>, data_type: sp::DataType) -> sp::Expr {
    let length = |length: &Option<sp::CharacterLength>| match length {
        Some(sp::CharacterLength::IntegerLength { length, .. }) if *length < TEXT_MAX => Some(*length),
        _ => None,
    };
    let (name, length) = match &data_type {
        sp::DataType::Varchar(of) => ("substr", length(of)),
        sp::DataType::Char(None) => ("rpad", Some(1)),
        sp::DataType::Char(of) => ("rpad", length(of)),
        _ => ("", None),
    };
    let cast = |expr, data_type| sp::Expr::Cast { kind: kind.clone(), expr, data_type, array: false, format: None };
    let Some(length) = length else { return cast(expr, data_type) };
    let number = |number: u64| sp::Expr::Value(sp::Value::Number(number.to_string(), false).into());
    let text = cast(expr, sp::DataType::Varchar(None));
    let args = if name == "rpad" {
        vec![text, number(length), sp::Expr::Value(sp::Value::SingleQuotedString(" ".to_owned()).into())]
    } else {
        vec![text, number(1), number(length)]
    };
    // The type is said once more for the name of the column.
    cast(Box::new(sp::Expr::Function(call(sp::Ident::new(name), args))), data_type)
}

/// `TIMESTAMP '2020-01-01'`, with our types; `None` where the word is a column or a function.
fn typed_string(parser: &mut Parser) -> Result<Option<sp::Expr>> {
    parser.maybe_parse(|parser| {
        let data_type = types::parse(parser)?;
        match words::peek(parser, 0) {
            Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) => {
                let value = parser.parse_value()?;
                Ok(sp::Expr::TypedString(sp::TypedString { data_type, value, uses_odbc_syntax: false }))
            }
            _ => words::unexpected(parser, "a string"),
        }
    })
}

/// `INTERVAL '1' DAY`, or the column or function of that name.
fn interval_literal(parser: &mut Parser) -> Result<sp::Expr> {
    let word = ident(parser)?;
    match words::peek(parser, 0) {
        Token::SingleQuotedString(_) | Token::EscapedStringLiteral(_) | Token::Number(..) | Token::Placeholder(_) => {
            interval::in_units(parser).transpose().unwrap_or_else(|| parser.parse_interval())
        }
        Token::LParen => parser.parse_function(word.into()),
        _ => Ok(sp::Expr::Identifier(word)),
    }
}

/// `POSITION(a IN b)`, or the function of that name.
fn position(parser: &mut Parser) -> Result<sp::Expr> {
    let name = ident(parser)?;
    parser.expect_token(&Token::LParen)?;
    if parser.consume_token(&Token::RParen) {
        return Ok(sp::Expr::Function(call(name, Vec::new())));
    }
    let between = StreamDialect::new(0).prec_value(Precedence::Between);
    let first = parser.parse_subexpr(between)?;
    if words::accept(parser, &["IN"]) {
        let whole = Box::new(parser.parse_expr()?);
        parser.expect_token(&Token::RParen)?;
        return Ok(sp::Expr::Position { expr: Box::new(first), r#in: whole });
    }
    let mut args = vec![first];
    while parser.consume_token(&Token::Comma) {
        args.push(parser.parse_expr()?);
    }
    parser.expect_token(&Token::RParen)?;
    Ok(sp::Expr::Function(call(name, args)))
}

/// `ARRAY(SELECT …)`
fn array_of_query(parser: &mut Parser) -> Result<sp::Expr> {
    parser.expect_token(&Token::LParen)?;
    let query = parser.parse_query()?;
    parser.expect_token(&Token::RParen)?;
    Ok(sp::Expr::Function(function(sp::Ident::new("array"), sp::FunctionArguments::Subquery(query))))
}

/// Flink's `MAP[k, v, …]` as `map([k, …], [v, …])`.
fn map_of_pairs(parser: &mut Parser) -> Result<sp::Expr> {
    parser.advance_token();
    parser.expect_token(&Token::LBracket)?;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    while *words::peek(parser, 0) != Token::RBracket {
        keys.push(parser.parse_expr()?);
        parser.expect_token(&Token::Comma)?;
        values.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser.expect_token(&Token::RBracket)?;
    let array = |elem| sp::Expr::Array(sp::Array { elem, named: true });
    Ok(sp::Expr::Function(call(sp::Ident::new("map"), vec![array(keys), array(values)])))
}

/// A call with these arguments.
pub(super) fn call(name: sp::Ident, args: Vec<sp::Expr>) -> sp::Function {
    let args = args.into_iter().map(|arg| sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(arg))).collect();
    let list = sp::FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    function(name, sp::FunctionArguments::List(list))
}

/// A plain call.
fn function(name: sp::Ident, args: sp::FunctionArguments) -> sp::Function {
    sp::Function {
        name: name.into(),
        uses_odbc_syntax: false,
        parameters: sp::FunctionArguments::None,
        args,
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}
