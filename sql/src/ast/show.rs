//! What `SHOW` and `DESCRIBE` ask for.

use datafusion::sql::sqlparser::ast as sp;

/// What `SHOW` lists.
#[derive(Debug, Clone)]
pub enum Show {
    /// `SHOW TABLES`
    Tables,
    /// `SHOW VIEWS`
    Views,
    /// `SHOW MATERIALIZED VIEWS`
    MaterializedViews,
    /// `SHOW JOBS`
    Jobs,
    /// `SHOW CHECKPOINTS`: the last ones of each job.
    Checkpoints,
    /// `SHOW SAVEPOINTS`
    Savepoints,
    /// `SHOW WATERMARKS`
    Watermarks,
    /// `SHOW CONNECTORS`
    Connectors,
    /// `SHOW FORMATS`
    Formats,
    /// `SHOW FUNCTIONS`: those that were made, then the built-in ones.
    Functions,
    /// `SHOW USER FUNCTIONS`
    UserFunctions,
    /// `SHOW CATALOGS`
    Catalogs,
    /// `SHOW CURRENT CATALOG`
    CurrentCatalog,
    /// `SHOW CREATE CATALOG c`
    CreateCatalog(sp::Ident),
    /// `SHOW DATABASES`: of the present catalog.
    Databases,
    /// `SHOW CURRENT DATABASE`
    CurrentDatabase,
    /// `SHOW [FULL] MODULES`
    Modules {
        /// With a column that says whether they are used.
        full: bool,
    },
    /// `SHOW PROCEDURES`, `JARS`, `MODELS`: of which there are none; the name of the column.
    Nothing(&'static str),
    /// `SHOW {TABLES|VIEWS|…} {FROM|IN} d`, `SHOW DATABASES {FROM|IN} c`
    Of {
        /// The list.
        list: Box<Show>,
        /// The database, of `SHOW DATABASES` the catalog.
        of: sp::ObjectName,
    },
    /// The same, bound: what is in the database whose names start so.
    Under {
        /// The list.
        list: Box<Show>,
        /// What stands before the names, the point at its end included.
        prefix: String,
    },
    /// `SHOW PARTITIONS t [PARTITION (a = 1, …)]`
    Partitions(sp::ObjectName, Vec<(sp::Ident, String)>),
    /// `SHOW COLUMNS FROM t`
    Columns(sp::ObjectName),
    /// `SHOW CREATE TABLE|VIEW|MATERIALIZED VIEW t`
    Create(sp::ObjectName),
    /// `DESCRIBE {CATALOG|DATABASE|FUNCTION|JOB} name`
    Details(Details),
    /// `SHOW … [NOT] {LIKE|ILIKE} 'pattern'`: of a list, the names that are so.
    Matching {
        /// The list.
        list: Box<Show>,
        /// Which names.
        pattern: NamePattern,
    },
    /// `SHOW ALL`: every setting, its value and its origin
    All,
    /// `SHOW name`
    Setting(String),
}

/// `[NOT] {LIKE|ILIKE} 'pattern'`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern {
    /// `%` stands for any text, `_` for any letter.
    pub text: String,
    /// The others.
    pub negated: bool,
    /// In any case.
    pub any_case: bool,
}

/// What `DESCRIBE` tells about, besides tables and views.
#[derive(Debug, Clone)]
pub enum Details {
    /// `DESCRIBE CATALOG [EXTENDED] c`
    Catalog(sp::Ident),
    /// `DESCRIBE DATABASE [EXTENDED] d`
    Database(sp::ObjectName),
    /// `DESCRIBE FUNCTION [EXTENDED] f`
    Function(sp::Ident),
    /// `DESCRIBE JOB 'id'`
    Job(String),
}
