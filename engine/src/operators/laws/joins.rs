//! Joins under law: every kind over every pair of changelogs, with duplicates, nulls and residual conditions.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::cases::{Case, rows};
use super::harness::{Cells, Harness, Times, delta_of};
use super::oracle::scalar;
use crate::plan::{
    AsofMatch, CurrentJoinSpec, IntervalJoinSpec, JoinKey, JoinKind, JoinSpec, MultiJoinSpec, OperatorSpec,
    TemporalJoinSpec,
};

/// All kinds.
const KINDS: [JoinKind; 7] =
    [JoinKind::Inner, JoinKind::Left, JoinKind::Right, JoinKind::Full, JoinKind::Semi, JoinKind::Anti, JoinKind::Mark];

fn named(prefix: &str) -> Vec<Field> {
    let name = |field: &Arc<Field>| field.as_ref().clone().with_name(prefix.to_owned() + field.name());
    rows().fields().iter().map(name).collect()
}

/// The left columns, then the right.
pub(super) fn pairs() -> SchemaRef {
    Arc::new(Schema::new([named("l_"), named("r_")].concat()))
}

/// The columns that come out of a join.
pub(super) fn output(kind: JoinKind) -> SchemaRef {
    match kind {
        JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => pairs(),
        JoinKind::Semi | JoinKind::Anti => Arc::new(Schema::new(named("l_"))),
        JoinKind::Mark => {
            let mark = Field::new("mark", DataType::Boolean, false);
            Arc::new(Schema::new([named("l_"), vec![mark]].concat()))
        }
    }
}

/// The query of a join of `left` (as `l`) and `right` (as `r`) on a condition.
pub(super) fn query(kind: JoinKind, left: &str, right: &str, on: &str) -> String {
    let columns = |side: &str| ["k", "ts", "v", "b"].map(|name| format!("{side}.{name}")).join(", ");
    let (l, r) = (columns("l"), columns("r"));
    let join =
        |columns: &str, word: &str| format!("SELECT {columns} FROM {left} AS l {word} JOIN {right} AS r ON {on}");
    match kind {
        JoinKind::Inner => join(&format!("{l}, {r}"), ""),
        JoinKind::Left => join(&format!("{l}, {r}"), "LEFT"),
        JoinKind::Right => join(&format!("{l}, {r}"), "RIGHT"),
        JoinKind::Full => join(&format!("{l}, {r}"), "FULL"),
        JoinKind::Semi => join(&l, "LEFT SEMI"),
        JoinKind::Anti => join(&l, "LEFT ANTI"),
        JoinKind::Mark => {
            let of = |word: &str, mark: &str| join(&format!("{l}, {mark} AS mark"), word);
            format!("{} UNION ALL {}", of("LEFT SEMI", "true"), of("LEFT ANTI", "false"))
        }
    }
}

/// How the keys of a join are compared.
#[derive(Debug, Clone, Copy)]
enum On {
    Nothing,
    Key,
    KeyWithNulls,
    KeyAndFlag,
}

fn join(kind: JoinKind, on: On, residual: bool, retracts: (bool, bool)) -> Case {
    let key = |column, null_equal| JoinKey { left: column, right: column, null_equal };
    let (keys, sql) = match on {
        On::Nothing => (Vec::new(), "true"),
        On::Key => (vec![key(0, false)], "l.k = r.k"),
        On::KeyWithNulls => (vec![key(0, true)], "(l.k IS NOT DISTINCT FROM r.k)"),
        On::KeyAndFlag => (vec![key(0, true), key(3, false)], "(l.k IS NOT DISTINCT FROM r.k) AND l.b = r.b"),
    };
    let and = if residual { " AND l.v < r.v" } else { "" };
    let either = retracts != (false, false);
    Case {
        name: format!("join {kind:?} on {on:?} residual {residual} retracts {retracts:?}"),
        spec: OperatorSpec::Join(JoinSpec {
            kind,
            keys,
            residual: residual.then(|| scalar("l_v < r_v", &pairs())),
            retracts,
            null_aware: false,
            ttl_us: (None, None),
        }),
        inputs: vec![rows(), rows()],
        output: output(kind),
        times: Times::None,
        result: query(kind, "t", "u", &(sql.to_owned() + and)),
        late: None,
        retracts: either,
    }
}

/// `l.k NOT IN (SELECT k FROM u)`.
fn not_in(retracts: bool) -> Case {
    Case {
        name: format!("join not in retracts {retracts}"),
        spec: OperatorSpec::Join(JoinSpec {
            kind: JoinKind::Anti,
            keys: vec![JoinKey { left: 0, right: 0, null_equal: false }],
            residual: None,
            retracts: (retracts, retracts),
            null_aware: true,
            ttl_us: (None, None),
        }),
        inputs: vec![rows(), rows()],
        output: output(JoinKind::Anti),
        times: Times::None,
        result: "SELECT l.k, l.ts, l.v, l.b FROM t AS l LEFT JOIN (SELECT DISTINCT k FROM u) AS d ON l.k = d.k \
             CROSS JOIN (SELECT count(*) AS rows, count(k) AS keys FROM u) AS n \
             WHERE n.rows = 0 OR (n.rows = n.keys AND l.k IS NOT NULL AND d.k IS NULL)"
            .into(),
        late: None,
        retracts,
    }
}

/// Regular joins.
pub(super) fn regular() -> Vec<Case> {
    let mut cases = vec![not_in(false), not_in(true)];
    for kind in KINDS {
        for retracts in [(false, false), (true, true)] {
            cases.push(join(kind, On::Key, false, retracts));
            cases.push(join(kind, On::Key, true, retracts));
        }
        cases.push(join(kind, On::Nothing, true, (true, true)));
        cases.push(join(kind, On::KeyWithNulls, false, (true, true)));
        cases.push(join(kind, On::KeyAndFlag, true, (true, true)));
    }
    cases
}

/// Joins of three inputs, on one key and on two in different places.
pub(super) fn multi() -> Vec<Case> {
    let on = |columns: [&str; 2]| {
        let equal =
            |left: &str, right: &str| columns.map(|column| format!("{left}.{column} = {right}.{column}")).join(" AND ");
        format!("FROM t AS l JOIN u AS r ON {} JOIN x AS o ON {}", equal("l", "r"), equal("r", "o"))
    };
    let case = |keys: Vec<Vec<usize>>, from: String| {
        let columns = vec![(2, 1), (0, 0), (0, 1), (1, 2), (2, 3)];
        let fields = columns.iter().map(|&(_, column)| rows().field(column).clone());
        let named = fields.enumerate().map(|(at, field)| field.with_name(format!("c{at}")));
        Case {
            name: format!("join of three on {keys:?}"),
            output: Arc::new(Schema::new(named.collect::<Vec<Field>>())),
            spec: OperatorSpec::MultiJoin(MultiJoinSpec { keys, columns }),
            inputs: vec![rows(), rows(), rows()],
            times: Times::None,
            result: format!("SELECT o.ts, l.k, l.ts, r.v, o.b {from}"),
            late: None,
            retracts: false,
        }
    };
    vec![case(vec![vec![0]; 3], on(["k", "k"])), case(vec![vec![3, 0]; 3], on(["k", "b"]))]
}

/// Regular joins of an input that retracts with one that does not.
pub(super) fn half_retracting(port: usize) -> Vec<Case> {
    let retracts = (port == 0, port == 1);
    KINDS.iter().map(|kind| join(*kind, On::Key, *kind == JoinKind::Full, retracts)).collect()
}

/// `l.ts BETWEEN r.ts + lower AND r.ts + upper`, in milliseconds.
fn interval(kind: JoinKind, (lower, upper): (i64, i64), keyed: bool, residual: bool) -> Case {
    let in_time = |table: &str| format!("(SELECT * FROM {table} WHERE ts >= w)");
    let by_key = if keyed { " AND l.k = r.k" } else { "" };
    let and = if residual { " AND l.v < r.v" } else { "" };
    let on = format!("l.ts >= r.ts + ({lower}) AND l.ts <= r.ts + ({upper}){by_key}{and}");
    let late = |table: &str| format!("SELECT id FROM {table} WHERE ts < w");
    Case {
        name: format!("interval join {kind:?} {lower} to {upper} keyed {keyed} residual {residual}"),
        spec: OperatorSpec::IntervalJoin(IntervalJoinSpec {
            kind,
            keys: if keyed { vec![JoinKey { left: 0, right: 0, null_equal: false }] } else { Vec::new() },
            left_time: 1,
            right_time: 1,
            lower_us: lower * 1_000,
            upper_us: upper * 1_000,
            residual: residual.then(|| scalar("l_v < r_v", &pairs())),
        }),
        inputs: vec![rows(), rows()],
        output: output(kind),
        times: match kind {
            JoinKind::Inner | JoinKind::Left | JoinKind::Right | JoinKind::Full => Times::NoneBefore(vec![1, 5]),
            JoinKind::Semi | JoinKind::Anti | JoinKind::Mark => Times::NotBefore(1),
        },
        result: query(kind, &in_time("t"), &in_time("u"), &on),
        late: Some(format!("SELECT count(*) FROM ({} UNION ALL {})", late("t"), late("u"))),
        retracts: false,
    }
}

/// Interval joins.
pub(super) fn intervals() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in KINDS {
        cases.push(interval(kind, (0, 8), true, false));
        cases.push(interval(kind, (3, 6), true, false));
        cases.push(interval(kind, (-20, -4), true, true));
        cases.push(interval(kind, (-3, 3), false, true));
    }
    cases
}

/// Each row of `t` with the last row of `u` of its key up to its time.
fn temporal(kind: JoinKind, asof: AsofMatch, residual: bool) -> Case {
    let compared = match asof {
        AsofMatch::AtOrBefore => "r.ts <= l.ts",
        AsofMatch::Before => "r.ts < l.ts",
        AsofMatch::AtOrAfter => "r.ts >= l.ts",
        AsofMatch::After => "r.ts > l.ts",
    };
    let nearest = match asof {
        AsofMatch::AtOrBefore | AsofMatch::Before => "DESC",
        AsofMatch::AtOrAfter | AsofMatch::After => "ASC",
    };
    let versions = format!(
        "(SELECT * FROM (SELECT l.id AS lid, r.*, row_number() OVER (PARTITION BY l.id ORDER BY r.ts {nearest}, r.id DESC) AS n \
         FROM t AS l JOIN u AS r ON l.k = r.k AND {compared}) WHERE n = 1)"
    );
    let and = if residual { " AND l.v < r.v" } else { "" };
    Case {
        name: format!("temporal join {kind:?} {asof:?} residual {residual}"),
        spec: OperatorSpec::TemporalJoin(TemporalJoinSpec {
            kind,
            keys: vec![JoinKey { left: 0, right: 0, null_equal: false }],
            left_time: 1,
            right_time: 1,
            asof,
            residual: residual.then(|| scalar("l_v < r_v", &pairs())),
        }),
        inputs: vec![rows(), rows()],
        output: output(kind),
        times: Times::NotBefore(1),
        result: query(kind, "t", &versions, &format!("l.id = r.lid{and}")),
        late: None,
        retracts: false,
    }
}

/// Temporal joins.
pub(super) fn temporals() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [JoinKind::Inner, JoinKind::Left] {
        for asof in [AsofMatch::AtOrBefore, AsofMatch::Before, AsofMatch::AtOrAfter, AsofMatch::After] {
            cases.push(temporal(kind, asof, false));
            cases.push(temporal(kind, asof, true));
        }
    }
    cases
}

/// Each row of `t` with the rows of `u` of its key, once `u` has ended.
fn current(kind: JoinKind, residual: bool, retracts: bool) -> Case {
    let and = if residual { " AND l.v < r.v" } else { "" };
    Case {
        name: format!("current join {kind:?} residual {residual} retracts {retracts}"),
        spec: OperatorSpec::CurrentJoin(CurrentJoinSpec {
            kind,
            keys: vec![JoinKey { left: 0, right: 0, null_equal: false }],
            residual: residual.then(|| scalar("l_v < r_v", &pairs())),
            right_retracts: retracts,
            right_ends: true,
        }),
        inputs: vec![rows(), rows()],
        output: output(kind),
        times: Times::None,
        result: query(kind, "t", "u", &format!("l.k = r.k{and}")),
        late: None,
        retracts,
    }
}

/// Joins with what a table holds.
pub(super) fn currents() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in [JoinKind::Inner, JoinKind::Left] {
        for retracts in [false, true] {
            cases.push(current(kind, false, retracts));
            cases.push(current(kind, true, retracts));
        }
    }
    cases
}

/// Every join.
pub(super) fn all() -> impl Iterator<Item = Case> {
    [regular(), multi(), half_retracting(0), half_retracting(1), intervals(), temporals(), currents()]
        .into_iter()
        .flatten()
}

/// Enough rows that stores are compacted, batches are full and one key has many pairs.
#[test]
fn joins_of_many_rows_are_compacted_and_cut() {
    for kind in [JoinKind::Full, JoinKind::Mark] {
        let case = join(kind, On::Key, true, (true, true));
        let mut harness = Harness::new(case.spec.clone(), &case.inputs, &case.output, case.times.clone());
        // Rows of one key but for a few; each third stays. `v` is 0 or 1, and so 1 in 4 pairs is one.
        let row = |id: i64, span: i64| vec![Some(i64::from(id % 50 == 0)), Some(id), Some(id / span % 2), Some(0)];
        let (left, right): (Vec<Cells>, Vec<Cells>) =
            ((0..3_000).map(|id| row(id, 1)).collect(), (0..20).map(|id| row(id, 2)).collect());
        let signed = |rows: &[Cells], retract| rows.iter().cloned().map(|row| (retract, row)).collect::<Vec<_>>();
        harness.delta(0, delta_of(&rows(), &signed(&left, false))).unwrap();
        harness.barrier().unwrap();
        harness.delta(1, delta_of(&rows(), &signed(&right, false))).unwrap();
        harness.barrier().unwrap();
        for gone in left.chunks(3).map(|three| &three[1..]).collect::<Vec<_>>().chunks(500) {
            harness.delta(0, delta_of(&rows(), &signed(&gone.concat(), true))).unwrap();
            harness.barrier().unwrap();
        }
        harness.restart().unwrap();
        harness.delta(1, delta_of(&rows(), &signed(&right[10..], true))).unwrap();
        harness.end().unwrap();
        let numbered = |row: &Cells| [vec![Some(0)], row.clone(), vec![Some(0)]].concat();
        let kept = left.chunks(3).map(|three| numbered(&three[0])).collect();
        let tables = [kept, right[..10].iter().map(numbered).collect()];
        assert!(harness.folded == super::oracle::query(&case.result, &tables), "{}", case.name);
    }
}
