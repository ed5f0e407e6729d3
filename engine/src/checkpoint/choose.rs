//! Which checkpoints to continue from, and which to drop: pure choices over the manifests that there are.

use std::collections::{BTreeMap, BTreeSet};

use super::format_claim::Claim;
use super::format_manifest::Manifest;
use crate::ports::SINK_AREA;

/// A manifest among the others, the newest last.
pub type Place = usize;

/// For each of these jobs the newest manifest that has it. Who is in none is left out.
///
/// Jobs that were checkpointed together come from one manifest: each checkpoint takes in all connected jobs.
pub fn newest(manifests: &[Manifest], uids: &[String]) -> BTreeMap<Place, Vec<String>> {
    let mut chosen: BTreeMap<Place, Vec<String>> = BTreeMap::new();
    for uid in uids {
        if let Some(place) = manifests.iter().rposition(|manifest| manifest.job(uid).is_some()) {
            chosen.entry(place).or_default().push(uid.clone());
        }
    }
    chosen
}

/// The manifests that are no longer needed: those that are not among the last `retained` ones of any live job.
pub fn outdated(manifests: &[Manifest], live: &BTreeSet<String>, retained: usize) -> Vec<Place> {
    let mut needed: BTreeSet<Place> = BTreeSet::new();
    for uid in live {
        let of = manifests.iter().enumerate().rev().filter(|(_, manifest)| manifest.job(uid).is_some());
        needed.extend(of.take(retained.max(1)).map(|(place, _)| place));
    }
    (0..manifests.len()).filter(|place| !needed.contains(place)).collect()
}

/// Whether a manifest is needed by no live job any more, because each has a later one.
pub fn is_overtaken(manifest: &Manifest, manifests: &[Manifest], live: &BTreeSet<String>) -> bool {
    let age = |of: &Manifest| (of.generation, of.sequence);
    let later = |uid: &str| manifests.iter().any(|of| age(of) > age(manifest) && of.job(uid).is_some());
    manifest.jobs.iter().all(|job| !live.contains(&job.uid) || later(&job.uid))
}

/// The runs in the store that no manifest names. Those of later generations belong to somebody else.
pub fn unnamed<'a>(manifests: &[&Manifest], runs: impl Iterator<Item = &'a String>, generation: u64) -> Vec<String> {
    let named = manifests.iter().flat_map(|manifest| &manifest.runs);
    let named: BTreeSet<&str> = named.map(|run| run.path.as_str()).collect();
    let is_own = |path: &&String| generation_of(path).is_none_or(|of| of <= generation);
    runs.filter(|path| !named.contains(path.as_str())).filter(is_own).cloned().collect()
}

/// What sinks keep of jobs that are neither live nor in a manifest.
pub fn orphaned(manifests: &[&Manifest], live: &BTreeSet<String>, staged: &[String]) -> Vec<String> {
    let job = |path: &str| path.strip_prefix(SINK_AREA).and_then(|path| path.split('/').next()).map(str::to_owned);
    let known = |job: String| live.contains(&job) || manifests.iter().any(|manifest| manifest.job(&job).is_some());
    staged.iter().filter(|path| !job(path).is_some_and(known)).cloned().collect()
}

/// Whether a manifest was written by a server that had been shut out before: it is of an earlier generation than `claimed`,
/// whose opener did not find it.
pub fn is_stale(path: &str, claimed: u64, claim: &Claim) -> bool {
    generation_of(path).is_some_and(|of| of < claimed) && !claim.manifests.contains(path)
}

/// The generation in the name of a manifest or run.
fn generation_of(path: &str) -> Option<u64> {
    path.rsplit('/').next()?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::format_manifest::{JobRecord, RunRecord};

    fn manifest(epoch: u64, uids: &[&str]) -> Manifest {
        let mut manifest = Manifest::new(1, epoch, 0, 1);
        let job = |uid: &&str| JobRecord {
            uid: (*uid).into(),
            name: String::new(),
            plan: String::new(),
            inserted: 0,
            base_epoch: 0,
            nodes: Vec::new(),
        };
        manifest.jobs = uids.iter().map(job).collect();
        manifest.runs = vec![RunRecord { path: format!("runs/{epoch}"), shard: 0, epoch, bytes: 1 }];
        manifest
    }

    fn names(uids: &[&str]) -> Vec<String> {
        uids.iter().map(|uid| (*uid).to_owned()).collect()
    }

    #[test]
    fn every_job_continues_from_its_newest_checkpoint() {
        let manifests = [manifest(1, &["a", "b"]), manifest(2, &["c"]), manifest(3, &["a", "b"])];
        let chosen = newest(&manifests, &names(&["a", "b", "c", "d"]));
        assert_eq!(chosen, BTreeMap::from([(2, names(&["a", "b"])), (1, names(&["c"]))]));
    }

    #[test]
    fn the_last_of_each_live_job_stay() {
        let manifests =
            [manifest(1, &["a"]), manifest(2, &["b"]), manifest(3, &["a"]), manifest(4, &["a"]), manifest(5, &["c"])];
        let live = ["a", "b"].map(str::to_owned).into();
        assert_eq!(outdated(&manifests, &live, 2), [0, 4]);
        assert_eq!(outdated(&manifests, &live, 0), [0, 2, 4]);
        let runs = names(&["runs/1", "runs/4", "runs/9", "runs/10-4-0.run"]);
        let kept: Vec<&Manifest> = manifests[2..].iter().collect();
        assert_eq!(unnamed(&kept, runs.iter(), 9), names(&["runs/1", "runs/9"]));
    }

    #[test]
    fn what_sinks_keep_goes_with_the_job() {
        let kept = [manifest(1, &["a"])];
        let kept: Vec<&Manifest> = kept.iter().collect();
        let staged = names(&["sinks/a/1/x", "sinks/b/1/x", "sinks/c/2/y"]);
        assert_eq!(orphaned(&kept, &["b".to_owned()].into(), &staged), names(&["sinks/c/2/y"]));
    }

    #[test]
    fn what_comes_from_before_a_claim_counts_only_where_the_claim_names_it() {
        let claim = Claim::new(["manifests/00000001-000000000004.json".to_owned()].into());
        let stale = |path: &str| is_stale(path, 3, &claim);
        assert!(!stale("manifests/00000001-000000000004.json"));
        assert!(stale("manifests/00000001-000000000005.json"));
        assert!(stale("manifests/00000002-000000000001.json"));
        assert!(!stale("manifests/00000003-000000000001.json"));
    }
}
