//! The bytes of `COPY`: rows as PostgreSQL's text and csv formats, from and to the client and files, and files of JSON and
//! Parquet. Which table or query they belong to is in [`crate::session`].

mod decode;
mod encode;
mod file;
mod values;

pub(crate) use decode::decode;
pub use encode::CopyEncoder;
pub(crate) use file::{read_file, write_file};
pub(crate) use values::typed;
