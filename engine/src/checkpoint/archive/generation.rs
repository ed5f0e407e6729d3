//! Generations: each opening of a store claims the next one, and says what it has found.

use crate::checkpoint::format_claim::Claim;
use crate::error::Result;
use crate::ports::StateStore;

/// Claims the next generation.
pub(super) fn claim(store: &dyn StateStore) -> Result<u64> {
    loop {
        let generation = newest_generation(store)? + 1;
        // Claims before the last one are deleted, so that a slow claimer may get a number that was had before.
        if store.put_if_absent(&generation_path(generation), b"")? && newest_generation(store)? == generation {
            return Ok(generation);
        }
    }
}

pub(super) fn generation_path(generation: u64) -> String {
    format!("generations/{generation:08}")
}

pub(super) fn newest_generation(store: &dyn StateStore) -> Result<u64> {
    Ok(generations(store)?.into_iter().max().unwrap_or(0))
}

pub(super) fn generations(store: &dyn StateStore) -> Result<Vec<u64>> {
    let of = |path: &String| path.strip_prefix("generations/").and_then(|name| name.parse().ok());
    Ok(store.list("generations/")?.iter().filter_map(of).collect())
}

/// The newest generation whose opener came so far as to say what it found, and that.
pub(super) fn last_claim(store: &dyn StateStore) -> Result<Option<(u64, Claim)>> {
    for path in store.list("claims/")?.into_iter().rev() {
        let Some(generation) = path.strip_prefix("claims/").and_then(|name| name.parse().ok()) else { continue };
        let Some(bytes) = store.get(&path)? else { continue };
        match Claim::decode(&path, &bytes) {
            Ok(claim) => return Ok(Some((generation, claim))),
            Err(error) => tracing::warn!(%error, "a claim is left out"),
        }
    }
    Ok(None)
}
