//! Views: the rows that a materialised view or an internal table holds, and how readers see them.
//!
//! Each shard keeps a [`ViewStore`] for its part of a view. At every barrier it makes an immutable
//! [`ViewVersion`] of its chunks; when all shards of all connected jobs have passed the barrier, the versions are
//! published together in one swap of the [`GlobalSnapshot`]. A reader takes that snapshot once.

mod index;
mod snapshot;
mod store;

#[cfg(test)]
mod tests;

pub use snapshot::{GlobalSnapshot, ViewSnapshot, ViewVersion};
pub use store::ViewStore;
