//! `CREATE VIEW`, `CREATE MATERIALIZED VIEW`, `CREATE FUNCTION` and `DROP`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{CreateFunction, CreateView, Drop, ObjectKind, Statement, TypeName};
use crate::error::{SqlError, SqlState};

use super::cursor::Cursor;
use super::fail::Result;

/// What stands before the query of a view.
pub(super) struct ViewHead {
    if_not_exists: bool,
    name: sp::ObjectName,
    columns: Vec<sp::Ident>,
    column_comments: Vec<Option<String>>,
    comment: Option<String>,
}

/// What kind of view it is.
pub(super) struct ViewKind {
    /// Kept up to date and readable.
    pub materialized: bool,
    /// Only for this session.
    pub temporary: bool,
    /// Replaces a view of that name.
    pub or_replace: bool,
}

/// From `[MATERIALIZED] VIEW` on.
pub(super) fn create_view(cursor: &mut Cursor<'_>, or_replace: bool, temporary: bool) -> Result<Statement> {
    let materialized = cursor.accept(&["MATERIALIZED"]);
    cursor.expect(&["VIEW"])?;
    let head = view_head(cursor)?;
    let view = view_of_query(cursor, ViewKind { materialized, temporary, or_replace }, head)?;
    if cursor.accept(&["WITH", "NO", "DATA"]) {
        let error = SqlError::unsupported("WITH NO DATA is not supported");
        return cursor.refused(error.with_hint("a materialized view is filled when it is created"));
    }
    cursor.accept(&["WITH", "DATA"]);
    Ok(Statement::CreateView(view))
}

/// `[IF NOT EXISTS] v [(columns)] [COMMENT 'text']`
pub(super) fn view_head(cursor: &mut Cursor<'_>) -> Result<ViewHead> {
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    let listed = if *cursor.peek(0) == Token::LParen { cursor.list(view_column)? } else { Vec::new() };
    let (columns, column_comments) = listed.into_iter().unzip();
    let comment = comment(cursor)?;
    Ok(ViewHead { if_not_exists, name, columns, column_comments, comment })
}

/// `AS query`
pub(super) fn view_of_query(cursor: &mut Cursor<'_>, kind: ViewKind, head: ViewHead) -> Result<CreateView> {
    cursor.expect(&["AS"])?;
    let start = cursor.byte();
    let query = cursor.query()?;
    let query_text = cursor.text_from(start).to_owned();
    let ViewKind { materialized, temporary, or_replace } = kind;
    let ViewHead { if_not_exists, name, columns, column_comments, comment } = head;
    Ok(CreateView {
        name,
        materialized,
        temporary,
        or_replace,
        if_not_exists,
        columns,
        column_comments,
        comment,
        query,
        query_text,
    })
}

/// `column [COMMENT 'text']`
fn view_column(cursor: &mut Cursor<'_>) -> Result<(sp::Ident, Option<String>)> {
    Ok((cursor.ident()?, comment(cursor)?))
}

/// `COMMENT 'text'`, where it stands.
pub(super) fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept(&["COMMENT"]) { cursor.string().map(Some) } else { Ok(None) }
}

/// From `FUNCTION` on.
pub(super) fn create_function(cursor: &mut Cursor<'_>, or_replace: bool) -> Result<Statement> {
    cursor.expect(&["FUNCTION"])?;
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    if cursor.ahead(&["AS"]) {
        return refuse_body(cursor, "functions in Java, Scala or Python are not supported");
    }
    let parameters = parameters(cursor)?;
    cursor.expect(&["RETURNS"])?;
    let returns = cursor.data_type()?;
    loop {
        if cursor.accept(&["LANGUAGE"]) {
            if !cursor.accept(&["SQL"]) {
                return refuse_body(cursor, "functions in other languages than SQL are not supported");
            }
        } else if !["IMMUTABLE", "STABLE", "STRICT"].iter().any(|word| cursor.accept(&[word])) {
            break;
        }
    }
    if cursor.ahead(&["AS"]) {
        return refuse_body(cursor, "a function body in quotes is not supported");
    }
    cursor.expect(&["RETURN"])?;
    let start = cursor.byte();
    let body = cursor.expr()?;
    let body_text = cursor.text_from(start).to_owned();
    let function = CreateFunction { name, or_replace, if_not_exists, parameters, returns, body, body_text };
    Ok(Statement::CreateFunction(function))
}

fn refuse_body<T>(cursor: &Cursor<'_>, message: &str) -> Result<T> {
    let hint = "write the body as an expression: CREATE FUNCTION f(x INT) RETURNS INT RETURN x + 1";
    cursor.refused(SqlError::unsupported(message).with_hint(hint))
}

/// `(name type, …)`, possibly empty.
fn parameters(cursor: &mut Cursor<'_>) -> Result<Vec<(sp::Ident, TypeName)>> {
    if *cursor.peek(0) == Token::LParen && *cursor.peek(1) == Token::RParen {
        cursor.need(&Token::LParen)?;
        cursor.need(&Token::RParen)?;
        return Ok(Vec::new());
    }
    cursor.list(|cursor| Ok((cursor.ident()?, cursor.data_type()?)))
}

/// `DROP kind [IF EXISTS] name, … [CASCADE|RESTRICT]`
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DROP"])?;
    let temporary = cursor.accept(&["TEMPORARY"]);
    if temporary {
        cursor.accept(&["SYSTEM"]);
    }
    let kind = if cursor.accept(&["TABLE"]) {
        ObjectKind::Table
    } else if cursor.accept(&["VIEW"]) {
        ObjectKind::View
    } else if cursor.accept(&["MATERIALIZED", "VIEW"]) || cursor.accept(&["MATERIALIZED", "TABLE"]) {
        ObjectKind::MaterializedView
    } else if cursor.accept(&["FUNCTION"]) {
        ObjectKind::Function
    } else {
        return cursor.unexpected("TABLE, VIEW, MATERIALIZED VIEW or FUNCTION");
    };
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let names = cursor.separated(|cursor| dropped(cursor, kind))?;
    let cascade = cursor.accept(&["CASCADE"]);
    if !cascade {
        cursor.accept(&["RESTRICT"]);
    }
    Ok(Statement::Drop(Drop { kind, names, if_exists, cascade }))
}

/// A name; behind that of a function, the types of its parameters may stand, which do not matter: names are unique.
fn dropped(cursor: &mut Cursor<'_>, kind: ObjectKind) -> Result<sp::ObjectName> {
    let name = cursor.name()?;
    if kind == ObjectKind::Function && *cursor.peek(0) == Token::LParen {
        cursor.need(&Token::LParen)?;
        if *cursor.peek(0) != Token::RParen {
            cursor.separated(Cursor::data_type)?;
        }
        cursor.need(&Token::RParen)?;
    }
    if name.0.iter().any(|part| part.as_ident().is_none()) {
        return cursor.refused(SqlError::new(SqlState::SYNTAX_ERROR, "a name cannot be a function call"));
    }
    Ok(name)
}
