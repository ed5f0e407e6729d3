//! Statements of Flink and of its client that are understood and not done: each with its own answer.

use datafusion::sql::sqlparser::ast as sp;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::ast::{Change, Changes, NamespaceStatement, Statement, Touched};
use crate::error::SqlError;

use super::cursor::Cursor;
use super::fail::Result;
use super::words::spells;

/// First words, the statement's name, and what to do instead.
const REFUSED: [(&[&str], &str, &str); 22] = [
    (&["CREATE", "MODEL"], "CREATE MODEL", NO_MODELS),
    (&["CREATE", "TEMPORARY", "MODEL"], "CREATE MODEL", NO_MODELS),
    (&["ALTER", "MODEL"], "ALTER MODEL", NO_MODELS),
    (&["DROP", "MODEL"], "DROP MODEL", NO_MODELS),
    (&["DESCRIBE", "MODEL"], "DESCRIBE MODEL", NO_MODELS),
    (&["DESC", "MODEL"], "DESCRIBE MODEL", NO_MODELS),
    (&["SHOW", "CREATE", "MODEL"], "SHOW CREATE MODEL", NO_MODELS),
    (&["LOAD", "MODULE"], "LOAD MODULE", NO_MODULES),
    (&["UNLOAD", "MODULE"], "UNLOAD MODULE", NO_MODULES),
    (&["USE", "MODULES"], "USE MODULES", NO_MODULES),
    (&["ADD", "JAR"], "ADD JAR", NO_JARS),
    (&["REMOVE", "JAR"], "REMOVE JAR", NO_JARS),
    (&["COMPILE", "PLAN"], "COMPILE PLAN", NO_PLANS),
    (&["COMPILE", "AND"], "COMPILE PLAN", NO_PLANS),
    (&["EXECUTE", "PLAN"], "EXECUTE PLAN", NO_PLANS),
    (&["ALTER", "FUNCTION"], "ALTER FUNCTION", "use CREATE OR REPLACE FUNCTION"),
    (&["CALL"], "CALL", "there are no procedures; SHOW FUNCTIONS lists what can be called in a SELECT"),
    (&["HELP"], "HELP", CLIENT),
    (&["QUIT"], "QUIT", CLIENT),
    (&["EXIT"], "EXIT", CLIENT),
    (&["CLEAR"], "CLEAR", CLIENT),
    (&["SOURCE"], "SOURCE", CLIENT),
];

const NO_MODELS: &str = "there are no models; call a service before the rows come in, or behind a sink";
const NO_MODULES: &str = "the only module is core, and its functions are always there; SHOW FUNCTIONS lists them";
const NO_JARS: &str =
    "connectors and formats are built in, SHOW CONNECTORS lists them; functions are written in SQL or Rust";
const NO_PLANS: &str = "EXPLAIN shows a plan; a job finds its state again by what its operators compute";
const CLIENT: &str = "it is a command of Flink's client; in psql it is \\?, \\q or \\i";

/// Refuses what is known and not done.
pub(super) fn refuse(cursor: &Cursor<'_>) -> Result<()> {
    match REFUSED.iter().find(|(words, ..)| cursor.ahead(words)) {
        // Core is there: a script that makes sure of it goes on.
        Some((["USE", "MODULES"], ..)) if spells(cursor.peek(2), "core") && *cursor.peek(3) == Token::EOF => Ok(()),
        // A table can be called `modules`.
        Some((["USE", "MODULES"], ..)) if *cursor.peek(2) == Token::EOF => Ok(()),
        Some((_, name, instead)) => {
            cursor.refused(SqlError::unsupported(format!("{name} is not supported")).with_hint(*instead))
        }
        None => Ok(()),
    }
}

/// `USE MODULES core`
pub(super) fn use_core(cursor: &mut Cursor<'_>) -> Option<Statement> {
    cursor.accept(&["USE", "MODULES", "CORE"]).then_some(Statement::Acknowledge("USE MODULES"))
}

/// `TRUNCATE [TABLE] t`
pub(super) fn truncate(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["TRUNCATE"])?;
    if *cursor.peek(1) != Token::EOF {
        cursor.accept(&["TABLE"]);
    }
    let table = cursor.name()?;
    let changes = Changes { assignments: Vec::new(), selection: None };
    Ok(Statement::Change(Change { table, alias: None, changes, delete: true, truncate: true }))
}

/// `ANALYZE [TABLE] [t] …`, `VACUUM [t] …`: there are no statistics and nothing to clean up, but the table must exist.
pub(super) fn upkeep(cursor: &mut Cursor<'_>) -> Result<Statement> {
    let tag = if cursor.accept(&["VACUUM"]) { "VACUUM" } else { "ANALYZE" };
    if tag == "ANALYZE" {
        cursor.expect(&["ANALYZE"])?;
    }
    if *cursor.peek(0) == Token::LParen {
        cursor.list(|cursor| cursor.ident())?;
    }
    while ["FULL", "FREEZE", "VERBOSE", "ANALYZE", "TABLE"].iter().any(|word| cursor.accept(&[word])) {}
    if *cursor.peek(0) == Token::EOF {
        return Ok(Statement::Acknowledge(tag));
    }
    let name = cursor.name()?;
    // Columns and partitions that statistics are wanted of.
    while *cursor.peek(0) != Token::EOF {
        cursor.parser.advance_token();
    }
    Ok(Statement::Namespace(NamespaceStatement::Touch { what: Touched::Relation(name), tag }))
}

/// `ALTER {DATABASE|SCHEMA|CATALOG} name {SET|RESET} (…)`, `ALTER CATALOG c COMMENT 'text'`: properties that nothing reads.
pub(super) fn alter_namespace(cursor: &mut Cursor<'_>) -> Result<Statement> {
    cursor.expect(&["ALTER"])?;
    let (what, tag) = if cursor.accept(&["CATALOG"]) {
        (Touched::Catalog(cursor.ident()?), "ALTER CATALOG")
    } else if cursor.accept(&["SCHEMA"]) {
        (Touched::Database(cursor.name()?), "ALTER SCHEMA")
    } else {
        cursor.expect(&["DATABASE"])?;
        (Touched::Database(cursor.name()?), "ALTER DATABASE")
    };
    if cursor.accept(&["RESET"]) {
        cursor.list(Cursor::string)?;
    } else if matches!(what, Touched::Catalog(_)) && cursor.accept(&["COMMENT"]) {
        cursor.string()?;
    } else if cursor.ahead(&["SET"]) {
        cursor.accept(&["SET"]);
        cursor.list(super::create_table::option)?;
    } else {
        return cursor.unexpected("SET or RESET");
    }
    Ok(Statement::Namespace(NamespaceStatement::Touch { what, tag }))
}

/// `DISTRIBUTED {BY … | INTO n BUCKETS}`, which no connector of Flink takes by itself either.
pub(super) fn no_distribution(cursor: &Cursor<'_>) -> Result<()> {
    if cursor.ahead(&["DISTRIBUTED"]) {
        let error = SqlError::unsupported("DISTRIBUTED BY is not supported: no connector has buckets");
        return cursor.refused(error.with_hint("leave it out; rows go to the sink by their key"));
    }
    Ok(())
}

/// The columns of a query in another order: `(a, b, c)` without types.
pub(super) fn names_only(cursor: &mut Cursor<'_>) -> Result<Vec<sp::Ident>> {
    let names = *cursor.peek(0) == Token::LParen
        && matches!(cursor.peek(1), Token::Word(_))
        && matches!(cursor.peek(2), Token::Comma | Token::RParen);
    if names { cursor.list(Cursor::ident) } else { Ok(Vec::new()) }
}
