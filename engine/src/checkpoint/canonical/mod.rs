//! [`describe`]: what an operator computes, as text that stays the same from release to release.
//!
//! The names of operators in checkpoints are hashes of it, so that a word that changes here loses the state of everybody.
//! What is written: all that the form and the meaning of the state depend on. What is not: names of columns, types of results
//! that follow from the arguments, and whatever is as it is by default, so that a new ability of an operator leaves the text
//! of those that do not use it alone. Every field of a description is named here, for a new one to be decided on.
//!
//! Columns are `#0`, `#1`, … of the inputs. Expressions are DataFusion's text for them: that much depends on its release.

mod aggregate;
mod join;
mod order;

#[cfg(test)]
mod tests;

use std::fmt::{Display, Write};

use crate::expr::Scalar;
use crate::plan::{GroupAggregateSpec, GroupingSet, OperatorSpec, Step};

/// The kind of an operator and what it computes. Of sources and sinks: what they are called; of views: their number.
pub fn describe(spec: &OperatorSpec) -> (&'static str, String) {
    match spec {
        // Filters that reach the source do not change where its splits are.
        OperatorSpec::Source(spec) => ("source", spec.table.clone()),
        // Views may get other names.
        OperatorSpec::ViewSource(spec) => ("view", spec.relation.0.to_string()),
        OperatorSpec::Stateless(spec) => ("stateless", steps(&spec.steps)),
        OperatorSpec::Union => ("union", String::new()),
        OperatorSpec::WindowAggregate(spec) => ("window-aggregate", aggregate::window(spec)),
        OperatorSpec::SessionAggregate(spec) => ("session-aggregate", aggregate::session(spec)),
        OperatorSpec::SessionAssign(spec) => ("session-assign", aggregate::assign(spec)),
        OperatorSpec::GroupAggregate(spec) => ("group-aggregate", group(spec)),
        OperatorSpec::Join(spec) => ("join", join::regular(spec)),
        OperatorSpec::MultiJoin(spec) => ("multi-join", join::multi(spec)),
        OperatorSpec::IntervalJoin(spec) => ("interval-join", join::interval(spec)),
        OperatorSpec::TemporalJoin(spec) => ("temporal-join", join::temporal(spec)),
        OperatorSpec::LookupJoin(spec) => ("lookup-join", join::lookup(spec)),
        OperatorSpec::CurrentJoin(spec) => ("current-join", join::current(spec)),
        OperatorSpec::WindowJoin(spec) => ("window-join", join::window(spec)),
        OperatorSpec::Rank(spec) => ("rank", order::rank(spec)),
        OperatorSpec::Over(spec) => ("over", order::over(spec)),
        OperatorSpec::Materialize(spec) => ("materialize", spec.relation.0.to_string()),
        OperatorSpec::Sink(spec) => ("sink", spec.table.clone()),
    }
}

/// The steps of a stateless operator or of a source.
pub fn steps(steps: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Filter(condition) => format!("filter {condition}"),
        Step::Project { exprs, schema: _ } => format!("project {}", list(exprs.iter())),
        Step::AssignWindows { window, time, schema: _ } => {
            format!("windows {} {}", aggregate::shape(*window), aggregate::time(*time))
        }
        Step::Expand { sets, schema: _ } => {
            let set = |GroupingSet { left_out, id }: &GroupingSet| format!("{id} without {}", columns(left_out));
            format!("expand {}", list(sets.iter().map(set)))
        }
        Step::Unnest { list, schema: _ } => format!("unnest {list}"),
    };
    steps.iter().map(step).collect::<Vec<_>>().join("; ")
}

fn group(spec: &GroupAggregateSpec) -> String {
    // What comes out is not part of the state.
    let GroupAggregateSpec { keys, calls, retracts, ttl_us, upserts: _ } = spec;
    let mut text = Text::of(&format!("by {} {}", columns(keys), aggregate::calls(calls)));
    text.flag("retracts", *retracts);
    text.option("ttl", ttl_us.as_ref().map(|ttl| ttl as &dyn Display));
    text.0
}

/// A description that grows.
struct Text(String);

impl Text {
    fn of(start: &str) -> Self {
        Self(start.to_owned())
    }

    /// A word, where it holds.
    fn flag(&mut self, word: &str, holds: bool) {
        if holds {
            self.option(word, Some(&""));
        }
    }

    /// A word with a value, where there is one.
    fn option(&mut self, word: &str, value: Option<&dyn Display>) {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(self.0, " {word}");
            let text = value.to_string();
            if !text.is_empty() {
                let _ = write!(self.0, " {text}");
            }
        }
    }

    /// A further condition of a join.
    fn residual(&mut self, residual: Option<&Scalar>) {
        self.option("where", residual.map(|residual| residual as &dyn Display));
    }
}

fn columns(columns: &[usize]) -> String {
    list(columns.iter().map(|column| format!("#{column}")))
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    format!("({})", items.map(|item| item.to_string()).collect::<Vec<_>>().join(", "))
}
