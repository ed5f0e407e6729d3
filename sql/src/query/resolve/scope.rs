//! What is visible at one place of a query, and the look-up of a name in it.

use std::collections::HashSet;

use arrow::datatypes::DataType;
use datafusion::sql::sqlparser::ast::{Expr, Ident};

use super::using::Shared;
use super::{Columns, Named};
use crate::catalog::nearest;
use crate::error::{Result, SqlError, SqlState};
use crate::query::position::at;

/// A schema that tells the planner that what follows is a table. Its tables have none, which fits any.
const ANY_SCHEMA: &str = "__millstream_table";

/// What a query finds around it: the `WITH` queries, and the tables of the queries it stands in.
#[derive(Clone, Default)]
pub(super) struct Env<'s> {
    pub(super) ctes: Vec<Cte>,
    pub(super) outer: Option<&'s Scope<'s>>,
}

/// A `WITH` query.
#[derive(Clone)]
pub(super) struct Cte {
    pub(super) name: String,
    /// What the plan calls it. Another name, where it stands before a `WITH` query around it.
    pub(super) plan: String,
    pub(super) columns: Columns,
}

/// The tables of one `FROM`.
#[derive(Default)]
pub(super) struct Scope<'s> {
    pub(super) relations: Vec<Visible>,
    /// Some join that DataFusion sees has `USING` or is `NATURAL`: columns of equal name are one.
    pub(super) merged: bool,
    /// The columns that tables share, each with the first of its tables.
    pub(super) shared: Vec<(Shared, usize)>,
    /// The columns that stand behind those, as table and column: they need the table's name.
    pub(super) hidden: HashSet<(usize, usize)>,
    outer: Option<&'s Scope<'s>>,
}

/// A table of a `FROM`, under its alias.
pub(super) struct Visible {
    pub(super) name: Option<String>,
    pub(super) columns: Columns,
}

/// Where an expression stands: whether it sees the results of the select list.
#[derive(Clone, Copy)]
pub(super) enum Clause<'c> {
    /// It sees the tables only.
    Row,
    /// Tables first, then results (`GROUP BY`, `HAVING`).
    Group(&'c [Named]),
    /// Results first, then tables.
    OrderBy(&'c [Named]),
}

/// What a name stands for.
pub(super) struct Found {
    /// The column, or the child of a ROW column.
    pub(super) column: Named,
    /// It is a child of a ROW column.
    pub(super) child: bool,
    /// What stands for it, where tables share it.
    pub(super) shared: Option<Expr>,
}

impl<'s> Scope<'s> {
    pub(super) fn new(outer: Option<&'s Scope<'s>>) -> Self {
        Self { outer, ..Self::default() }
    }

    pub(super) fn push(&mut self, name: Option<String>, columns: Columns) {
        self.relations.push(Visible { name, columns });
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |scope| scope.outer)
    }

    /// Whether some table has columns that are not known here.
    fn unknown(&self) -> bool {
        self.relations.iter().any(|relation| relation.columns.is_none())
    }

    /// The columns that a bare name can mean: shared ones, then those of one table.
    fn columns(&self) -> impl Iterator<Item = &Named> {
        self.shared.iter().map(|(shared, _)| &shared.column).chain(self.visible().map(|(_, column)| column))
    }

    /// The columns of one table that no other shares, with their places.
    pub(super) fn visible(&self) -> impl Iterator<Item = ((usize, usize), &Named)> {
        let tables = self.relations.iter().enumerate();
        let all = tables.flat_map(|(table, relation)| {
            let columns = relation.columns.iter().flatten().enumerate();
            columns.map(move |(column, named)| ((table, column), named))
        });
        all.filter(|(place, _)| !self.hidden.contains(place))
    }

    /// Whether all tables have names of their own and columns that are known.
    pub(super) fn is_plain(&self) -> bool {
        let mut names = HashSet::new();
        let known = |relation: &Visible| relation.columns.is_some();
        !self.merged
            && self.relations.iter().all(known)
            && self.relations.iter().all(|relation| relation.name.as_ref().is_some_and(|name| names.insert(name)))
    }

    /// A column with its table's name in front.
    pub(super) fn qualified(&self, table: usize, column: &Named) -> Expr {
        let name = self.relations.get(table).and_then(|relation| relation.name.as_deref());
        let ident = Ident::with_quote('"', &column.plan);
        match name {
            Some(name) => Expr::CompoundIdentifier(vec![Ident::with_quote('"', name), ident]),
            None => Expr::Identifier(ident),
        }
    }

    /// Takes over the tables of a join in parentheses.
    pub(super) fn append(&mut self, inner: Scope<'_>) {
        let before = self.relations.len();
        self.merged |= inner.merged;
        self.relations.extend(inner.relations);
        self.shared.extend(inner.shared.into_iter().map(|(shared, table)| (shared, table + before)));
        self.hidden.extend(inner.hidden.into_iter().map(|(table, column)| (table + before, column)));
    }

    /// Whether a bare name is that of a column, or may be.
    pub(super) fn has(&self, ident: &Ident) -> bool {
        self.chain().any(|scope| scope.unknown() || scope.columns().any(|column| alike(&column.name, ident, false)))
    }

    /// Looks up a bare name and gives it the plan's spelling.
    pub(super) fn resolve(&self, ident: &mut Ident, clause: Clause<'_>) -> Result<Option<Found>> {
        for (depth, scope) in self.chain().enumerate() {
            let (first, second): (Vec<&Named>, Vec<&Named>) = match clause {
                Clause::Group(outputs) if depth == 0 => (scope.columns().collect(), outputs.iter().collect()),
                Clause::OrderBy(outputs) if depth == 0 => (outputs.iter().collect(), scope.columns().collect()),
                Clause::Row | Clause::Group(_) | Clause::OrderBy(_) => (scope.columns().collect(), Vec::new()),
            };
            let ranks: [(&[&Named], bool); 4] = [(&first, true), (&second, true), (&first, false), (&second, false)];
            for (columns, exact) in ranks {
                let hits: Vec<&Named> =
                    columns.iter().copied().filter(|column| alike(&column.name, ident, exact)).collect();
                if let Some(column) = one(&hits, ident, scope.merged)? {
                    ident.value.clone_from(&column.plan);
                    let shared = scope.shared.iter().find(|(shared, _)| std::ptr::eq(&shared.column, column));
                    let shared = shared.map(|(shared, _)| shared.expr.clone());
                    return Ok(Some(Found { column: column.clone(), child: false, shared }));
                }
            }
            if scope.unknown() {
                return Ok(None);
            }
        }
        Err(self.missing(ident, clause))
    }

    /// Looks up `a.b.c…`: a column of a table, or a child of a ROW column.
    pub(super) fn resolve_path(&self, path: &mut Vec<Ident>) -> Result<Option<Found>> {
        let [head, second, rest @ ..] = path.as_mut_slice() else { return Ok(None) };
        for (depth, scope) in self.chain().enumerate() {
            if let Some(relation) = scope.relation(head)? {
                let Some(columns) = &relation.columns else { return Ok(None) };
                if let Some(column) = find(columns, second)? {
                    if let Some(name) = &relation.name {
                        head.value.clone_from(name);
                    }
                    second.value.clone_from(&column.plan);
                    let found = children(column.clone(), rest)?;
                    if self.chain().take(depth).any(|nearer| nearer.columns().any(|column| column.plan == head.value)) {
                        // The planner would look for a field of that column.
                        path.insert(0, Ident::with_quote('"', ANY_SCHEMA));
                    }
                    return Ok(found);
                }
            }
            let columns: Vec<&Named> = scope.columns().collect();
            for exact in [true, false] {
                let hits: Vec<&Named> =
                    columns.iter().copied().filter(|column| alike(&column.name, head, exact)).collect();
                let Some(column) = one(&hits, head, scope.merged)? else { continue };
                // Of a type that only planning tells it may be a row.
                if matches!(column.data_type, None | Some(DataType::Struct(_))) {
                    head.value.clone_from(&column.plan);
                    return children(column.clone(), &mut path[1..]);
                }
            }
            if let Some(relation) = scope.relation(head)? {
                let names = relation.columns.iter().flatten().map(|column| column.name.as_str());
                let name = relation.name.as_deref().unwrap_or_default();
                return Err(no_column(&format!("{name}.{}", second.value), second, names));
            }
            if scope.unknown() {
                return Ok(None);
            }
        }
        Err(self.missing_head(head))
    }

    fn relation(&self, ident: &Ident) -> Result<Option<&Visible>> {
        for exact in [true, false] {
            let hits: Vec<&Visible> = self
                .relations
                .iter()
                .filter(|relation| relation.name.as_ref().is_some_and(|name| alike(name, ident, exact)))
                .collect();
            match hits.as_slice() {
                [] => {}
                [relation] => return Ok(Some(relation)),
                _ => {
                    let message = format!("table reference \"{}\" is ambiguous", ident.value);
                    return Err(at(SqlError::new(SqlState("42P09"), message), ident.span));
                }
            }
        }
        Ok(None)
    }

    fn missing(&self, ident: &Ident, clause: Clause<'_>) -> SqlError {
        let outputs = match clause {
            Clause::Row => &[],
            Clause::Group(outputs) | Clause::OrderBy(outputs) => outputs,
        };
        let names = self.chain().flat_map(Scope::columns).chain(outputs).map(|column| column.name.as_str());
        no_column(&ident.value, ident, names)
    }

    /// The error for `a.b` where `a` is neither a table nor a ROW column.
    fn missing_head(&self, head: &Ident) -> SqlError {
        let relations = self.chain().flat_map(|scope| &scope.relations).filter_map(|relation| relation.name.as_deref());
        if let Some(column) = self.chain().flat_map(Scope::columns).find(|column| alike(&column.name, head, false)) {
            let message = format!("column \"{}\" is not a row, and no table has that name", column.name);
            return at(SqlError::new(SqlState::UNDEFINED_COLUMN, message), head.span);
        }
        let message = format!("missing FROM-clause entry for table \"{}\"", head.value);
        let error = SqlError::new(SqlState::UNDEFINED_TABLE, message);
        let error = match nearest(&head.value, relations) {
            Some(near) => error.with_hint(format!("perhaps you meant \"{near}\"")),
            None => error,
        };
        at(error, head.span)
    }
}

/// The children of a ROW column along a path.
fn children(mut column: Named, path: &mut [Ident]) -> Result<Option<Found>> {
    let child = !path.is_empty();
    for ident in path {
        let Some(DataType::Struct(fields)) = &column.data_type else {
            return match &column.data_type {
                None => Ok(None),
                Some(_) => {
                    let message = format!("column \"{}\" is not a row and has no \"{}\"", column.name, ident.value);
                    Err(at(SqlError::new(SqlState::DATATYPE_MISMATCH, message), ident.span))
                }
            };
        };
        let named: Vec<Named> =
            fields.iter().map(|field| Named::new(field.name(), Some(field.data_type().clone()))).collect();
        let Some(found) = find(&named, ident)? else {
            let name = format!("{}.{}", column.name, ident.value);
            return Err(no_column(&name, ident, named.iter().map(|field| field.name.as_str())));
        };
        ident.value.clone_from(&found.plan);
        column = found.clone();
    }
    Ok(Some(Found { column, child, shared: None }))
}

/// The one column of that name: exact, else without regard to case.
pub(super) fn find<'c>(columns: &'c [Named], ident: &Ident) -> Result<Option<&'c Named>> {
    for exact in [true, false] {
        let hits: Vec<&Named> = columns.iter().filter(|column| alike(&column.name, ident, exact)).collect();
        if let Some(column) = one(&hits, ident, false)? {
            return Ok(Some(column));
        }
    }
    Ok(None)
}

pub(super) fn alike(name: &str, ident: &Ident, exact: bool) -> bool {
    if exact { name == ident.value } else { name.eq_ignore_ascii_case(&ident.value) }
}

fn one<'c>(hits: &[&'c Named], ident: &Ident, merged: bool) -> Result<Option<&'c Named>> {
    match hits {
        [] => Ok(None),
        [column] => Ok(Some(column)),
        [column, rest @ ..] if merged && rest.iter().all(|other| other.name == column.name) => Ok(Some(column)),
        several => {
            let mut names: Vec<&str> = several.iter().map(|column| column.name.as_str()).collect();
            names.dedup();
            let error =
                SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{}\" is ambiguous", ident.value));
            let error = match names.as_slice() {
                [_] => error,
                several => error.with_detail(format!("it could be any of {}", several.join(", "))),
            };
            Err(at(error, ident.span))
        }
    }
}

/// The error for a column that does not exist.
pub(super) fn no_column<'c>(name: &str, ident: &Ident, candidates: impl Iterator<Item = &'c str>) -> SqlError {
    let shown = if name.contains('.') { name.to_owned() } else { format!("\"{name}\"") };
    let error = SqlError::new(SqlState::UNDEFINED_COLUMN, format!("column {shown} does not exist"));
    let error = match nearest(&ident.value, candidates) {
        Some(near) => error.with_hint(format!("perhaps you meant the column \"{near}\"")),
        None => error,
    };
    at(error, ident.span)
}
