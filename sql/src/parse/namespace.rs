//! `CREATE DATABASE`, `USE`, `DROP CATALOG` and the like, and `COMMENT ON`.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Comment, CommentOn, NamespaceStatement, Statement};

use super::create_table;
use super::create_view::comment;
use super::cursor::Cursor;
use super::fail::Result;

/// From `DATABASE`, `SCHEMA` or `CATALOG` on, behind `CREATE`.
pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.accept(&["CATALOG"]) {
        let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
        let name = cursor.ident()?;
        let comment = comment(cursor)?;
        let options = options(cursor)?;
        let create = NamespaceStatement::CreateCatalog { name, if_not_exists, comment, options };
        return Ok(Statement::Namespace(create));
    }
    let tag = if cursor.accept(&["SCHEMA"]) { "CREATE SCHEMA" } else { "CREATE DATABASE" };
    if tag == "CREATE DATABASE" {
        cursor.expect(&["DATABASE"])?;
    }
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    if cursor.accept(&["AUTHORIZATION"]) {
        cursor.ident()?;
    }
    let comment = comment(cursor)?;
    // Flink's databases have properties, which only other catalogs than ours give a meaning.
    options(cursor)?;
    Ok(Statement::Namespace(NamespaceStatement::CreateDatabase { name, if_not_exists, comment, tag }))
}

fn options(cursor: &mut Cursor<'_>) -> Result<Vec<(String, String, usize)>> {
    if *cursor.peek(0) == Token::EOF || !cursor.accept(&["WITH"]) {
        return Ok(Vec::new());
    }
    cursor.list(create_table::option)
}

/// From `DATABASE`, `SCHEMA` or `CATALOG` on, behind `DROP`.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["DROP"])?;
    if cursor.accept(&["CATALOG"]) {
        let if_exists = cursor.accept(&["IF", "EXISTS"]);
        return Ok(Statement::Namespace(NamespaceStatement::DropCatalog { name: cursor.ident()?, if_exists }));
    }
    let tag = if cursor.accept(&["SCHEMA"]) { "DROP SCHEMA" } else { "DROP DATABASE" };
    if tag == "DROP DATABASE" {
        cursor.expect(&["DATABASE"])?;
    }
    let if_exists = cursor.accept(&["IF", "EXISTS"]);
    let name = cursor.name()?;
    let cascade = cursor.accept(&["CASCADE"]);
    if !cascade {
        cursor.accept(&["RESTRICT"]);
    }
    Ok(Statement::Namespace(NamespaceStatement::DropDatabase { name, if_exists, cascade, tag }))
}

/// `USE [CATALOG] name`
pub(super) fn use_(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["USE"])?;
    if *cursor.peek(1) != Token::EOF && cursor.accept(&["CATALOG"]) {
        return Ok(Statement::Namespace(NamespaceStatement::UseCatalog(cursor.ident()?)));
    }
    Ok(Statement::Namespace(NamespaceStatement::Use(cursor.name()?)))
}

/// `COMMENT ON {TABLE|VIEW|MATERIALIZED VIEW|COLUMN|DATABASE|SCHEMA} name IS {'text'|NULL}`
pub(super) fn comment_on(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["COMMENT"])?;
    cursor.expect(&["ON"])?;
    let on: fn(sp::ObjectName) -> CommentOn = if cursor.accept(&["COLUMN"]) {
        CommentOn::Column
    } else if cursor.accept(&["DATABASE"]) || cursor.accept(&["SCHEMA"]) {
        CommentOn::Database
    } else if cursor.accept(&["TABLE"]) || cursor.accept(&["VIEW"]) || cursor.accept(&["MATERIALIZED", "VIEW"]) {
        CommentOn::Relation
    } else {
        return cursor.unexpected("TABLE, VIEW, MATERIALIZED VIEW, COLUMN, DATABASE or SCHEMA");
    };
    let name = cursor.name()?;
    cursor.expect(&["IS"])?;
    let text = if cursor.accept(&["NULL"]) { None } else { Some(cursor.string()?) };
    Ok(Statement::Comment(Comment { on: on(name), text }))
}
