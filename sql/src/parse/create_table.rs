//! `CREATE TABLE` in Flink's form.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{ColumnDef, ColumnKind, CreateTable, Like, LikeFeature, LikeStrategy, Statement, Watermark};
use crate::error::{SqlError, SqlState};

use super::cursor::Cursor;
use super::fail::Result;
use super::{foreign, session};

/// From `TABLE` on.
pub(super) fn create_table(cursor: &mut Cursor<'_>, temporary: bool, or_replace: bool) -> Result<Statement> {
    cursor.expect(&["TABLE"])?;
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    let mut table = CreateTable { name, temporary, if_not_exists, or_replace, ..empty() };
    // A table that is like another, or holds the rows of a query, needs no columns of its own.
    let derived =
        ["AS", "LIKE", "WITH", "COMMENT", "PARTITIONED", "DISTRIBUTED"].iter().any(|word| cursor.ahead(&[word]));
    table.order = foreign::names_only(cursor)?;
    if !derived && table.order.is_empty() {
        cursor.need(&Token::LParen)?;
        element(cursor, &mut table)?;
        while cursor.take(&Token::Comma) {
            element(cursor, &mut table)?;
        }
        cursor.need(&Token::RParen)?;
    }
    if cursor.accept(&["COMMENT"]) {
        table.comment = Some(cursor.string()?);
    }
    foreign::no_distribution(cursor)?;
    if cursor.accept(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.list(Cursor::ident)?;
    }
    if cursor.accept(&["WITH"]) {
        table.options = cursor.list(option)?;
    }
    if cursor.ahead(&["LIKE"]) {
        table.like = Some(like(cursor)?);
    } else if cursor.accept(&["AS"]) {
        table.query = Some(cursor.query()?);
    } else if table.columns.is_empty() && (derived || !table.order.is_empty()) {
        return cursor.unexpected("LIKE or AS");
    }
    if or_replace && table.query.is_none() {
        let error = SqlError::unsupported("CREATE OR REPLACE TABLE is for the rows of a query");
        return cursor.refused(error.with_hint("write CREATE OR REPLACE TABLE t AS SELECT …, or DROP TABLE first"));
    }
    Ok(Statement::CreateTable(table))
}

/// A table of which nothing is said yet.
pub(super) fn empty() -> CreateTable {
    CreateTable {
        name: sp::ObjectName(Vec::new()),
        temporary: false,
        if_not_exists: false,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        comment: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
        like: None,
        query: None,
        order: Vec::new(),
        or_replace: false,
    }
}

/// `LIKE t [(INCLUDING ALL EXCLUDING OPTIONS …)]`
fn like(cursor: &mut Cursor<'_>) -> Result<Like> {
    cursor.expect(&["LIKE"])?;
    let table = cursor.name()?;
    let mut options = Vec::new();
    if cursor.take(&Token::LParen) {
        while !cursor.take(&Token::RParen) {
            let strategy = if cursor.accept(&["INCLUDING"]) {
                LikeStrategy::Including
            } else if cursor.accept(&["EXCLUDING"]) {
                LikeStrategy::Excluding
            } else if cursor.accept(&["OVERWRITING"]) {
                LikeStrategy::Overwriting
            } else {
                return cursor.unexpected("INCLUDING, EXCLUDING or OVERWRITING");
            };
            options.push((strategy, feature(cursor, strategy)?));
        }
    }
    Ok(Like { table, options })
}

/// What a strategy of `LIKE` is for. All, keys and partitions cannot be overwritten.
fn feature(cursor: &mut Cursor<'_>, strategy: LikeStrategy) -> Result<LikeFeature> {
    let features = [
        ("GENERATED", LikeFeature::Generated),
        ("OPTIONS", LikeFeature::Options),
        ("WATERMARKS", LikeFeature::Watermarks),
        ("METADATA", LikeFeature::Metadata),
        ("ALL", LikeFeature::All),
        ("CONSTRAINTS", LikeFeature::Constraints),
        ("PARTITIONS", LikeFeature::Partitions),
    ];
    let known = if strategy == LikeStrategy::Overwriting { 4 } else { features.len() };
    for (word, feature) in features.into_iter().take(known) {
        if cursor.accept(&[word]) {
            return Ok(feature);
        }
    }
    cursor.unexpected("GENERATED, OPTIONS, WATERMARKS, METADATA, ALL, CONSTRAINTS or PARTITIONS")
}

/// `'key' = 'value'`, with the position of the key; also `key = value` with words and numbers.
pub(super) fn option(cursor: &mut Cursor<'_>) -> Result<(String, String, usize)> {
    let position = cursor.position();
    let key = session::setting(cursor)?;
    cursor.need(&Token::Eq)?;
    Ok((key, session::one_value(cursor)?, position))
}

/// One element between the parentheses: a column, a watermark or a constraint.
pub(super) fn element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    if cursor.accept(&["WATERMARK", "FOR"]) {
        return watermark(cursor, table);
    }
    if cursor.ahead(&["CONSTRAINT"]) && !matches!(cursor.peek(1), Token::Comma | Token::RParen) {
        cursor.expect(&["CONSTRAINT"])?;
        cursor.ident()?;
        if !cursor.ahead(&["PRIMARY", "KEY"]) {
            refuse_constraint(cursor)?;
            return cursor.unexpected("PRIMARY KEY");
        }
    }
    if cursor.ahead(&["PRIMARY", "KEY"]) {
        return primary_key(cursor, table, None);
    }
    if matches!(cursor.peek(1), Token::LParen) || cursor.ahead(&["FOREIGN", "KEY"]) {
        refuse_constraint(cursor)?;
    }
    column(cursor, table)
}

/// `WATERMARK FOR column AS expr`, from the column on.
fn watermark(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    if table.watermark.is_some() {
        let error = SqlError::new(SqlState::INVALID_TABLE_DEFINITION, "a table can have one watermark only");
        return cursor.refused(error);
    }
    let column = cursor.ident()?;
    cursor.expect(&["AS"])?;
    table.watermark = Some(Watermark { column, expr: cursor.expr()? });
    Ok(())
}

/// `PRIMARY KEY [(columns)] [[NOT] ENFORCED]`; without columns behind a column.
fn primary_key(cursor: &mut Cursor<'_>, table: &mut CreateTable, column: Option<&sp::Ident>) -> Result<()> {
    if !table.primary_key.is_empty() {
        let error = SqlError::new(SqlState::INVALID_TABLE_DEFINITION, "a table can have one primary key only");
        return cursor.refused(error);
    }
    cursor.expect(&["PRIMARY", "KEY"])?;
    table.primary_key = match column {
        Some(column) => vec![column.clone()],
        None => cursor.list(Cursor::ident)?,
    };
    if !cursor.accept(&["NOT", "ENFORCED"]) {
        cursor.accept(&["ENFORCED"]);
    }
    Ok(())
}

/// A column with what follows its type.
fn column(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
    let name = cursor.ident()?;
    if cursor.accept(&["AS"]) {
        let kind = ColumnKind::Computed(Box::new(cursor.expr()?));
        let comment = comment(cursor)?;
        table.columns.push(ColumnDef { name, kind, comment });
        return Ok(());
    }
    let data_type = cursor.data_type()?;
    let mut metadata = None;
    let mut not_null = false;
    let mut text = None;
    loop {
        if cursor.accept(&["NOT", "NULL"]) {
            not_null = true;
        } else if cursor.accept(&["NULL"]) {
            not_null = false;
        } else if cursor.ahead(&["PRIMARY", "KEY"]) {
            primary_key(cursor, table, Some(&name))?;
        } else if metadata.is_none() && cursor.accept(&["METADATA"]) {
            let key = if cursor.accept(&["FROM"]) { Some(cursor.string()?) } else { None };
            metadata = Some((key, cursor.accept(&["VIRTUAL"])));
        } else if cursor.ahead(&["COMMENT"]) {
            text = comment(cursor)?;
        } else {
            refuse_constraint(cursor)?;
            break;
        }
    }
    let kind = match metadata {
        Some((key, virtual_)) => ColumnKind::Metadata { data_type, key, virtual_ },
        None => ColumnKind::Physical { data_type, not_null },
    };
    table.columns.push(ColumnDef { name, kind, comment: text });
    Ok(())
}

/// `COMMENT 'text'`, where it comes next.
fn comment(cursor: &mut Cursor<'_>) -> Result<Option<String>> {
    if cursor.accept(&["COMMENT"]) { cursor.string().map(Some) } else { Ok(None) }
}

/// Constraints that PostgreSQL has and Millstream has not.
fn refuse_constraint(cursor: &Cursor<'_>) -> Result<()> {
    for word in ["DEFAULT", "UNIQUE", "CHECK", "REFERENCES", "FOREIGN", "GENERATED"] {
        if cursor.ahead(&[word]) {
            let error = SqlError::unsupported(format!("{word} in CREATE TABLE is not supported"));
            return cursor.refused(error.with_hint("of the constraints, NOT NULL and PRIMARY KEY can be declared"));
        }
    }
    Ok(())
}
