//! `SHOW` and `DESCRIBE`.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Details, NamePattern, Show, Statement};

use super::cursor::Cursor;
use super::fail::Result;
use super::{job, session};

/// `SHOW …`
pub(super) fn show(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["SHOW"])?;
    shown(cursor).map(Statement::Show)
}

fn shown(cursor: &mut Cursor<'_>) -> Result<Show> {
    let whole = [
        (["JOBS"].as_slice(), Show::Jobs),
        (&["CHECKPOINTS"], Show::Checkpoints),
        (&["SAVEPOINTS"], Show::Savepoints),
        (&["WATERMARKS"], Show::Watermarks),
        (&["FULL", "MODULES"], Show::Modules { full: true }),
        (&["MODULES"], Show::Modules { full: false }),
        (&["JARS"], Show::Nothing("jars")),
        (&["CURRENT", "CATALOG"], Show::CurrentCatalog),
        (&["CURRENT", "DATABASE"], Show::CurrentDatabase),
        (&["ALL"], Show::All),
    ];
    if let Some((_, show)) = whole.into_iter().find(|(words, _)| cursor.accept(words)) {
        return Ok(show);
    }
    let names = [
        (["TABLES"].as_slice(), Show::Tables),
        (&["VIEWS"], Show::Views),
        (&["MATERIALIZED", "VIEWS"], Show::MaterializedViews),
        (&["MATERIALIZED", "TABLES"], Show::MaterializedViews),
        (&["CONNECTORS"], Show::Connectors),
        (&["FORMATS"], Show::Formats),
        (&["FUNCTIONS"], Show::Functions),
        (&["USER", "FUNCTIONS"], Show::UserFunctions),
        (&["CATALOGS"], Show::Catalogs),
        (&["DATABASES"], Show::Databases),
        (&["SCHEMAS"], Show::Databases),
        (&["PROCEDURES"], Show::Nothing("procedure name")),
        (&["MODELS"], Show::Nothing("model name")),
    ];
    if let Some((_, list)) = names.into_iter().find(|(words, _)| cursor.accept(words)) {
        let list = if cursor.accept(&["FROM"]) || cursor.accept(&["IN"]) {
            Show::Of { list: Box::new(list), of: cursor.name()? }
        } else {
            list
        };
        return matching(cursor, list);
    }
    if cursor.accept(&["COLUMNS"]) {
        if !cursor.accept(&["IN"]) {
            cursor.expect(&["FROM"])?;
        }
        let list = Show::Columns(cursor.name()?);
        return matching(cursor, list);
    }
    if cursor.accept(&["PARTITIONS"]) {
        let table = cursor.name()?;
        let of = if cursor.accept(&["PARTITION"]) { cursor.list(partition_value)? } else { Vec::new() };
        return Ok(Show::Partitions(table, of));
    }
    if cursor.accept(&["CREATE"]) {
        return created(cursor);
    }
    let name = if cursor.accept(&["TIME", "ZONE"]) {
        "TimeZone".to_owned()
    } else if cursor.accept(&["TRANSACTION", "ISOLATION", "LEVEL"]) {
        "transaction_isolation".to_owned()
    } else {
        session::setting(cursor)?
    };
    Ok(Show::Setting(name))
}

/// `SHOW CREATE …`, from the kind on.
fn created(cursor: &mut Cursor<'_>) -> Result<Show> {
    if cursor.ahead(&["CATALOG"]) && *cursor.peek(1) != Token::EOF {
        cursor.accept(&["CATALOG"]);
        return Ok(Show::CreateCatalog(cursor.ident()?));
    }
    let known = [["TABLE"].as_slice(), &["VIEW"], &["MATERIALIZED", "TABLE"]];
    if !known.into_iter().any(|words| cursor.accept(words)) {
        cursor.expect(&["MATERIALIZED", "VIEW"])?;
    }
    Ok(Show::Create(cursor.name()?))
}

/// `column = value`, the value as text.
pub(super) fn partition_value(cursor: &mut Cursor<'_>) -> Result<(datafusion::sql::sqlparser::ast::Ident, String)> {
    let column = cursor.ident()?;
    cursor.need(&Token::Eq)?;
    Ok((column, session::one_value(cursor)?))
}

/// A list of names, with the `[NOT] {LIKE|ILIKE} 'pattern'` that may follow.
fn matching(cursor: &mut Cursor<'_>, list: Show) -> Result<Show> {
    let negated = cursor.accept(&["NOT"]);
    let any_case = cursor.accept(&["ILIKE"]);
    if !any_case && !cursor.accept(&["LIKE"]) {
        return if negated { cursor.unexpected("LIKE or ILIKE") } else { Ok(list) };
    }
    let pattern = NamePattern { text: cursor.string()?, negated, any_case };
    Ok(Show::Matching { list: Box::new(list), pattern })
}

/// `DESCRIBE [EXTENDED] [TABLE|VIEW] t`, `DESCRIBE {CATALOG|DATABASE|FUNCTION} [EXTENDED] name`, `DESCRIBE JOB 'id'`
pub(super) fn describe(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.parser.advance_token();
    let more = |cursor: &Cursor<'_>| !matches!(cursor.peek(1), Token::EOF | Token::Period);
    if cursor.ahead(&["JOB"]) && more(cursor) {
        cursor.accept(&["JOB"]);
        return Ok(Statement::Show(Show::Details(Details::Job(job::number(cursor)?))));
    }
    let kinds = ["CATALOG", "DATABASE", "SCHEMA", "FUNCTION"];
    if let Some(kind) = kinds.into_iter().find(|kind| more(cursor) && cursor.accept(&[kind])) {
        if *cursor.peek(1) != Token::EOF {
            cursor.accept(&["EXTENDED"]);
        }
        let details = match kind {
            "CATALOG" => Details::Catalog(cursor.ident()?),
            "FUNCTION" => Details::Function(cursor.ident()?),
            _ => Details::Database(cursor.name()?),
        };
        return Ok(Statement::Show(Show::Details(details)));
    }
    for word in ["EXTENDED", "TABLE", "VIEW"] {
        if more(cursor) {
            cursor.accept(&[word]);
        }
    }
    Ok(Statement::Describe(cursor.name()?))
}
