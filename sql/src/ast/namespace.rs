//! Statements about catalogs and databases, and `COMMENT ON`.

use datafusion::sql::sqlparser::ast as sp;

/// A statement about a catalog or a database (in PostgreSQL's words a schema).
#[derive(Debug, Clone)]
pub enum NamespaceStatement {
    /// `CREATE DATABASE|SCHEMA [IF NOT EXISTS] d [COMMENT 'text'] [WITH (…)]`
    CreateDatabase {
        /// Its name, perhaps with its catalog.
        name: sp::ObjectName,
        /// No error where it exists.
        if_not_exists: bool,
        /// `COMMENT`
        comment: Option<String>,
        /// The command tag to answer.
        tag: &'static str,
    },
    /// `DROP DATABASE|SCHEMA [IF EXISTS] d [RESTRICT|CASCADE]`
    DropDatabase {
        /// Its name, perhaps with its catalog.
        name: sp::ObjectName,
        /// No error where it does not exist.
        if_exists: bool,
        /// With all that is in it, and what depends on that.
        cascade: bool,
        /// The command tag to answer.
        tag: &'static str,
    },
    /// `CREATE CATALOG [IF NOT EXISTS] c [COMMENT 'text'] WITH ('type' = 'generic_in_memory')`
    CreateCatalog {
        /// Its name.
        name: sp::Ident,
        /// No error where it exists.
        if_not_exists: bool,
        /// `COMMENT`
        comment: Option<String>,
        /// Key, value, and the character position of the key from 1.
        options: Vec<(String, String, usize)>,
    },
    /// `DROP CATALOG [IF EXISTS] c`
    DropCatalog {
        /// Its name.
        name: sp::Ident,
        /// No error where it does not exist.
        if_exists: bool,
    },
    /// `USE d`, `USE c.d`
    Use(sp::ObjectName),
    /// `USE CATALOG c`
    UseCatalog(sp::Ident),
    /// `ALTER DATABASE d SET (…)`, `ANALYZE TABLE t …`: it must exist, and nothing is done.
    Touch {
        /// What is named.
        what: Touched,
        /// The command tag to answer.
        tag: &'static str,
    },
}

/// What a statement names that does nothing.
#[derive(Debug, Clone)]
pub enum Touched {
    /// A database or schema.
    Database(sp::ObjectName),
    /// A catalog.
    Catalog(sp::Ident),
    /// A table or view of any kind.
    Relation(sp::ObjectName),
}

/// `COMMENT ON … IS 'text'`
#[derive(Debug, Clone)]
pub struct Comment {
    /// What is commented on.
    pub on: CommentOn,
    /// The text; `None` takes the comment away.
    pub text: Option<String>,
}

/// What `COMMENT ON` names.
#[derive(Debug, Clone)]
pub enum CommentOn {
    /// A table or view of any kind.
    Relation(sp::ObjectName),
    /// `table.column`
    Column(sp::ObjectName),
    /// A database or schema.
    Database(sp::ObjectName),
}
