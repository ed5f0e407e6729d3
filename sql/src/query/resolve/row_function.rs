//! `UNNEST` and functions that give rows in a `FROM`: `generate_series(1, 3) AS g(n)`, `LATERAL TABLE(f(x))`.

use datafusion::sql::sqlparser::ast as sp;

use super::aggregate_names::call;
use super::factor::push;
use super::scope::{Env, Scope};
use super::tvf::TvfKind;
use super::{Named, Resolver, arrays};
use crate::error::Result;
use crate::functions;
use crate::query::unnest::{columns_of, names};

/// Functions whose arrays stand for rows in PostgreSQL.
const SETS: [&str; 3] = ["generate_series", "range", "generate_subscripts"];

impl Resolver<'_> {
    /// The names in what is unnested, which sees the tables before it.
    pub(super) fn unnest<'s>(&self, factor: &mut sp::TableFactor, scope: &mut Scope<'s>, env: &Env<'s>) -> Result<()> {
        let sp::TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } = factor else { return Ok(()) };
        let mut types = Some(Vec::new());
        for expr in array_exprs {
            let found = self.column(expr, scope, env)?;
            arrays::as_calls(expr);
            let known = found.and_then(|found| found.column.data_type);
            types = types.zip(known).map(|(mut types, known)| {
                types.push(known);
                types
            });
        }
        let columns = types.and_then(|types| Some((columns_of(&types, *with_ordinality)?, types)));
        let columns = match columns {
            Some((columns, types)) => {
                let names = names(&types, *with_ordinality, alias.as_ref())?;
                Some(names.into_iter().zip(columns).map(|(name, (_, of))| Named::new(name, Some(of))).collect())
            }
            None => None,
        };
        let alias = alias.clone().map(|alias| sp::TableAlias { columns: Vec::new(), ..alias });
        push(scope, None, alias.as_ref(), columns);
        Ok(())
    }
}

/// The `UNNEST` that a function in a `FROM` stands for. `None`: it is a windowing function, or none that is known.
pub(super) fn unnest(factor: &sp::TableFactor) -> Option<sp::TableFactor> {
    let (function, alias, with_ordinality, in_table) = match factor {
        sp::TableFactor::TableFunction { expr: sp::Expr::Function(function), alias } => {
            (function.clone(), alias, false, true)
        }
        sp::TableFactor::Table { name, args: Some(args), alias, with_ordinality, .. } => {
            (function(name, args.args.clone())?, alias, *with_ordinality, false)
        }
        sp::TableFactor::Function { name, args, alias, with_ordinality, .. } => {
            match (last(name)?.value.eq_ignore_ascii_case("table"), args.as_slice()) {
                (true, [sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(sp::Expr::Function(inner)))]) => {
                    (inner.clone(), alias, *with_ordinality, true)
                }
                (true, _) => return None,
                (false, _) => (function(name, args.clone())?, alias, *with_ordinality, false),
            }
        }
        _ => return None,
    };
    let ident = last(&function.name)?.clone();
    let name = ident.value.to_ascii_lowercase();
    if TvfKind::of(&name).is_some() || !functions::exists(&name) {
        return None;
    }
    let array_exprs = if name == "unnest" {
        super::tvf::positional(&function)
    } else if in_table || SETS.contains(&name.as_str()) {
        vec![sp::Expr::Function(function)]
    } else {
        // Its result is one row.
        vec![sp::Expr::Array(sp::Array { elem: vec![sp::Expr::Function(function)], named: true })]
    };
    let named =
        || sp::TableAlias { explicit: false, name: sp::Ident::with_quote('"', name), columns: Vec::new(), at: None };
    let alias = Some(alias.clone().unwrap_or_else(named));
    Some(sp::TableFactor::UNNEST { alias, array_exprs, with_offset: false, with_offset_alias: None, with_ordinality })
}

/// The call of a function of that name.
fn function(name: &sp::ObjectName, args: Vec<sp::FunctionArg>) -> Option<sp::Function> {
    let mut function = call("", Vec::new());
    function.name = sp::ObjectName::from(vec![last(name)?.clone()]);
    if let sp::FunctionArguments::List(list) = &mut function.args {
        list.args = args;
    }
    Some(function)
}

fn last(name: &sp::ObjectName) -> Option<&sp::Ident> {
    name.0.last().and_then(|part| part.as_ident())
}
