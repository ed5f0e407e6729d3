//! Files that a query names as tables: `FROM 'trips/*.parquet'`, `read_csv('a.csv', header => true)`.
//!
//! This crate reads no file. [`file_scans`] tells which files a statement names; the server looks at them and hands their
//! relations in with the catalog snapshot ([`CatalogSnapshot::files`]), where the binder finds them by
//! [`FileScan::key`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::ast::{Visit, Visitor};

use crate::ast::{AlterView, Copy, CopyWhat, CreateTable, ParsedStatement, Statement, SubscribeTo};
use crate::catalog::{CatalogSnapshot, RelationKind, nearest};
use crate::error::{Result, SqlError, SqlState};
use crate::query::position::{at, in_text};

/// How rows stand in a file that a query names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Parquet.
    Parquet,
    /// Comma-separated values.
    Csv,
    /// JSON, an object a line.
    Json,
}

/// Files that a query reads as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileScan {
    /// The name under which [`CatalogSnapshot::files`] has its relation: the call as written.
    pub key: String,
    /// Files, directories or patterns, as written: one, or those of a list.
    pub paths: Vec<String>,
    /// What the files are; `None`: what their names end in tells.
    pub format: Option<FileFormat>,
    /// The named arguments in lower case, with their values as text.
    pub options: Vec<(String, String)>,
    /// What the columns are called, where the query says it.
    pub names: Vec<String>,
    /// Where the path stands: characters from the start of the statement's text, from 1.
    pub position: Option<usize>,
}

impl FileScan {
    /// The paths for people.
    pub fn path(&self) -> String {
        self.paths.join(", ")
    }

    /// Whether an argument that is true or false is so; `default` where it was not given.
    pub fn flag(&self, name: &str, default: bool) -> bool {
        let given = self.options.iter().find(|(known, _)| known == name);
        given.map_or(default, |(_, value)| value.eq_ignore_ascii_case("true"))
    }
}

/// The functions that read files, under their names and DuckDB's other ones, and their arguments besides the path and
/// [`COMMON`].
const FUNCTIONS: [(&str, FileFormat, &[&str]); 7] = [
    ("read_parquet", FileFormat::Parquet, &[]),
    ("parquet_scan", FileFormat::Parquet, &[]),
    ("read_csv", FileFormat::Csv, CSV),
    ("read_csv_auto", FileFormat::Csv, CSV),
    ("read_json", FileFormat::Json, &["ignore_errors"]),
    ("read_json_auto", FileFormat::Json, &["ignore_errors"]),
    ("read_ndjson", FileFormat::Json, &["ignore_errors"]),
];
const CSV: &[&str] =
    &["header", "delimiter", "quote", "escape", "null", "comments", "ignore_errors", "all_varchar", "names"];

/// Arguments of all of them, true or false.
const COMMON: [&str; 3] = ["filename", "hive_partitioning", "union_by_name"];

/// The files that a statement and the views it reads name, each once.
///
/// # Errors
/// Where the arguments of a function that reads files are not what it takes.
pub fn file_scans(statement: &ParsedStatement, catalog: &CatalogSnapshot) -> Result<Vec<FileScan>> {
    let mut finder =
        Finder { catalog, text: Some(&statement.text), found: BTreeMap::new(), views: BTreeSet::new(), failed: None };
    finder.statement(&statement.ast);
    match finder.failed {
        Some(error) => Err(in_text(error, &statement.text)),
        None => Ok(finder.found.into_values().collect()),
    }
}

/// The files that an item of a `FROM` stands for; `None` where it is something else.
///
/// # Errors
/// As [`file_scans`].
pub(crate) fn of_factor(factor: &sp::TableFactor) -> Result<Option<FileScan>> {
    match factor {
        sp::TableFactor::Table { name, args: None, .. } => Ok(literal(name).map(|path| FileScan {
            key: crate::statement_text::string(path),
            paths: vec![path.to_owned()],
            format: None,
            options: Vec::new(),
            names: Vec::new(),
            position: None,
        })),
        sp::TableFactor::Table { name, args: Some(args), .. } => of_call(name, &args.args),
        sp::TableFactor::Function { name, args, .. } => of_call(name, args),
        sp::TableFactor::TableFunction { expr: sp::Expr::Function(function), .. } => match &function.args {
            sp::FunctionArguments::List(list) => of_call(&function.name, &list.args),
            sp::FunctionArguments::None | sp::FunctionArguments::Subquery(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

/// What a file is called in a query that gives it no name: its own without directory and endings.
pub(crate) fn stem(path: &str) -> &str {
    let path = without_settings(path);
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
    name.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or(name)
}

/// The path of a URL without the settings behind it, `?endpoint=…`; of a local path all.
pub(crate) fn without_settings(path: &str) -> &str {
    let url = path.contains("://");
    path.split_once('?').filter(|_| url).map_or(path, |(path, _)| path)
}

/// The path, where a name is a string.
fn literal(name: &sp::ObjectName) -> Option<&str> {
    match name.0.as_slice() {
        [sp::ObjectNamePart::Identifier(ident)] if ident.quote_style == Some('\'') => Some(&ident.value),
        _ => None,
    }
}

fn of_call(name: &sp::ObjectName, args: &[sp::FunctionArg]) -> Result<Option<FileScan>> {
    let [sp::ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return Ok(None) };
    let function = FUNCTIONS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(&ident.value));
    let Some((function, format, known)) = function else { return Ok(None) };
    let wrong = |message: String| at(SqlError::new(SqlState::SYNTAX_ERROR, message), ident.span);
    let mut scan = FileScan {
        key: String::new(),
        paths: Vec::new(),
        format: Some(*format),
        options: Vec::new(),
        names: Vec::new(),
        position: None,
    };
    for arg in args {
        match argument(arg).ok_or_else(|| wrong(format!("{arg} cannot be an argument of {function}")))? {
            (None, value) if scan.paths.is_empty() => scan.paths = value.into_texts(),
            (None, _) => return Err(wrong(format!("{function} takes one path, or a list of paths"))),
            (Some(name), value) => {
                let name = canonical(name.to_lowercase());
                if !known.contains(&name.as_str()) && !COMMON.contains(&name.as_str()) {
                    let error = wrong(format!("{function} has no argument \"{name}\""));
                    let all: Vec<&str> = known.iter().chain(&COMMON).copied().collect();
                    return Err(match nearest(&name, all.iter().copied()) {
                        Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
                        None => error.with_hint(format!("its arguments are {}", all.join(", "))),
                    });
                }
                match value {
                    Value::List(names) if name == "names" => scan.names = names,
                    Value::Text(text) if name != "names" => scan.options.push((name, text)),
                    Value::List(_) | Value::Text(_) => {
                        return Err(wrong(format!("{arg} cannot be an argument of {function}")));
                    }
                }
            }
        }
    }
    if scan.paths.is_empty() {
        return Err(wrong(format!("{function} needs a path")));
    }
    check(&scan).map_err(wrong)?;
    scan.key = key(function, &scan);
    Ok(Some(scan))
}

/// Refuses what is asked for and not done.
fn check(scan: &FileScan) -> std::result::Result<(), String> {
    if !scan.flag("union_by_name", true) {
        return Err("union_by_name is always true: columns of several files are found by name".to_owned());
    }
    if !scan.names.is_empty() && scan.flag("header", true) {
        return Err("names goes with header => false: else the first line names the columns".to_owned());
    }
    Ok(())
}

/// The call as it is known in the catalog of the statement.
fn key(function: &str, scan: &FileScan) -> String {
    let list = |texts: &[String]| {
        let quoted: Vec<String> = texts.iter().map(|text| crate::statement_text::string(text)).collect();
        format!("[{}]", quoted.join(", "))
    };
    let mut key = match scan.paths.as_slice() {
        [path] => format!("{function}({}", crate::statement_text::string(path)),
        paths => format!("{function}({}", list(paths)),
    };
    for (name, value) in &scan.options {
        key += &format!(", {name} => {}", crate::statement_text::string(value));
    }
    if !scan.names.is_empty() {
        key += &format!(", names => {}", list(&scan.names));
    }
    key + ")"
}

/// Other words for the same argument.
fn canonical(name: String) -> String {
    match name.as_str() {
        "delim" | "sep" => "delimiter".to_owned(),
        "nullstr" | "null_string" => "null".to_owned(),
        _ => name,
    }
}

/// The value of an argument.
enum Value {
    /// A text, number, or true or false.
    Text(String),
    /// `['a', 'b']` or `ARRAY['a', 'b']`
    List(Vec<String>),
}

impl Value {
    fn into_texts(self) -> Vec<String> {
        match self {
            Self::Text(text) => vec![text],
            Self::List(texts) => texts,
        }
    }
}

/// Name and value of an argument that is a constant: `name => value`, or with `=` or `:=` as DuckDB writes it.
fn argument(arg: &sp::FunctionArg) -> Option<(Option<&str>, Value)> {
    let (name, value) = match arg {
        sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(sp::Expr::BinaryOp {
            left,
            op: sp::BinaryOperator::Eq | sp::BinaryOperator::Assignment,
            right,
        })) => match left.as_ref() {
            sp::Expr::Identifier(name) => (Some(name.value.as_str()), right.as_ref()),
            _ => return None,
        },
        sp::FunctionArg::Unnamed(sp::FunctionArgExpr::Expr(value)) => (None, value),
        sp::FunctionArg::Named { name, arg: sp::FunctionArgExpr::Expr(value), .. }
        | sp::FunctionArg::ExprNamed {
            name: sp::Expr::Identifier(name), arg: sp::FunctionArgExpr::Expr(value), ..
        } => (Some(name.value.as_str()), value),
        _ => return None,
    };
    Some((name, constant(value)?))
}

fn constant(value: &sp::Expr) -> Option<Value> {
    match value {
        sp::Expr::Value(value) => text(value).map(Value::Text),
        sp::Expr::Array(array) => {
            let texts = array.elem.iter().map(|item| match item {
                sp::Expr::Value(value) => text(value),
                _ => None,
            });
            texts.collect::<Option<Vec<_>>>().filter(|texts| !texts.is_empty()).map(Value::List)
        }
        _ => None,
    }
}

fn text(value: &sp::ValueWithSpan) -> Option<String> {
    match &value.value {
        sp::Value::SingleQuotedString(text) | sp::Value::EscapedStringLiteral(text) => Some(text.clone()),
        sp::Value::Boolean(flag) => Some(flag.to_string()),
        sp::Value::Number(number, _) => Some(number.clone()),
        _ => None,
    }
}

/// Walks over the queries of a statement and of the views that they read.
struct Finder<'a> {
    catalog: &'a CatalogSnapshot,
    /// The text of the statement; `None` inside a view, whose text the user did not send.
    text: Option<&'a str>,
    found: BTreeMap<String, FileScan>,
    views: BTreeSet<String>,
    failed: Option<SqlError>,
}

impl Finder<'_> {
    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::CreateView(view) => self.query(&view.query),
            Statement::Insert(insert) => self.query(&insert.query),
            Statement::StatementSet(inserts) | Statement::OpenSet(inserts) => {
                inserts.iter().for_each(|insert| self.query(&insert.query));
            }
            Statement::CreateTable(CreateTable { query: Some(query), .. })
            | Statement::AlterView(AlterView::Query { query, .. }) => self.query(query),
            Statement::Copy(Copy { what: CopyWhat::Query(query), .. }) => self.query(query),
            Statement::Copy(Copy { what: CopyWhat::Table(name, _), .. }) => self.view(name),
            Statement::Subscribe(SubscribeTo::Query(query)) => self.query(query),
            Statement::Subscribe(SubscribeTo::Relation(name)) => self.view(name),
            Statement::Explain { statement, .. } => self.statement(statement),
            Statement::Change(_)
            | Statement::CreateTable(CreateTable { query: None, .. })
            | Statement::AlterTable(_)
            | Statement::AlterView(AlterView::Rename { .. })
            | Statement::CreateFunction(_)
            | Statement::Drop(_)
            | Statement::Namespace(_)
            | Statement::Comment(_)
            | Statement::Show(_)
            | Statement::Describe(_)
            | Statement::Set { .. }
            | Statement::Reset(_)
            | Statement::Job(_)
            | Statement::Flush
            | Statement::Transaction(_)
            | Statement::Kept(_)
            | Statement::Acknowledge(_)
            | Statement::Other(_) => (),
        }
    }

    fn query(&mut self, query: &sp::Query) {
        // Breaking off is told by the error that was kept.
        let _ = query.visit(self);
    }

    /// Looks into the query of a view.
    fn view(&mut self, name: &sp::ObjectName) {
        let Ok(relation) = self.catalog.find(&crate::namespace::parts(name)) else { return };
        if let RelationKind::View { query, .. } = &relation.kind
            && self.views.insert(relation.name.clone())
            // A view was parsed when it was made.
            && let Ok(query) = crate::parse::query(query)
        {
            let text = self.text.take();
            self.query(&query);
            self.text = text;
        }
    }

    /// Where a path stands: the parser forgets where a string stood that it takes for a name.
    fn position(&self, scan: &FileScan) -> Option<usize> {
        let text = self.text?;
        let byte = text.find(&crate::statement_text::string(scan.paths.first()?))?;
        Some(text.get(..byte)?.chars().count() + 1)
    }
}

impl Visitor for Finder<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &sp::TableFactor) -> ControlFlow<()> {
        match of_factor(factor) {
            Err(error) => {
                self.failed = Some(error);
                return ControlFlow::Break(());
            }
            Ok(Some(mut scan)) => {
                scan.position = self.position(&scan);
                self.found.entry(scan.key.clone()).or_insert(scan);
            }
            Ok(None) => {
                if let sp::TableFactor::Table { name, .. } = factor {
                    self.view(name);
                }
            }
        }
        ControlFlow::Continue(())
    }
}
