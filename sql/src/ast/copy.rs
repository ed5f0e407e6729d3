//! `COPY`.

use datafusion::sql::sqlparser::ast as sp;

/// `COPY t [(columns)] | (query) FROM | TO end (options)`
#[derive(Debug, Clone)]
pub struct Copy {
    /// What is read or written.
    pub what: CopyWhat,
    /// `TO`: from the table to the end; else from the end into the table.
    pub to: bool,
    /// Where the bytes are.
    pub end: CopyEnd,
    /// Where the end stands: characters from the start of the text, from 1.
    pub position: usize,
    /// How rows stand in the bytes.
    pub options: CopyOptions,
}

/// What a `COPY` reads or writes.
#[derive(Debug, Clone)]
pub enum CopyWhat {
    /// A table or view, and the columns that are meant; all where empty.
    Table(sp::ObjectName, Vec<sp::Ident>),
    /// The rows of a query.
    Query(Box<sp::Query>),
}

/// Where the bytes of a `COPY` come from or go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyEnd {
    /// `STDIN`, `STDOUT`
    Client,
    /// A file of the server.
    File(String),
}

/// How rows stand in the bytes of a `COPY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// The format.
    pub format: CopyFormat,
    /// The first line names the columns.
    pub header: bool,
    /// The names of the first line must be those of the columns, in their order.
    pub match_header: bool,
    /// Between two values.
    pub delimiter: u8,
    /// The text of null.
    pub null: String,
    /// Around values, in csv.
    pub quote: u8,
    /// Before a quote that is part of a value, in csv.
    pub escape: u8,
    /// How a written file is packed; `None`: as its name tells, and Parquet with Snappy.
    pub compression: Option<CopyCompression>,
    /// The columns whose values name the directories that files are written to; none: a file is written.
    pub partition_by: Vec<String>,
    /// What becomes of the files that are in the directory already.
    pub existing: CopyExisting,
}

/// What `COPY … TO` a directory does about files that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CopyExisting {
    /// It is refused.
    #[default]
    Refuse,
    /// They stay.
    Append,
    /// They are removed when the new ones are whole.
    Overwrite,
}

/// How `COPY … TO` packs a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyCompression {
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// zstd.
    Zstd,
    /// gzip; not for Parquet.
    Gzip,
}

/// The formats of `COPY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// PostgreSQL's own: values between tabs, with backslashes.
    Text,
    /// Comma-separated values.
    Csv,
    /// JSON, an object a line.
    Json,
    /// Parquet.
    Parquet,
}
