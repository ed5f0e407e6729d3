//! Tells statements apart by their first words.

use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::Statement;

use super::cursor::Cursor;
use super::fail::Result;
use super::{
    alter, copy, create_table, create_view, foreign, job, kept, materialized_table, namespace, rows, session, show,
};

/// One statement.
pub(super) fn statement(cursor: &mut Cursor<'_>) -> Result<Statement> {
    if cursor.query_ahead() {
        return Ok(Statement::Query(cursor.query()?));
    }
    foreign::refuse(cursor)?;
    if let Some(used) = foreign::use_core(cursor) {
        return Ok(used);
    }
    let Token::Word(word) = cursor.peek(0) else { return cursor.unexpected("an SQL statement") };
    match word.value.to_ascii_uppercase().as_str() {
        "CREATE" => create(cursor),
        "ALTER" if ["DATABASE", "SCHEMA", "CATALOG"].iter().any(|what| cursor.ahead(&["ALTER", what])) => {
            foreign::alter_namespace(cursor)
        }
        "ALTER" if ["TABLE", "VIEW", "MATERIALIZED"].iter().any(|what| cursor.ahead(&["ALTER", what])) => {
            alter::alter(cursor)
        }
        "DROP" => drop_or_other(cursor),
        "INSERT" => rows::insert(cursor),
        "UPDATE" => rows::update(cursor),
        "DELETE" => rows::delete(cursor),
        "COPY" => copy::copy(cursor),
        "SUBSCRIBE" => rows::subscribe(cursor),
        "EXPLAIN" => rows::explain(cursor),
        "SHOW" => show::show(cursor),
        "DESCRIBE" | "DESC" => show::describe(cursor),
        "TRUNCATE" => foreign::truncate(cursor),
        "ANALYZE" | "VACUUM" => foreign::upkeep(cursor),
        "REPLACE" if cursor.ahead(&["REPLACE", "TABLE"]) => {
            cursor.expect(&["REPLACE"])?;
            create_table::create_table(cursor, false, true)
        }
        "SET" => session::set(cursor),
        "RESET" => session::reset(cursor),
        "CANCEL" => job::cancel(cursor),
        "STOP" => job::stop(cursor),
        "START" if cursor.ahead(&["START", "JOB"]) => job::start(cursor),
        "FLUSH" => just(cursor, Statement::Flush),
        "USE" => namespace::use_(cursor),
        "COMMENT" => namespace::comment_on(cursor),
        "BEGIN" if cursor.ahead(&["BEGIN", "STATEMENT"]) => rows::statement_set(cursor),
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => session::transaction(cursor),
        "DISCARD" | "UNLISTEN" => session::acknowledge(cursor),
        "PREPARE" => kept::prepare(cursor),
        "DEALLOCATE" => kept::deallocate(cursor),
        "DECLARE" => kept::declare(cursor),
        "FETCH" | "MOVE" => kept::fetch(cursor),
        "CLOSE" => kept::close(cursor),
        "EXECUTE" if cursor.ahead(&["EXECUTE", "STATEMENT"]) => rows::statement_set(cursor),
        "EXECUTE" if cursor.ahead(&["EXECUTE", "INSERT"]) || cursor.ahead(&["EXECUTE", "SELECT"]) => {
            cursor.expect(&["EXECUTE"])?;
            statement(cursor)
        }
        "EXECUTE" => kept::execute(cursor),
        _ => other(cursor),
    }
}

/// A statement of one word.
fn just(cursor: &mut Cursor<'_>, statement: Statement) -> Result<Statement> {
    cursor.parser.advance_token();
    Ok(statement)
}

/// What `sqlparser` knows and we do not.
fn other(cursor: &mut Cursor<'_>) -> Result<Statement> {
    Ok(Statement::Other(Box::new(cursor.parser.parse_statement()?)))
}

/// `CREATE [OR REPLACE] [TEMPORARY] [MATERIALIZED] TABLE|VIEW|FUNCTION`
fn create(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let before = cursor.parser.index();
    cursor.expect(&["CREATE"])?;
    // `CREATE OR ALTER MATERIALIZED TABLE` gives one that exists another query, as `OR REPLACE` does with views.
    let or_replace = cursor.accept(&["OR", "REPLACE"]) || cursor.accept(&["OR", "ALTER"]);
    let temporary = cursor.accept(&["TEMPORARY"]) || cursor.accept(&["TEMP"]);
    // Flink's functions are temporary, temporary system or of a catalog: here they are all alike.
    let system = temporary && cursor.ahead(&["SYSTEM", "FUNCTION"]) && cursor.accept(&["SYSTEM"]);
    if cursor.ahead(&["TABLE"]) {
        return create_table::create_table(cursor, temporary, or_replace);
    }
    if !temporary && cursor.ahead(&["MATERIALIZED", "TABLE"]) {
        return materialized_table::create(cursor, or_replace);
    }
    if cursor.ahead(&["VIEW"]) || (!temporary && cursor.ahead(&["MATERIALIZED", "VIEW"])) {
        return create_view::create_view(cursor, or_replace, temporary);
    }
    if cursor.ahead(&["FUNCTION"]) || system {
        return create_view::create_function(cursor, or_replace);
    }
    if ["DATABASE", "SCHEMA", "CATALOG"].iter().any(|what| cursor.ahead(&[what])) {
        return namespace::create(cursor);
    }
    if cursor.ahead(&["SAVEPOINT"]) {
        return job::create_savepoint(cursor);
    }
    if matches!(cursor.peek(0), Token::EOF) {
        return cursor.unexpected("TABLE, VIEW, MATERIALIZED VIEW or FUNCTION");
    }
    while cursor.parser.index() > before {
        cursor.parser.prev_token();
    }
    other(cursor)
}

/// `DROP` of what we have; of what PostgreSQL has besides, `sqlparser`'s.
fn drop_or_other(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let known = ["TABLE", "VIEW", "FUNCTION", "MATERIALIZED", "TEMPORARY"];
    if known.iter().any(|word| cursor.ahead(&["DROP", word])) {
        return create_view::drop(cursor);
    }
    if cursor.ahead(&["DROP", "SAVEPOINT"]) {
        return job::drop_savepoint(cursor);
    }
    if ["DATABASE", "SCHEMA", "CATALOG"].iter().any(|what| cursor.ahead(&["DROP", what])) {
        return namespace::drop(cursor);
    }
    let foreign = ["DOMAIN", "EXTENSION", "INDEX", "PROCEDURE", "ROLE", "SEQUENCE", "TYPE", "USER"];
    if foreign.iter().any(|word| cursor.ahead(&["DROP", word])) {
        return other(cursor);
    }
    cursor.parser.advance_token();
    cursor.unexpected("TABLE, VIEW, MATERIALIZED VIEW or FUNCTION")
}
