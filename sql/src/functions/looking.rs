//! DataFusion's functions of regular expressions once more, for expressions with look-around and back references, which its own
//! refuse. The planner puts them in where a call names such an expression; no user calls them.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BooleanBuilder, Int64Builder, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, ScalarUDF, lit, not};

use super::matcher::{Matcher, with_valid_regex};
use super::support::Kind::{Text as AnyText, Truth, Whole};
use super::support::{Args, Shape, Text, function, is_text, shaped, some};

const LIKE: Shape = some(2, &[AnyText, AnyText, AnyText], Truth);
const COUNT: Shape = some(2, &[AnyText, AnyText, Whole, AnyText], Whole);
const REPLACE: Shape = some(3, &[AnyText, AnyText, AnyText, AnyText], AnyText);

static FUNCTIONS: LazyLock<[Arc<ScalarUDF>; 4]> = LazyLock::new(|| {
    [
        shaped("regexp_like", "REGEXP_LIKE(text, regex [, flags])", LIKE, like),
        shaped("regexp_count", "REGEXP_COUNT(text, regex [, start [, flags]])", COUNT, count),
        shaped("regexp_replace", "REGEXP_REPLACE(text, regex, new [, flags])", REPLACE, replace),
        function("regexp_match", &[], "REGEXP_MATCH(text, regex [, flags])", match_types, groups),
    ]
});

/// A call or operator of a regular expression that DataFusion's refuse, as a call of ours; `None` where it is none.
pub(crate) fn looking(expr: &Expr) -> Option<Expr> {
    let call = |name: &str, args: Vec<Expr>| {
        FUNCTIONS.iter().find(|function| function.name() == name).map(|function| function.call(args))
    };
    match expr {
        Expr::ScalarFunction(function) if function.args.get(1).is_some_and(needs) => {
            call(function.name(), function.args.clone())
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if needs(right) => {
            let (negated, flags) = match op {
                Operator::RegexMatch => (false, None),
                Operator::RegexIMatch => (false, Some("i")),
                Operator::RegexNotMatch => (true, None),
                Operator::RegexNotIMatch => (true, Some("i")),
                _ => return None,
            };
            let args = [left.as_ref().clone(), right.as_ref().clone()].into_iter().chain(flags.map(lit)).collect();
            let matched = call("regexp_like", args)?;
            Some(if negated { not(matched) } else { matched })
        }
        _ => None,
    }
}

/// Whether an expression is a constant that is such a regular expression, or a parameter that may be one.
fn needs(regex: &Expr) -> bool {
    match regex {
        Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => {
            Matcher::is_looking(text)
        }
        Expr::Placeholder(_) => true,
        Expr::Cast(cast) => needs(&cast.expr),
        _ => false,
    }
}

/// The expressions of the argument 1, with the flags of another one in front of them, but for `g`.
fn flagged(args: &Args, flags: usize) -> Result<Text> {
    let regexes = args.text(1)?;
    if flags >= args.len() {
        return Ok(regexes);
    }
    let flags = args.text(flags)?;
    let with = |row: usize| {
        let (regex, flags) = (regexes.get(row)?, flags.get(row)?.replace('g', ""));
        Some(if flags.is_empty() { regex.to_owned() } else { format!("(?{flags}){regex}") })
    };
    if matches!((&regexes, &flags), (Text::Constant(_), Text::Constant(_))) {
        return Ok(Text::Constant(with(0)));
    }
    Ok(Text::Column((0..args.rows).map(with).collect()))
}

fn like(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes) = (args.text(0)?, flagged(args, 2)?);
    let mut out = BooleanBuilder::with_capacity(args.rows);
    with_valid_regex(&regexes, args.rows, |row, regex| {
        let found = texts.get(row).zip(regex).map(|(text, regex)| regex.is_match(text));
        out.append_option(found.transpose()?);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

/// The number of matches from a character on.
fn count(args: &Args) -> Result<ArrayRef> {
    let (texts, starts, regexes) = (args.text(0)?, args.wholes_if_given(2, 1)?, flagged(args, 3)?);
    let mut out = Int64Builder::with_capacity(args.rows);
    with_valid_regex(&regexes, args.rows, |row, regex| {
        let (Some(text), Some(regex), Some(start)) = (texts.get(row), regex, starts.get(row)) else {
            out.append_null();
            return Ok(());
        };
        let Some(before) = usize::try_from(start).ok().and_then(|start| start.checked_sub(1)) else {
            return Err(DataFusionError::Execution("regexp_count() requires start to be 1 based".into()));
        };
        let from = text.char_indices().nth(before).map_or(text.len(), |(at, _)| at);
        let mut found = 0_i64;
        regex.each(text, from, 0, |_, _| {
            found += 1;
            true
        })?;
        out.append_value(found);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

/// The first match replaced, or all of them with the flag `g`.
fn replace(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes, news) = (args.text(0)?, flagged(args, 3)?, args.text(2)?);
    let flags = args.text_if_given(3, "")?;
    let mut out = StringBuilder::with_capacity(args.rows, args.rows * 16);
    // The replacement of the row before, in the form of the matcher.
    let mut known: Option<(String, String)> = None;
    with_valid_regex(&regexes, args.rows, |row, regex| {
        let (Some(text), Some(regex), Some(new)) = (texts.get(row), regex, news.get(row)) else {
            out.append_null();
            return Ok(());
        };
        if known.as_ref().is_none_or(|(given, _)| given != new) {
            known = Some((new.to_owned(), with_dollars(new)));
        }
        let limit = usize::from(!flags.get(row).is_some_and(|flags| flags.contains('g')));
        let written = known.as_ref().map_or("", |(_, written)| written);
        out.append_value(regex.replace(text, limit, written)?);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

/// A replacement whose groups are written `\1`, as PostgreSQL does, with them as `${1}`.
fn with_dollars(new: &str) -> String {
    let mut out = String::with_capacity(new.len());
    let mut rest = new;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        let number = after.trim_start_matches('\\');
        let digits = number.len() - number.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
        out.push_str(before);
        let (group, behind) = number.split_at(digits);
        if group.is_empty() {
            out.push_str(&after[..after.len() - number.len()]);
        } else {
            out.push_str(&format!("${{{group}}}"));
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn match_types(types: &[DataType]) -> Option<(DataType, Vec<DataType>)> {
    let fits = matches!(types.len(), 2 | 3) && types.iter().all(is_text);
    fits.then(|| (DataType::new_list(DataType::Utf8, true), vec![DataType::Utf8; types.len()]))
}

/// The groups of the first match, or the whole of it where there are none; null where nothing matches.
fn groups(args: &Args) -> Result<ArrayRef> {
    let (texts, regexes) = (args.text(0)?, flagged(args, 2)?);
    let mut out = ListBuilder::new(StringBuilder::new());
    with_valid_regex(&regexes, args.rows, |row, regex| {
        let mut found = false;
        if let Some((text, regex)) = texts.get(row).zip(regex) {
            let wanted = if regex.groups() == 1 { 0..1 } else { 1..regex.groups() };
            for group in wanted {
                let Some((_, part)) = regex.group_at(text, 0, group)? else { break };
                found = true;
                out.values().append_option(part.and_then(|part| text.get(part)));
            }
        }
        out.append(found);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}
