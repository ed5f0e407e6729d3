//! `CREATE TABLE` in Flink's form.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{ColumnDef, ColumnKind, CreateTable, Statement, Watermark};
use crate::error::{SqlError, SqlState};

use super::cursor::Cursor;
use super::fail::Result;

/// From `TABLE` on.
pub(super) fn create_table(cursor: &mut Cursor<'_>, temporary: bool) -> Result<Statement> {
    cursor.expect(&["TABLE"])?;
    let if_not_exists = cursor.accept(&["IF", "NOT", "EXISTS"]);
    let name = cursor.name()?;
    refuse_derived(cursor)?;
    let mut table = CreateTable {
        name,
        temporary,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        comment: None,
        partitioned_by: Vec::new(),
        options: Vec::new(),
    };
    cursor.need(&Token::LParen)?;
    element(cursor, &mut table)?;
    while cursor.take(&Token::Comma) {
        element(cursor, &mut table)?;
    }
    cursor.need(&Token::RParen)?;
    if cursor.accept(&["COMMENT"]) {
        table.comment = Some(cursor.string()?);
    }
    if cursor.accept(&["PARTITIONED", "BY"]) {
        table.partitioned_by = cursor.list(Cursor::ident)?;
    }
    if cursor.accept(&["WITH"]) {
        table.options = cursor.list(option)?;
    }
    refuse_derived(cursor)?;
    Ok(Statement::CreateTable(table))
}

/// `CREATE TABLE t AS SELECT` and `CREATE TABLE t LIKE u` are understood and refused.
fn refuse_derived(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.ahead(&["AS"]) {
        let error = SqlError::unsupported("CREATE TABLE … AS is not supported");
        return cursor
            .refused(error.with_hint("use CREATE TABLE, then INSERT INTO … SELECT, or CREATE MATERIALIZED VIEW"));
    }
    if cursor.ahead(&["LIKE"]) {
        return cursor.refused(SqlError::unsupported("CREATE TABLE … LIKE is not supported"));
    }
    Ok(())
}

/// `'key' = 'value'`, with the position of the key.
fn option(cursor: &mut Cursor<'_>) -> Result<(String, String, usize)> {
    let position = cursor.position();
    let key = cursor.string()?;
    cursor.need(&Token::Eq)?;
    Ok((key, cursor.string()?, position))
}

/// One element between the parentheses: a column, a watermark or a constraint.
fn element(cursor: &mut Cursor<'_>, table: &mut CreateTable) -> Result<()> {
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
