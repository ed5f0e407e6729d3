//! Lowering: from a bound query to the dataflow that keeps its result up to date.
//!
//! The plan is optimised with a chosen list of rules (`optimise`), the children of ROW columns that it reads are found
//! (`uses`), then it is walked from its scans up. What is known of the rows on the way (`rel`: changelog mode, stream key,
//! event time, window columns, partitioning) decides which operator serves: `scan`, `row` for filters and projections,
//! `window`, `aggregate`, `join`. Equal sub-plans become one node.

mod aggregate;
mod calls;
mod chain;
mod columns;
mod fence;
mod finish;
mod grouping_sets;
mod interval;
mod join;
mod lookup;
mod optimise;
mod over;
mod rank;
mod rel;
mod row;
mod scan;
mod share;
mod temporal;
mod unnest;
mod uses;
mod window;
mod window_join;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};
use millstream_engine::expr::Scalar;
use millstream_engine::plan::{
    ChangelogMode, Dataflow, Edge, Input, Node, NodeId, OperatorSpec, Partitioning, StatelessSpec, Step,
};

use self::rel::Rel;
use self::uses::Uses;
use crate::api::{Opener, Target};
use crate::bound::BoundQuery;
use crate::error::{Result, SqlError, SqlState};
use crate::query::nodes::{StateTtl, Watermark, WindowTvf};
use crate::query::temporal::TemporalJoin;
use crate::query::unnest::Unnest;

/// Turns bound queries into one dataflow with a target for each; what several of them read or compute is there once.
///
/// # Errors
/// Where the streaming runtime cannot do a part of it, or a target does not take what comes out.
pub(crate) fn lower(queries: Vec<(&BoundQuery, Target)>, opener: &dyn Opener) -> Result<Dataflow> {
    let optimised =
        |(query, _): &(&BoundQuery, Target)| optimise::optimise(&query.plan, query.streaming.filter_above_state);
    let plans = queries.iter().map(optimised).collect::<Result<Vec<_>>>()?;
    let plans = share::shared(plans)?;
    let mut lowering = Lowering {
        opener,
        uses: Uses::of(&plans),
        nodes: Vec::new(),
        known: HashMap::new(),
        state_ttl_us: None,
        idle_timeout_us: None,
        now: HashSet::new(),
    };
    for ((query, target), plan) in queries.into_iter().zip(&plans) {
        lowering.state_ttl_us = query.streaming.state_ttl_us.filter(|ttl| *ttl > 0);
        lowering.idle_timeout_us = query.streaming.idle_timeout_us;
        let rel = lowering.plan(plan)?;
        let rel = lowering.rename(rel, &query.schema);
        lowering.finish(rel, target)?;
    }
    Ok(Dataflow { nodes: lowering.nodes })
}

/// The dataflow in the making.
struct Lowering<'a> {
    opener: &'a dyn Opener,
    uses: Uses,
    nodes: Vec<Node>,
    /// Sub-plans that have their node.
    known: HashMap<LogicalPlan, Rel>,
    /// Keys that are not touched for so long are forgotten.
    state_ttl_us: Option<i64>,
    /// Splits of tables that say nothing themselves no longer hold the watermark back after so long without a row.
    idle_timeout_us: Option<i64>,
    /// The nodes that give a view or table of ours as it is now, and then end.
    now: HashSet<NodeId>,
}

impl Lowering<'_> {
    /// The rows of a plan.
    fn plan(&mut self, plan: &LogicalPlan) -> Result<Rel> {
        if let Some(known) = self.known.get(plan) {
            return Ok(known.clone());
        }
        let rel = self.new_plan(plan)?;
        // Only what has a node of its own is worth sharing; steps on top of it are cheap.
        if rel.steps.is_empty() {
            self.known.insert(plan.clone(), rel.clone());
        }
        Ok(rel)
    }

    fn new_plan(&mut self, plan: &LogicalPlan) -> Result<Rel> {
        if let Some(watermark) = Watermark::of(plan) {
            return self.watermark(watermark);
        }
        if let Some(tvf) = WindowTvf::of(plan) {
            return self.window_tvf(tvf);
        }
        if let Some(join) = TemporalJoin::of(plan) {
            return self.temporal_join(join);
        }
        if let Some(unnest) = Unnest::of(plan) {
            return self.unnest(unnest);
        }
        if let Some(ttl) = StateTtl::of(plan) {
            let rel = self.plan(&ttl.input)?;
            return Ok(Rel { ttl_us: Some(ttl.ttl_us), ..rel });
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan(plan, scan),
            LogicalPlan::SubqueryAlias(alias) => self.plan(&alias.input),
            LogicalPlan::Projection(projection) => {
                let input = match unaliased(&projection.input) {
                    LogicalPlan::Filter(filter) => {
                        let read = rank::read_by(&projection.expr, projection.input.schema());
                        self.top_n(filter, Some(&read))?
                    }
                    _ => None,
                };
                let rel = match input {
                    Some(rel) => rel,
                    None => self.plan(&projection.input)?,
                };
                row::project(rel, &projection.expr, projection.input.schema(), &projection.schema)
            }
            LogicalPlan::Filter(filter) => {
                if let Some(rel) = self.top_n(filter, None)? {
                    return Ok(rel);
                }
                let mut rel = self.plan(&filter.input)?;
                rel.steps.push(Step::Filter(Scalar::compile(&filter.predicate, filter.input.schema())?));
                Ok(rel)
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(Distinct::All(input)) => self.distinct(input, plan.schema()),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::EmptyRelation(empty) => self.empty(empty),
            LogicalPlan::Values(values) => self.values(values),
            LogicalPlan::Distinct(Distinct::On(_)) => Err(refuse("DISTINCT ON", None)),
            // The rows of a view have no order: who reads it gives one.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.plan(&sort.input),
            LogicalPlan::Sort(_) => Err(broken("a sort with a limit of its own")),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Window(window) => self.over(window),
            LogicalPlan::Unnest(unnest) => self.unnested_columns(unnest),
            LogicalPlan::Subquery(_) => Err(refuse("a subquery in an expression", None)),
            LogicalPlan::RecursiveQuery(_) => Err(refuse("WITH RECURSIVE", None)),
            other => Err(refuse(&format!("the plan node {}", other.display()), None)),
        }
    }

    /// All rows of all inputs.
    fn union(&mut self, union: &datafusion::logical_expr::Union) -> Result<Rel> {
        let mut inputs = Vec::with_capacity(union.inputs.len());
        let (mut changelog, mut times) = (ChangelogMode::Append, Vec::new());
        for input in &union.inputs {
            let rel = self.plan(input)?;
            if rel.changelog == ChangelogMode::Retract {
                changelog = ChangelogMode::Retract;
            }
            times.push(rel.time_column);
            let from = self.settle(rel);
            inputs.push(Input { from, partitioning: Partitioning::Forward });
        }
        let schema = Arc::clone(union.schema.inner());
        let same_time = times.windows(2).all(|pair| pair.first() == pair.last());
        let mut rel = Rel::new(NodeId(0), schema);
        rel.changelog = changelog;
        rel.time_column = times.first().copied().flatten().filter(|_| same_time);
        Ok(self.node(OperatorSpec::Union, inputs, rel))
    }

    /// Adds a node; `rel` tells what comes out of it.
    fn node(&mut self, spec: OperatorSpec, inputs: Vec<Input>, mut rel: Rel) -> Rel {
        let id = NodeId(self.nodes.len());
        rel.node = id;
        self.nodes.push(Node { id, spec, inputs, edge: rel.edge() });
        rel
    }

    /// How long state over rows is kept: what a hint says, else what the query says.
    fn ttl_us(&self, rel: &Rel) -> Option<i64> {
        rel.ttl_us.or(self.state_ttl_us).filter(|ttl| *ttl > 0)
    }

    /// The node that gives the rows, with the steps on top of it done.
    fn settle(&mut self, mut rel: Rel) -> NodeId {
        if rel.steps.is_empty() {
            return rel.node;
        }
        let steps = std::mem::take(&mut rel.steps);
        let inputs = vec![Input { from: rel.node, partitioning: Partitioning::Forward }];
        self.node(OperatorSpec::Stateless(StatelessSpec { steps }), inputs, rel).node
    }

    /// An input whose rows with equal `keys` are on one shard; all on one where there are none.
    fn exchange(&mut self, rel: Rel, keys: &[usize]) -> Input {
        // Only the same keys in the same order: what comes out is then known to lie as if it had been exchanged, and rows of
        // another input that are exchanged by equal keys meet it.
        let there = rel.spread == window::spread(keys);
        let partitioning = match (there, keys.is_empty()) {
            (true, _) => Partitioning::Forward,
            (false, true) => Partitioning::Single,
            (false, false) => Partitioning::Hash(keys.to_vec()),
        };
        Input { from: self.settle(rel), partitioning }
    }

    /// Gives the rows the names of the result.
    fn rename(&mut self, mut rel: Rel, schema: &SchemaRef) -> Rel {
        let same = rel.schema.fields().iter().zip(schema.fields()).all(|(have, want)| have.name() == want.name());
        if !same && rel.schema.fields().len() == schema.fields().len() {
            let exprs = (0..schema.fields().len()).map(|index| Scalar::column(&rel.schema, index)).collect();
            let fields = rel.schema.fields().iter().zip(schema.fields());
            let fields: Vec<_> = fields.map(|(have, want)| have.as_ref().clone().with_name(want.name())).collect();
            let schema = Arc::new(arrow::datatypes::Schema::new(fields));
            rel.steps.push(Step::Project { exprs, schema: Arc::clone(&schema) });
            rel.schema = schema;
        }
        rel
    }
}

impl Rel {
    fn edge(&self) -> Edge {
        Edge {
            schema: Arc::clone(&self.schema),
            changelog: self.changelog,
            stream_key: self.stream_key.clone(),
            time_column: self.time_column,
        }
    }
}

/// A plan without the names given to it as a whole.
fn unaliased(plan: &LogicalPlan) -> &LogicalPlan {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => unaliased(&alias.input),
        other => other,
    }
}

/// The error for what a streaming query cannot do yet.
fn refuse(what: &str, hint: Option<&str>) -> SqlError {
    let error = SqlError::unsupported(format!("{what} is not supported in a streaming query yet"));
    error.with_hint(hint.unwrap_or("a SELECT over what is there now can do it"))
}

/// The column that an expression is, where it is nothing else.
fn column_of(expr: &Expr, schema: &datafusion::common::DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        _ => None,
    }
}

/// An error of ours, where the plan has not the form that it must have.
fn broken(what: &str) -> SqlError {
    SqlError::new(SqlState::INTERNAL_ERROR, format!("internal error: {what}"))
}
