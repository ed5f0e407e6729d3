//! Tests of checkpoints as stored: runs, manifests, the archive, and state that moves between shards.
