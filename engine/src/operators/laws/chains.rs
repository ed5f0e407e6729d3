//! Random chains of two or three operators in the simulation: after insertions and retractions in random batches, on 1, 2
//! and 4 shards, the view at the end of the chain has the rows of the same chain as a query.
//!
//! Every link takes and gives the columns of [`rows`], so that any may follow any.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};

use super::cases::rows;
use super::harness::{Cells, Folded, cells_of, delta_of};
use super::oracle::{query, scalar};
use crate::expr::Scalar;
use crate::plan::{
    AggregateCall, AggregateFunction, ChangelogMode, Dataflow, Edge, Frame, FrameBound, FrameUnits, GroupAggregateSpec,
    Input, JoinKey, JoinKind, JoinSpec, MaterializeSpec, Node, NodeId, OperatorSpec, OverCall, OverEmit, OverFunction,
    OverSpec, Partitioning, RankEmit, RankFunction, RankSpec, RelationId, SortKey, StatelessSpec, Step, ViewSourceSpec,
};
use crate::runtime::{EngineConfig, JobPolicy, JobRequest, Simulation};
use crate::time::{ProcessingTime, VirtualClock};

const CHAINS: u64 = 60;
const LINKS: usize = 10;
const TABLES: [RelationId; 2] = [RelationId(1), RelationId(2)];
const VIEW: RelationId = RelationId(3);

/// Numbers that a seed decides.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::try_from(bound).unwrap()).unwrap()
    }
}

/// A dataflow that grows link by link, and the query that says the same.
struct Chain {
    nodes: Vec<Node>,
    sql: String,
    last: NodeId,
}

impl Chain {
    /// Both tables; the chain goes on from the first.
    fn new() -> Self {
        let mut chain = Self { nodes: Vec::new(), sql: "SELECT k, ts, v, b FROM t".into(), last: NodeId(0) };
        for (relation, name) in TABLES.into_iter().zip(["t", "u"]) {
            let spec = ViewSourceSpec { relation, name: name.into(), watermark: None };
            chain.add(OperatorSpec::ViewSource(spec), Vec::new(), &rows());
        }
        chain.last = NodeId(0);
        chain
    }

    fn add(&mut self, spec: OperatorSpec, inputs: Vec<Input>, schema: &Arc<Schema>) {
        self.last = NodeId(self.nodes.len());
        let changelog = ChangelogMode::Retract;
        let edge = Edge { schema: Arc::clone(schema), changelog, stream_key: None, time_column: None };
        self.nodes.push(Node { id: self.last, spec, inputs, edge });
    }

    fn of_last(&self, keys: &[usize]) -> Vec<Input> {
        let partitioning = if keys.is_empty() { Partitioning::Forward } else { Partitioning::Hash(keys.to_vec()) };
        vec![Input { from: self.last, partitioning }]
    }

    fn step(&mut self, step: Step) {
        let inputs = self.of_last(&[]);
        self.add(OperatorSpec::Stateless(StatelessSpec { steps: vec![step] }), inputs, &rows());
    }

    /// Columns of the last node, under the names of [`rows`].
    fn pick(&mut self, columns: [usize; 4]) {
        let schema = Arc::clone(&self.nodes[self.last.0].edge.schema);
        let exprs = columns.map(|column| Scalar::column(&schema, column)).to_vec();
        self.step(Step::Project { exprs, schema: rows() });
    }

    /// Adds the link of that number.
    fn link(&mut self, number: usize) {
        let inner = std::mem::take(&mut self.sql);
        self.sql = match number {
            0 => {
                self.step(Step::Filter(scalar("v > 1", &rows())));
                format!("SELECT * FROM ({inner}) WHERE v > 1")
            }
            1 => {
                let exprs = ["k", "ts", "v + 1", "b"].map(|text| scalar(text, &rows())).to_vec();
                self.step(Step::Project { exprs, schema: rows() });
                format!("SELECT k, ts, v + 1 AS v, b FROM ({inner})")
            }
            2 => self.group(&inner),
            3 => self.distinct(&inner),
            4 => self.top(&inner),
            5 => self.over(&inner),
            6 => {
                let inputs = [self.of_last(&[]), other(Partitioning::Forward)].concat();
                self.add(OperatorSpec::Union, inputs, &rows());
                format!("SELECT * FROM ({inner}) UNION ALL SELECT k, ts, v, b FROM u")
            }
            7 => self.join(JoinKind::Semi, &inner),
            8 => self.join(JoinKind::Anti, &inner),
            _ => self.join(JoinKind::Left, &inner),
        };
    }

    fn group(&mut self, inner: &str) -> String {
        let call = |function, column: usize| AggregateCall {
            function,
            args: vec![column],
            order_by: Vec::new(),
            distinct: false,
            filter: None,
            output: Arc::new(rows().field(column).clone()),
        };
        let calls =
            vec![call(AggregateFunction::Max, 1), call(AggregateFunction::Sum, 2), call(AggregateFunction::BoolOr, 3)];
        let spec = GroupAggregateSpec { keys: vec![0], calls, retracts: true, ttl_us: None, upserts: false };
        let inputs = self.of_last(&[0]);
        self.add(OperatorSpec::GroupAggregate(spec), inputs, &rows());
        format!("SELECT k, max(ts) AS ts, sum(v) AS v, max(b) AS b FROM ({inner}) GROUP BY k")
    }

    fn distinct(&mut self, inner: &str) -> String {
        let spec = GroupAggregateSpec {
            keys: vec![0, 1, 2, 3],
            calls: Vec::new(),
            retracts: true,
            ttl_us: None,
            upserts: false,
        };
        let inputs = self.of_last(&[0, 1, 2, 3]);
        self.add(OperatorSpec::GroupAggregate(spec), inputs, &rows());
        format!("SELECT DISTINCT * FROM ({inner})")
    }

    fn top(&mut self, inner: &str) -> String {
        let spec = RankSpec {
            function: RankFunction::RowNumber,
            partition: vec![0],
            order: by_all(),
            from: 2,
            to: 3,
            rank_column: None,
            retracts: true,
            ttl_us: None,
            emit: RankEmit::NetChange,
            window_end: None,
        };
        let inputs = self.of_last(&[0]);
        self.add(OperatorSpec::Rank(spec), inputs, &rows());
        let number = "row_number() OVER (PARTITION BY k ORDER BY v, ts, b) AS n";
        format!("SELECT k, ts, v, b FROM (SELECT *, {number} FROM ({inner})) WHERE n BETWEEN 2 AND 3")
    }

    fn over(&mut self, inner: &str) -> String {
        let frame = Frame { units: FrameUnits::Rows, start: FrameBound::Preceding(1), end: FrameBound::CurrentRow };
        let total = Arc::new(Field::new("total", DataType::Int64, true));
        let call = OverCall {
            function: OverFunction::Aggregate(AggregateFunction::Sum),
            args: vec![2],
            distinct: false,
            frame,
            filter: None,
            ignore_nulls: false,
            output: Arc::clone(&total),
        };
        let spec = OverSpec {
            partition: vec![0],
            order: by_all(),
            calls: vec![call],
            emit: OverEmit::NetChange,
            retracts: true,
        };
        let inputs = self.of_last(&[0]);
        let fields = rows().fields().iter().cloned().chain([total]).collect::<Vec<_>>();
        self.add(OperatorSpec::Over(spec), inputs, &Arc::new(Schema::new(fields)));
        self.pick([0, 1, 4, 3]);
        let window = "PARTITION BY k ORDER BY v, ts, b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW";
        format!("SELECT k, ts, sum(v) OVER ({window}) AS v, b FROM ({inner})")
    }

    fn join(&mut self, kind: JoinKind, inner: &str) -> String {
        let spec = JoinSpec {
            kind,
            keys: vec![JoinKey { left: 0, right: 0, null_equal: false }],
            residual: None,
            retracts: (true, true),
            null_aware: false,
            ttl_us: (None, None),
        };
        let inputs = [self.of_last(&[0]), other(Partitioning::Hash(vec![0]))].concat();
        let pairs = kind == JoinKind::Left;
        let schema = if pairs { super::joins::output(kind) } else { rows() };
        self.add(OperatorSpec::Join(spec), inputs, &schema);
        if pairs {
            // The value of the right side, which may be missing.
            self.pick([0, 1, 6, 3]);
            return format!("SELECT l.k, l.ts, r.v, l.b FROM ({inner}) AS l LEFT JOIN u AS r ON l.k = r.k");
        }
        let word = if kind == JoinKind::Semi { "SEMI" } else { "ANTI" };
        format!("SELECT l.k, l.ts, l.v, l.b FROM ({inner}) AS l LEFT {word} JOIN u AS r ON l.k = r.k")
    }

    fn job(mut self) -> (JobRequest, String) {
        let inputs = self.of_last(&[]);
        let spec = MaterializeSpec { relation: VIEW, name: "view".into(), replaces: false };
        self.add(OperatorSpec::Materialize(spec), inputs, &rows());
        (
            JobRequest {
                name: "chain".into(),
                dataflow: Arc::new(Dataflow { nodes: self.nodes }),
                policy: JobPolicy::default(),
            },
            self.sql,
        )
    }
}

/// The second table.
fn other(partitioning: Partitioning) -> Vec<Input> {
    vec![Input { from: NodeId(1), partitioning }]
}

/// All columns but the key: only equal rows are tied.
fn by_all() -> Vec<SortKey> {
    [2, 1, 3].map(|column| SortKey { column, descending: false, nulls_first: false }).to_vec()
}

/// A row of few values, so that rows are equal and keys meet.
fn random_row(random: &mut Random) -> Cells {
    let mut cell = |bound: usize, nulls: usize| match random.below(nulls) {
        0 => None,
        _ => Some(i64::try_from(random.below(bound)).unwrap()),
    };
    vec![cell(3, 10), cell(4, 20), cell(5, 6), cell(2, 6)]
}

/// A batch for a table: new rows, and some that go, of the table or of the batch itself.
fn random_batch(table: &mut Vec<Cells>, random: &mut Random) -> Vec<(bool, Cells)> {
    let mut batch = Vec::new();
    for _ in 0..random.below(9) {
        if !table.is_empty() && random.below(3) == 0 {
            let gone = table.swap_remove(random.below(table.len()));
            batch.push((true, gone));
        } else {
            let row = random_row(random);
            table.push(row.clone());
            batch.push((false, row));
        }
    }
    batch
}

/// The rows of the view.
fn folded(simulation: &Simulation) -> Folded {
    let snapshot = simulation.snapshot();
    let mut folded = Folded::new();
    for version in &snapshot.views.get(&VIEW).unwrap().shards {
        for cells in version.scan(&[0, 1, 2, 3]).unwrap().iter().flat_map(cells_of) {
            *folded.entry(cells).or_default() += 1;
        }
    }
    folded
}

fn hold(seed: u64) {
    let mut random = Random(seed);
    let mut chain = Chain::new();
    let links: Vec<usize> = (0..2 + random.below(2)).map(|_| random.below(LINKS)).collect();
    links.iter().for_each(|&link| chain.link(link));
    let (job, sql) = chain.job();
    let shards = [1, 2, 4][random.below(3)];
    let config = EngineConfig { shards, epoch_interval_ms: 1, batch_rows: 3, ..EngineConfig::default() };
    let clock = Arc::new(VirtualClock::new(ProcessingTime(0)));
    let mut simulation = Simulation::new(config, clock, seed);
    for (relation, name) in TABLES.into_iter().zip(["t", "u"]) {
        simulation.create_table(relation, name, rows()).unwrap();
    }
    let mut tables = [Vec::new(), Vec::new()];
    // Some rows may be there before the chain.
    let begins_at = random.below(3);
    for step in 0..12 {
        if step == begins_at {
            simulation.submit(&job).unwrap();
        }
        let at = random.below(2);
        let batch = random_batch(&mut tables[at], &mut random);
        simulation.insert(TABLES[at], delta_of(&rows(), &batch)).unwrap();
        if step % 4 == 3 {
            simulation.flush().unwrap();
            let whole = |row: &Cells| [vec![Some(0)], row.clone(), vec![Some(0)]].concat();
            let all = tables.each_ref().map(|table| table.iter().map(whole).collect());
            let failed: Vec<_> = simulation.jobs().into_iter().filter_map(|job| job.error).collect();
            assert!(failed.is_empty(), "seed {seed}: {failed:?}: {sql}");
            assert_eq!(folded(&simulation), query(&sql, &all), "seed {seed}, {shards} shards, step {step}: {sql}");
        }
    }
}

#[test]
fn random_chains_keep_the_laws() {
    (0..CHAINS).for_each(hold);
}
