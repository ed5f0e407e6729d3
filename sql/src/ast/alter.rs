//! Tables that are made from others, and statements that change what exists.

use datafusion::sql::sqlparser::ast as sp;

use super::{ColumnDef, Watermark};

/// `LIKE table [(INCLUDING | EXCLUDING | OVERWRITING feature …)]`
#[derive(Debug, Clone)]
pub struct Like {
    /// The table that it is like.
    pub table: sp::ObjectName,
    /// What is said of its features.
    pub options: Vec<(LikeStrategy, LikeFeature)>,
}

/// What becomes of a feature of the table that a table is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeStrategy {
    /// It is taken over; an error where the new table has the same.
    Including,
    /// It is not taken over.
    Excluding,
    /// It is taken over where the new table does not have the same.
    Overwriting,
}

/// A feature of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LikeFeature {
    /// All of them.
    All,
    /// The primary key.
    Constraints,
    /// `PARTITIONED BY`
    Partitions,
    /// Computed columns.
    Generated,
    /// The `WITH` options.
    Options,
    /// The watermark.
    Watermarks,
    /// Metadata columns.
    Metadata,
}

/// `ALTER TABLE [IF EXISTS] t …`
#[derive(Debug, Clone)]
pub struct AlterTable {
    /// The table.
    pub name: sp::ObjectName,
    /// No error where it does not exist.
    pub if_exists: bool,
    /// What changes, in order.
    pub actions: Vec<AlterAction>,
}

/// One change of a table.
#[derive(Debug, Clone)]
pub enum AlterAction {
    /// `RENAME TO t`
    Rename(sp::Ident),
    /// `RENAME a TO b`
    RenameColumn(sp::Ident, sp::Ident),
    /// `SET ('k' = 'v', …)`
    Set(Vec<(String, String, usize)>),
    /// `RESET ('k', …)`
    Reset(Vec<String>),
    /// `ADD` and `MODIFY` of a column, a watermark or a primary key.
    Put {
        /// It is there already.
        modify: bool,
        /// The column.
        column: Option<Box<ColumnDef>>,
        /// The watermark.
        watermark: Option<Box<Watermark>>,
        /// The primary key; empty where nothing is said of it.
        primary_key: Vec<sp::Ident>,
        /// Where the column goes.
        place: ColumnPlace,
    },
    /// `DROP a`
    DropColumn(sp::Ident),
    /// `DROP PRIMARY KEY`
    DropPrimaryKey,
    /// `DROP WATERMARK`
    DropWatermark,
}

/// Where a column goes.
#[derive(Debug, Clone)]
pub enum ColumnPlace {
    /// To the end; where it is modified, where it was.
    Same,
    /// `FIRST`
    First,
    /// `AFTER column`
    After(sp::Ident),
}

/// `ALTER [MATERIALIZED] VIEW …`
#[derive(Debug, Clone)]
pub enum AlterView {
    /// `ALTER VIEW [IF EXISTS] v RENAME TO w`
    Rename {
        /// The view.
        name: sp::ObjectName,
        /// Its new name.
        to: sp::Ident,
        /// No error where it does not exist.
        if_exists: bool,
    },
    /// `ALTER [MATERIALIZED] VIEW v AS query`
    Query {
        /// The view.
        name: sp::ObjectName,
        /// A materialised one.
        materialized: bool,
        /// Its new query.
        query: Box<sp::Query>,
        /// The text of the query, as written.
        query_text: String,
    },
}
