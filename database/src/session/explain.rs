//! `EXPLAIN`: the logical plan, the dataflow, the batch plan, and which of the two would run and why.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::physical_plan::{StatisticsArgs, StatisticsContext};
use millstream_engine::checkpoint::change::{Change, Fate};
use millstream_engine::plan::Dataflow;
use millstream_engine::ports::Boundedness;
use millstream_engine::runtime::CollectSink;
use millstream_engine::runtime::EngineConfig;
use millstream_sql::bound::{BoundQuery, BoundStatement};
use millstream_sql::catalog::{Relation, RelationKind};
use millstream_sql::{
    ExplainOptions, SqlError, Target, batch_plan, explain_advice, explain_dataflow, explain_json, lower, readable_plan,
};

use super::job::{CatalogOpener, JobPlan, open_sink};
use super::outcome::text_schema;
use super::query::{Choice, DATABASE_AND_SCHEMA};
use super::replace::New;
use super::streaming::dataflow_part;
use super::{Outcome, Rows, RuntimeMode, Session};
use crate::batch::physical_text;

/// Name of the one column, as PostgreSQL has it.
const COLUMN: &str = "QUERY PLAN";

/// The columns of `EXPLAIN`.
pub(super) fn schema() -> SchemaRef {
    text_schema(&[COLUMN])
}

/// A titled part of the answer.
struct Part {
    title: String,
    text: String,
}

impl Session {
    pub(super) async fn explain(&self, statement: &BoundStatement, options: &[String]) -> Result<Outcome, SqlError> {
        if options.iter().any(|option| option == "ANALYZE") {
            return Err(SqlError::unsupported("EXPLAIN ANALYZE is not supported")
                .with_hint("Use EXPLAIN, and SHOW JOBS for the counters of a running job."));
        }
        let (query, mode, target) = match statement {
            BoundStatement::Query(query) => (query, self.choose(query)?, Some(collect("the client"))),
            BoundStatement::Subscribe(query) => {
                (query, always("SUBSCRIBE follows changes"), Some(collect("the client")))
            }
            BoundStatement::CreateMaterializedView { relation, replaced: Some(_), query, .. } => {
                let parts = self.change_parts(relation, query, changelog_kinds(options)).await?;
                return answer(&parts);
            }
            BoundStatement::CreateMaterializedView { relation, query, .. } => {
                let target = Target::View(relation.id, relation.name.clone());
                (query, always("a materialized view is kept up to date"), Some(target))
            }
            BoundStatement::Insert { target, query } => {
                let (mode, to) = self.explain_insert(target)?;
                (query, mode, to)
            }
            BoundStatement::StatementSet(inserts) => return self.explain_set(inserts, options).await,
            BoundStatement::Explain { .. }
            | BoundStatement::Change { .. }
            | BoundStatement::CopyTo { .. }
            | BoundStatement::CopyFrom { .. }
            | BoundStatement::CreateTable { .. }
            | BoundStatement::CreateTableAs { .. }
            | BoundStatement::Alter { .. }
            | BoundStatement::CreateView { .. }
            | BoundStatement::CreateFunction { .. }
            | BoundStatement::Drop { .. }
            | BoundStatement::CreateNamespaces { .. }
            | BoundStatement::DropNamespaces { .. }
            | BoundStatement::Show(_)
            | BoundStatement::Describe(..)
            | BoundStatement::ShowCreate(_)
            | BoundStatement::ShowPartitions(..)
            | BoundStatement::Set { .. }
            | BoundStatement::Reset(_)
            | BoundStatement::Job(_)
            | BoundStatement::Flush
            | BoundStatement::Acknowledge(_)
            | BoundStatement::SystemCatalog => {
                return Err(SqlError::unsupported(
                    "EXPLAIN takes a query, INSERT, STATEMENT SET, SUBSCRIBE or CREATE MATERIALIZED VIEW",
                ));
            }
        };
        answer(&self.parts(query, mode, target, options).await?)
    }

    /// A statement set is one job that reads each table once; in batch its statements run one after the other.
    async fn explain_set(
        &self,
        inserts: &[(Arc<Relation>, BoundQuery)],
        options: &[String],
    ) -> Result<Outcome, SqlError> {
        let mut parts = Vec::new();
        if self.settings.mode() == RuntimeMode::Batch {
            for (target, query) in inserts {
                let (mode, to) = self.explain_insert(target)?;
                parts.append(&mut self.parts(query, mode, to, options).await?);
            }
            return answer(&parts);
        }
        parts.push(Part { title: "Mode".to_owned(), text: "streaming: a statement set runs as one job".to_owned() });
        parts.extend(inserts.iter().map(|(target, query)| Part {
            title: format!("Logical plan of the INSERT into {}", target.name),
            text: readable_plan(&query.plan.display_indent().to_string()),
        }));
        let (plan, catalog) = (JobPlan::of_set(inserts.to_vec()), Arc::clone(self.database.catalog()));
        let lowered = async move { plan.lower(&catalog) };
        let dataflow = self.database.batch().threads().run(lowered).await?;
        self.add_dataflow(&dataflow, options, &mut parts);
        answer(&parts)
    }

    /// What becomes of a materialised view, and of those that read it, when it gets another query.
    async fn change_parts(&self, relation: &Relation, query: &BoundQuery, kinds: bool) -> Result<Vec<Part>, SqlError> {
        let mode = always("a materialized view is kept up to date");
        let mut parts = self.parts(query, mode, None, &[]).await?;
        let job = self.database.makers().lock().maker_of(relation.id);
        let new = New::of(&self.database, relation, query.clone(), job)?;
        let mut lines = vec![match &new.change {
            None => "no checkpoint has the view: it is made anew".to_owned(),
            Some(change) if change.is_none() => "nothing changes: all operators go on".to_owned(),
            Some(change) => {
                let kept = change.fates.iter().filter(|fate| **fate != Fate::Rebuilt).count();
                format!("{kept} of {} operators go on with their state, the others are made anew", change.fates.len())
            }
        }];
        if new.query.streaming.filter_above_state {
            lines.push("its last filter stays above the state".to_owned());
        }
        for (place, source) in new.sources_read_again() {
            let lost =
                if source.source.replayable() { "" } else { ", which gives no row twice: earlier rows are lost" };
            lines.push(format!("node #{place} reads {} again from its beginning{lost}", source.table));
        }
        let snapshot = self.database.catalog().snapshot(&self.temporary);
        let behind = Self::behind(&snapshot, relation.id);
        let views = behind.iter().filter(|of| matches!(of.kind, RelationKind::MaterializedView { .. }));
        lines.extend(views.map(|of| format!("{} reads the view and is made anew behind it", of.name)));
        parts.push(Part { title: "Change".to_owned(), text: lines.join("\n") });
        let text = self.dataflow_text(&new.dataflow, kinds, new.change.as_ref());
        parts.push(Part { title: "Dataflow".to_owned(), text });
        Ok(parts)
    }

    fn dataflow_text(&self, dataflow: &Dataflow, kinds: bool, change: Option<&Change>) -> String {
        let EngineConfig { shards, checkpoints, .. } = self.database.engine().config();
        let (shards, checkpoints) = (*shards, checkpoints.is_some());
        explain_dataflow(dataflow, ExplainOptions { shards, kinds, checkpoints, change })
    }

    /// The dataflow, and before it what is asked for besides.
    fn add_dataflow(&self, dataflow: &Dataflow, options: &[String], parts: &mut Vec<Part>) {
        if asked(options, "PLAN_ADVICE") {
            parts.push(Part { title: "Plan advice".to_owned(), text: explain_advice(dataflow) });
        }
        if asked(options, "JSON_EXECUTION_PLAN") {
            let text = explain_json(dataflow, self.database.engine().config().shards);
            parts.push(Part { title: "Physical Execution Plan".to_owned(), text });
        }
        let text = self.dataflow_text(dataflow, changelog_kinds(options), None);
        parts.push(Part { title: "Dataflow".to_owned(), text });
    }

    /// How an `INSERT` runs. An internal table is no target of a dataflow.
    fn explain_insert(&self, target: &Relation) -> Result<(Choice, Option<Target>), SqlError> {
        match &target.kind {
            RelationKind::ConnectorTable(_) => {
                let to = Target::Sink(target.name.clone(), open_sink(self.database.catalog(), target)?);
                if self.settings.mode() == RuntimeMode::Batch {
                    return Ok((Choice { streaming: false, reason: "execution.runtime-mode is batch" }, Some(to)));
                }
                Ok((always("an INSERT into a connector runs as a job"), Some(to)))
            }
            RelationKind::InternalTable(_) | RelationKind::View { .. } | RelationKind::MaterializedView { .. } => {
                Ok((Choice { streaming: false, reason: "an INSERT into an internal table reads once" }, None))
            }
        }
    }

    async fn parts(
        &self,
        query: &BoundQuery,
        mode: Choice,
        target: Option<Target>,
        options: &[String],
    ) -> Result<Vec<Part>, SqlError> {
        let chosen = if mode.streaming { "streaming" } else { "batch" };
        let input = match query.boundedness {
            Boundedness::Bounded => "its input ends",
            Boundedness::Unbounded => "its input does not end",
            Boundedness::Endless => "its input never ends",
        };
        let mut parts = vec![
            Part { title: "Mode".to_owned(), text: format!("{chosen}: {}; {input}", mode.reason) },
            Part { title: "Logical plan".to_owned(), text: readable_plan(&query.plan.display_indent().to_string()) },
        ];
        if let Some(target) = target {
            let (part, catalog) = (dataflow_part(query), Arc::clone(self.database.catalog()));
            let lowered = async move { lower(&part, target, &CatalogOpener(&catalog)) };
            match self.database.batch().threads().run(lowered).await {
                Ok(dataflow) => self.add_dataflow(&dataflow, options, &mut parts),
                // What batch computes need not have a dataflow.
                Err(error) if !mode.streaming => {
                    parts.push(Part { title: "Dataflow".to_owned(), text: format!("none: {error}") });
                }
                Err(error) => return Err(error),
            }
        }
        let costs = asked(options, "ESTIMATED_COST");
        if !mode.streaming {
            let (text, cost) = self.batch_text(query).await?;
            parts.push(Part { title: "Batch plan".to_owned(), text });
            parts.extend(costs.then(|| Part { title: "Estimated cost".to_owned(), text: cost }));
        } else if costs {
            let text = "rows: not known before a stream is read".to_owned();
            parts.push(Part { title: "Estimated cost".to_owned(), text });
        }
        Ok(parts)
    }

    /// The plan as it is run, and how many rows and bytes are expected of it.
    async fn batch_text(&self, query: &BoundQuery) -> Result<(String, String), SqlError> {
        let (scans, query, batch) = (self.scans(), query.clone(), self.database.batch().clone());
        let context = batch.context(self.settings.time_zone().name(), DATABASE_AND_SCHEMA);
        let planned = async move { batch.physical(&context, &scans.resolve(batch_plan(&query)?)?).await };
        let physical = self.database.batch().threads().run(planned).await?;
        let cost = match StatisticsContext::new().compute(physical.as_ref(), &StatisticsArgs::default()) {
            Ok(known) => format!("rows: {}, bytes: {}", known.num_rows, known.total_byte_size),
            Err(_) => "rows: not known".to_owned(),
        };
        Ok((physical_text(physical.as_ref()), cost))
    }
}

fn changelog_kinds(options: &[String]) -> bool {
    asked(options, "CHANGELOG_MODE")
}

/// Whether an option stands behind `EXPLAIN`.
fn asked(options: &[String], option: &str) -> bool {
    options.iter().any(|other| other == option)
}

/// The parts with their titles, line by line.
fn answer(parts: &[Part]) -> Result<Outcome, SqlError> {
    let lines = parts.iter().enumerate().flat_map(|(index, part)| {
        let blank = (index > 0).then(String::new);
        let title = std::iter::once(format!("== {} ==", part.title));
        blank.into_iter().chain(title).chain(part.text.trim_end().lines().map(str::to_owned))
    });
    let rows: Vec<[Option<String>; 1]> = lines.map(|line| [Some(line)]).collect();
    Ok(Outcome::rows(Rows::from_texts([COLUMN], &rows, "EXPLAIN")?))
}

fn always(reason: &'static str) -> Choice {
    Choice { streaming: true, reason }
}

/// A target for a dataflow that is only shown.
fn collect(name: &str) -> Target {
    let (sink, _receiver) = CollectSink::channel(1);
    Target::Sink(name.to_owned(), sink)
}
