//! Lookups of connector tables: their common options, and lookups in tables that can only be read as a whole.

mod options;
mod scanned;

pub(crate) use options::{CacheOption, LookupOptions, descriptors};
pub(crate) use scanned::Scanned;
