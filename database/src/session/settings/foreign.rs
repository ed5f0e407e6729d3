//! Options of Flink that its scripts set and that have no counterpart here: they are taken with a notice, so that the
//! script runs. An option that would change what a query gives is not among them.

/// Families of options, by how their names begin, and why they mean nothing here.
const FAMILIES: [(&str, &str); 27] = [
    ("sql-client.", "it is for Flink's own client"),
    ("sql-gateway.", "it is for Flink's own gateway"),
    ("pipeline.", JOB),
    ("parallelism.", SHARDS),
    ("table.exec.resource.", SHARDS),
    ("taskmanager.", PROCESS),
    ("jobmanager.", PROCESS),
    ("cluster.", PROCESS),
    ("rest.", PROCESS),
    ("heartbeat.", PROCESS),
    ("high-availability", PROCESS),
    ("metrics.", "metrics are served at /metrics"),
    ("classloader.", PROCESS),
    ("env.java.", PROCESS),
    ("yarn.", PROCESS),
    ("kubernetes.", PROCESS),
    ("python.", "there are no functions in Python"),
    ("state.backend", STATE),
    ("state.checkpoints.", STATE),
    ("state.savepoints.", STATE),
    ("execution.checkpointing.", "checkpoints are set up for the server"),
    ("table.exec.mini-batch.", BATCHES),
    ("table.optimizer.", PLANNER),
    ("table.exec.async-", "look-ups wait for no row but their own"),
    ("table.exec.window-agg.", BATCHES),
    ("table.exec.sort.", "queries spill as query-memory says"),
    ("table.exec.uid.", "operators are found again by what they compute"),
];

/// Single options, and why they mean nothing here.
const NAMES: [(&str, &str); 21] = [
    ("table.dml-sync", "an INSERT from input that ends answers when it is done, another one when it runs"),
    ("table.plan.compile.catalog-objects", PLANNER),
    ("table.plan.restore.catalog-objects", PLANNER),
    ("table.plan.force-recompile", PLANNER),
    ("table.generated-code.max-length", "no code is generated"),
    ("table.exec.shuffle-mode", BATCHES),
    ("table.exec.spill-compression.enabled", "queries spill as query-memory says"),
    ("table.exec.spill-compression.block-size", "queries spill as query-memory says"),
    ("table.exec.simplify-operator-name-enabled", PLANNER),
    ("table.exec.operator-fusion-codegen.enabled", "no code is generated"),
    ("table.exec.deduplicate.insert-update-after-sensitive-enabled", BATCHES),
    ("table.exec.deduplicate.mini-batch.compact-changes-enabled", BATCHES),
    ("table.exec.rank.topn-cache-size", "a Top-N keeps its rows in memory"),
    ("table.exec.sink.upsert-materialize", "sinks are given the net change of each key"),
    ("table.exec.sink.keyed-shuffle", "rows go by their key to the sink"),
    ("table.exec.source.cdc-events-duplicate", "changelogs are read as they are"),
    ("execution.attached", PROCESS),
    ("execution.target", PROCESS),
    ("execution.shutdown-on-attached-exit", PROCESS),
    ("execution.buffer-timeout", BATCHES),
    ("execution.batch-shuffle-mode", BATCHES),
];

const PROCESS: &str = "there is one process, set up when it starts";
const SHARDS: &str = "all work is spread over the shards of the server";
const STATE: &str = "where state is kept is set up for the server";
const BATCHES: &str = "rows always go in batches, and an epoch's changes come out together";
const PLANNER: &str = "plans are made by a planner of another kind";
const JOB: &str = "jobs are named after what they do";

/// Why an option of Flink means nothing here; `None` where it is no such option.
pub(super) fn meaningless(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let single = NAMES.iter().find(|(known, _)| *known == lower);
    let family = || FAMILIES.iter().find(|(start, _)| lower.starts_with(start));
    single.or_else(family).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::super::known::{alias, all};
    use super::meaningless;

    #[test]
    fn no_setting_of_our_own_is_meaningless() {
        for known in all() {
            assert_eq!(meaningless(known.name), None, "{}", known.name);
        }
        assert!(alias("table.local-time-zone").is_some());
    }

    #[test]
    fn families_and_names() {
        assert!(meaningless("SQL-client.execution.result-mode").is_some());
        assert!(meaningless("table.exec.mini-batch.enabled").is_some());
        assert!(meaningless("table.dml-sync").is_some());
        // These change what a query gives: to take them in silence would be wrong.
        for name in ["execution.savepoint.path", "table.exec.sink.not-null-enforcer", "table.sql-dialect", "a"] {
            assert_eq!(meaningless(name), None, "{name}");
        }
    }
}
