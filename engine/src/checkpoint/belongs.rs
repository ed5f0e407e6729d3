//! [`Belongs`]: to which rows of its input a row of an operator's state belongs.
//!
//! Operators write their state as named tables ([`OperatorState`](crate::operators::OperatorState)); what the tables of each
//! operator hold is told here in one place, so that state can be cut by key without its operator.

use crate::plan::OperatorSpec;

/// What the rows of a table of state belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belongs {
    /// Column `i` of the table is column `columns[i]` of the rows of `port`.
    Key {
        /// The input.
        port: usize,
        /// Its columns.
        columns: Vec<usize>,
    },
    /// The table's first columns are the rows of this input.
    Rows(usize),
    /// Row `i` belongs to row `i` of this table.
    Beside(String),
    /// The first column, of `UInt32`, tells the row of this table.
    Of(String),
    /// Row `i` stands for all tables whose names begin with `i/`. Its columns, in microseconds, are these columns of the
    /// rows, where there are such.
    Prefixes(Option<[usize; 2]>),
    /// Numbers that are the same on every shard: a watermark, a count of which the greatest counts.
    Shared,
}

/// What the rows of a table belong to. `None`: the operator has no such table, or it is one of form 1 that cannot be cut: of
/// windows whose results are replaced.
pub fn belongs(spec: &OperatorSpec, table: &str) -> Option<Belongs> {
    match spec {
        OperatorSpec::Source(_)
        | OperatorSpec::ViewSource(_)
        | OperatorSpec::Stateless(_)
        | OperatorSpec::Union
        | OperatorSpec::LookupJoin(_)
        | OperatorSpec::Sink(_) => None,
        OperatorSpec::Materialize(_) => (table == "rows").then_some(Belongs::Rows(0)),
        OperatorSpec::GroupAggregate(spec) => match table {
            "rows" | "touched" => Some(Belongs::Beside("keys".into())),
            _ => keyed("", &spec.keys, table),
        },
        OperatorSpec::WindowAggregate(spec) => windowed(spec, table),
        OperatorSpec::SessionAggregate(spec) => match table {
            "sessions" => Some(Belongs::Key { port: 0, columns: spec.keys.clone() }),
            "times" => Some(Belongs::Shared),
            _ => accumulated("", "sessions", table),
        },
        // Sessions that are revised keep their rows alone.
        OperatorSpec::SessionAssign(spec) if spec.retracts || spec.emit.updates() => match table {
            "rows" => Some(Belongs::Rows(0)),
            "times" => Some(Belongs::Shared),
            _ => None,
        },
        OperatorSpec::SessionAssign(spec) => match table {
            "sessions" => Some(Belongs::Key { port: 0, columns: spec.keys.clone() }),
            "times" => Some(Belongs::Shared),
            "of" => Some(Belongs::Of("sessions".into())),
            "rows" => Some(Belongs::Beside("of".into())),
            _ => None,
        },
        OperatorSpec::MultiJoin(spec) => {
            let port = (0..spec.keys.len()).find(|port| input_table(*port) == table)?;
            Some(Belongs::Rows(port))
        }
        OperatorSpec::Join(_)
        | OperatorSpec::IntervalJoin(_)
        | OperatorSpec::TemporalJoin(_)
        | OperatorSpec::CurrentJoin(_)
        | OperatorSpec::WindowJoin(_) => joined(table),
        OperatorSpec::Rank(spec) => match table {
            "rows" => Some(Belongs::Rows(0)),
            "keys" | "done" => Some(Belongs::Key { port: 0, columns: spec.partition.clone() }),
            "times" => Some(Belongs::Shared),
            _ => None,
        },
        OperatorSpec::Over(spec) => match table {
            "rows" | "waiting" => Some(Belongs::Rows(0)),
            "times" | "arrived" => Some(Belongs::Shared),
            "counts" => Some(Belongs::Beside("keys".into())),
            "kept" => Some(Belongs::Of("keys".into())),
            "keys" => Some(Belongs::Key { port: 0, columns: spec.partition.clone() }),
            _ => {
                let (prefix, rest) = table.split_once('.')?;
                accumulated("", "keys", rest).filter(|_| prefix.starts_with("running"))
            }
        },
    }
}

/// The tables of groups with accumulators.
fn keyed(prefix: &str, keys: &[usize], table: &str) -> Option<Belongs> {
    if table.strip_prefix(prefix)? == "keys" {
        return Some(Belongs::Key { port: 0, columns: keys.to_vec() });
    }
    accumulated(prefix, &format!("{prefix}keys"), table)
}

/// The tables of an aggregate set beside their table of keys.
fn accumulated(prefix: &str, keys: &str, table: &str) -> Option<Belongs> {
    match table.strip_prefix(prefix)? {
        "calls" => Some(Belongs::Beside(keys.to_owned())),
        rest if rest.starts_with("distinct") => Some(Belongs::Of(keys.to_owned())),
        _ => None,
    }
}

fn windowed(spec: &crate::plan::WindowAggregateSpec, table: &str) -> Option<Belongs> {
    match table {
        "windows" => Some(Belongs::Prefixes(match spec.window {
            crate::plan::WindowInput::Assign { .. } => None,
            // Windows whose results are replaced are in the order of their ends.
            crate::plan::WindowInput::Attached { start, end } if spec.emit.updates() => Some([end, start]),
            crate::plan::WindowInput::Attached { start, end } => Some([start, end]),
        })),
        "times" => Some(Belongs::Shared),
        _ => {
            let (prefix, rest) = table.split_once('/')?;
            let keys = || format!("{prefix}/keys");
            match rest {
                "emitted" => Some(Belongs::Beside(keys())),
                "dirty" | "results" => Some(Belongs::Of(keys())),
                _ => keyed(&format!("{prefix}/"), &spec.keys, table),
            }
        }
    }
}

/// The window whose number a table's name begins with, and the rest of the name.
pub fn split_prefix(table: &str) -> Option<(usize, &str)> {
    let (window, rest) = table.split_once('/')?;
    Some((window.parse().ok()?, rest))
}

/// The name of the table with the rows of an input of a join of several.
pub fn input_table(port: usize) -> String {
    format!("input{port}")
}

fn joined(table: &str) -> Option<Belongs> {
    match table {
        "left" => Some(Belongs::Rows(0)),
        "right" => Some(Belongs::Rows(1)),
        "left_state" | "left_matched" | "left_deleted" => Some(Belongs::Beside("left".into())),
        "right_state" | "right_matched" | "right_deleted" => Some(Belongs::Beside("right".into())),
        "times" | "ended" => Some(Belongs::Shared),
        _ => None,
    }
}
