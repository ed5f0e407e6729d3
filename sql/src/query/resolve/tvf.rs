//! Windowing table functions as written: `TABLE(HOP(TABLE bid, DESCRIPTOR(ts), INTERVAL '2' SECOND, …))`.
//!
//! A call is taken out of the tree and kept in a list; a placeholder with its number stands in its place, which the
//! relation planner turns into a plan node.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// Which windowing table function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TvfKind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl TvfKind {
    pub(super) fn of(name: &str) -> Option<Self> {
        [Self::Tumble, Self::Hop, Self::Cumulate, Self::Session]
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Its name in upper case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// Names of its intervals in order; `OFFSET` may be left out.
    pub(crate) fn intervals(self) -> &'static [&'static str] {
        match self {
            Self::Tumble => &["SIZE", "OFFSET"],
            Self::Hop => &["SLIDE", "SIZE", "OFFSET"],
            Self::Cumulate => &["STEP", "SIZE", "OFFSET"],
            Self::Session => &["GAP"],
        }
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct TvfCall {
    pub(crate) kind: TvfKind,
    /// The rows.
    pub(crate) input: sp::Query,
    /// The column behind `DESCRIPTOR`.
    pub(crate) time: sp::Expr,
    /// `PARTITION BY`.
    pub(crate) partition_by: Vec<sp::Expr>,
    /// The intervals by [`TvfKind::intervals`].
    pub(crate) intervals: Vec<Option<sp::Expr>>,
    /// Names of the appended columns, where they are not the usual ones.
    pub(crate) names: Option<[String; 3]>,
    /// Where the call stands.
    pub(crate) span: Span,
}

impl TvfCall {
    /// Reads a call.
    ///
    /// # Errors
    /// Where it is not a windowing function, or its arguments are not what it takes.
    pub(super) fn parse(name: &sp::ObjectName, args: &[sp::FunctionArg]) -> Result<Self> {
        let ident = name.0.last().and_then(|part| part.as_ident());
        let span = ident.map_or_else(Span::empty, |ident| ident.span);
        let Some(kind) = ident.and_then(|ident| TvfKind::of(&ident.value)) else {
            let message = format!("table function {name} does not exist");
            let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, message);
            return Err(at(error.with_hint("table functions are TUMBLE, HOP, CUMULATE and SESSION"), span));
        };
        let mut arguments =
            Arguments { kind, span, slots: std::iter::repeat_with(|| None).take(2 + kind.intervals().len()).collect() };
        for (position, arg) in args.iter().enumerate() {
            arguments.take(position, arg)?;
        }
        let mut slots = arguments.slots.into_iter();
        let need = |slot: Option<Option<sp::Expr>>, what: &str| {
            slot.flatten().ok_or_else(|| syntax(format!("{} needs its argument {what}", kind.name()), span))
        };
        let (input, partition_by) = input(kind, need(slots.next(), "DATA")?, span)?;
        let time = descriptor(kind, need(slots.next(), "TIMECOL")?, span)?;
        let intervals: Vec<Option<sp::Expr>> = slots.collect();
        for (name, interval) in kind.intervals().iter().zip(&intervals) {
            if interval.is_none() && *name != "OFFSET" {
                return Err(syntax(format!("{} needs its argument {name}", kind.name()), span));
            }
        }
        if !partition_by.is_empty() && kind != TvfKind::Session {
            let message = format!("PARTITION BY is not allowed in {}", kind.name());
            return Err(syntax(message, span).with_hint("group by the columns instead"));
        }
        Ok(Self { kind, input, time, partition_by, intervals, names: None, span })
    }

    /// The table that the input is all of, where it is `TABLE t`.
    pub(super) fn input_table(&self) -> Option<String> {
        let sp::SetExpr::Select(select) = self.input.body.as_ref() else { return None };
        let [table] = select.from.as_slice() else { return None };
        match (&table.relation, table.joins.as_slice(), select.projection.as_slice()) {
            (sp::TableFactor::Table { name, alias: None, .. }, [], [sp::SelectItem::Wildcard(_)]) => {
                name.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone())
            }
            _ => None,
        }
    }
}

/// The arguments so far, in the order `DATA`, `TIMECOL`, intervals.
struct Arguments {
    kind: TvfKind,
    span: Span,
    slots: Vec<Option<sp::Expr>>,
}

impl Arguments {
    fn take(&mut self, position: usize, arg: &sp::FunctionArg) -> Result<()> {
        let (name, value) = match arg {
            sp::FunctionArg::Unnamed(value) => (None, value),
            sp::FunctionArg::Named { name, arg, .. } => (Some(name.value.to_ascii_uppercase()), arg),
            sp::FunctionArg::ExprNamed { name: sp::Expr::Identifier(name), arg, .. } => {
                (Some(name.value.to_ascii_uppercase()), arg)
            }
            sp::FunctionArg::ExprNamed { .. } => return Err(self.wrong(arg)),
        };
        let sp::FunctionArgExpr::Expr(value) = value else { return Err(self.wrong(arg)) };
        let mut names = ["DATA", "TIMECOL"].into_iter().chain(self.kind.intervals().iter().copied());
        let slot = match &name {
            None => Some(position),
            Some(name) => names.position(|known| known == name),
        };
        let Some(slot) = slot.and_then(|slot| self.slots.get_mut(slot)) else {
            return Err(match name {
                Some(name) => syntax(format!("{} has no argument {name}", self.kind.name()), self.span)
                    .with_hint(format!("its arguments are DATA, TIMECOL, {}", self.kind.intervals().join(", "))),
                None => syntax(format!("too many arguments for {}", self.kind.name()), self.span),
            });
        };
        if slot.replace(value.clone()).is_some() {
            return Err(syntax(format!("an argument of {} is given twice", self.kind.name()), self.span));
        }
        Ok(())
    }

    fn wrong(&self, arg: &sp::FunctionArg) -> SqlError {
        syntax(format!("{arg} cannot be an argument of {}", self.kind.name()), self.span)
    }
}

fn syntax(message: String, span: Span) -> SqlError {
    at(SqlError::new(SqlState::SYNTAX_ERROR, message), span)
}

/// The rows and the partition columns of a `DATA` argument. The parser gives `TABLE t PARTITION BY k` as
/// `(SELECT * FROM t DISTRIBUTE BY k)`.
fn input(kind: TvfKind, expr: sp::Expr, span: Span) -> Result<(sp::Query, Vec<sp::Expr>)> {
    match expr {
        sp::Expr::Subquery(mut query) => {
            let keys = match query.body.as_mut() {
                sp::SetExpr::Select(select) => std::mem::take(&mut select.distribute_by),
                _ => Vec::new(),
            };
            Ok((*query, keys))
        }
        sp::Expr::Nested(inner) => input(kind, *inner, span),
        other => Err(syntax(format!("the first argument of {} must be TABLE t, not {other}", kind.name()), span)
            .with_hint(format!("write {}(TABLE t, DESCRIPTOR(c), …)", kind.name()))),
    }
}

/// The column of `DESCRIPTOR(c)`.
fn descriptor(kind: TvfKind, expr: sp::Expr, span: Span) -> Result<sp::Expr> {
    let wrong = || syntax(format!("the time column of {} must be given as DESCRIPTOR(column)", kind.name()), span);
    let sp::Expr::Function(function) = expr else { return Err(wrong()) };
    if !is_named(&function.name, "descriptor") {
        return Err(wrong());
    }
    match <[sp::Expr; 1]>::try_from(positional(&function)) {
        Ok([column @ (sp::Expr::Identifier(_) | sp::Expr::CompoundIdentifier(_))]) => Ok(column),
        Ok(_) | Err(_) => Err(wrong()),
    }
}

pub(super) fn is_named(name: &sp::ObjectName, wanted: &str) -> bool {
    match name.0.as_slice() {
        [sp::ObjectNamePart::Identifier(ident)] => ident.value.eq_ignore_ascii_case(wanted),
        _ => false,
    }
}

/// The arguments of a function that are expressions without a name.
pub(super) fn positional(function: &sp::Function) -> Vec<sp::Expr> {
    let sp::FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let exprs = list.args.iter().filter_map(|arg| match arg {
        sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    exprs.collect()
}

/// Keeps the call and gives what stands in its place.
pub(super) fn placeholder(calls: &mut Vec<TvfCall>, call: TvfCall, alias: Option<sp::TableAlias>) -> sp::TableFactor {
    calls.push(call);
    let number = sp::Value::Number((calls.len() - 1).to_string(), false);
    sp::TableFactor::TableFunction { expr: sp::Expr::Value(number.into()), alias }
}

/// The number in a placeholder.
pub(crate) fn placeholder_number(factor: &sp::TableFactor) -> Option<usize> {
    match factor {
        sp::TableFactor::TableFunction { expr: sp::Expr::Value(value), .. } => match &value.value {
            sp::Value::Number(number, _) => number.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}

/// A query with nothing but a body.
pub(super) fn query_of(body: sp::SetExpr) -> sp::Query {
    sp::Query {
        with: None,
        body: Box::new(body),
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

/// A table by name, with nothing else.
pub(super) fn table(name: sp::Ident) -> sp::TableFactor {
    sp::TableFactor::Table {
        name: sp::ObjectName::from(vec![name]),
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

/// `SELECT * FROM table`, with nothing else.
pub(crate) fn select_all(name: sp::Ident) -> sp::Query {
    select_all_from(vec![sp::TableWithJoins { relation: table(name), joins: Vec::new() }], None)
}

/// `SELECT * FROM … WHERE …`, with nothing else.
pub(super) fn select_all_from(from: Vec<sp::TableWithJoins>, selection: Option<sp::Expr>) -> sp::Query {
    let empty = sp::helpers::attached_token::AttachedToken::empty();
    let select = sp::Select {
        select_token: empty,
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection: vec![sp::SelectItem::Wildcard(sp::WildcardAdditionalOptions::default())],
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection,
        connect_by: Vec::new(),
        group_by: sp::GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: sp::SelectFlavor::Standard,
    };
    query_of(sp::SetExpr::Select(Box::new(select)))
}
