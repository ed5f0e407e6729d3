//! Statements as text: a catalog is made by statements, and what they bind to or why they are refused is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod look_ups;
mod tables;
mod views;

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use expect_test::Expect;
use millstream_engine::plan::RelationId;
use millstream_engine::ports::{Capabilities, ConnectorDescriptor, OptionDescriptor, OptionType};

use crate::bound::{BindContext, BoundStatement, StreamingOptions};
use crate::catalog::{CatalogSnapshot, Relation, RelationKind, Semantics};

/// A connector for tests.
fn files() -> ConnectorDescriptor {
    let option = |name, kind, required| OptionDescriptor { name, kind, required, default: None, doc: "what it is" };
    ConnectorDescriptor {
        name: "filesystem",
        doc: "files",
        options: vec![
            option("path", OptionType::String, true),
            option("format", OptionType::Choice(&["csv", "json", "parquet"]), true),
            option("source.monitor-interval", OptionType::Duration, false),
            option("fields.*.min", OptionType::Integer, false),
        ],
        capabilities: Capabilities { source: true, sink: true, sink_retracts: false, partitioned: true },
        metadata: vec![
            ("file.path", DataType::Utf8),
            ("file.modified", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        ],
    }
}

fn generator() -> ConnectorDescriptor {
    ConnectorDescriptor {
        name: "nexmark",
        doc: "events",
        options: Vec::new(),
        capabilities: Capabilities { source: true, ..Capabilities::default() },
        metadata: Vec::new(),
    }
}

/// A catalog that statements change.
struct World {
    context: BindContext,
    next: u64,
}

impl World {
    fn new(statements: &str) -> Self {
        let mut catalog = CatalogSnapshot::default();
        for connector in [files(), generator()] {
            catalog.connectors.insert(connector.name.to_owned(), Arc::new(connector));
        }
        let context = BindContext {
            catalog: Arc::new(catalog),
            semantics: Semantics::Postgres,
            time_zone: "UTC".to_owned(),
            streaming: StreamingOptions::default(),
            parameters: Vec::new(),
        };
        let mut world = Self { context, next: 1 };
        for statement in crate::parse(statements).unwrap() {
            let bound = super::bind(&statement, &world.context);
            world.apply(bound.unwrap_or_else(|error| panic!("{}: {:?}", statement.text, error.parts())));
        }
        world
    }

    fn apply(&mut self, bound: BoundStatement) {
        let catalog = Arc::make_mut(&mut self.context.catalog);
        match bound {
            BoundStatement::CreateTable { relation, .. }
            | BoundStatement::CreateView { relation, .. }
            | BoundStatement::CreateMaterializedView { relation, .. } => {
                let relation = Relation { id: RelationId(self.next), ..relation };
                self.next += 1;
                catalog.relations.insert(relation.name.clone(), Arc::new(relation));
            }
            BoundStatement::CreateFunction { function, .. } => {
                catalog.functions.insert(function.name.to_ascii_lowercase(), Arc::new(function));
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the last of some statements binds to, in a few lines.
    fn bind(&self, text: &str) -> String {
        let statement = crate::parse(text).unwrap().pop().unwrap();
        match super::bind(&statement, &self.context) {
            Ok(bound) => self.shown(bound),
            Err(error) => refused(text, &error),
        }
    }

    fn shown(&self, bound: BoundStatement) -> String {
        let name = |id: &RelationId| {
            self.context.catalog.relations.values().find(|found| found.id == *id).unwrap().name.clone()
        };
        match bound {
            BoundStatement::CreateTable { relation, exists } => {
                let stored = match &relation.kind {
                    RelationKind::ConnectorTable(table) => format!("{:?} {:?}", table.spec.options.0, table.spec),
                    RelationKind::InternalTable(table) => format!("{:?}", table.primary_key),
                    RelationKind::View { .. } | RelationKind::MaterializedView { .. } => String::new(),
                };
                assert!(!stored.is_empty());
                format!("exists={exists}\n{}\n", relation.definition)
            }
            BoundStatement::CreateView { relation, exists, replace } => {
                format!("exists={exists} replace={replace}\n{}\n", relation.definition)
            }
            BoundStatement::CreateMaterializedView { relation, exists, .. } => {
                format!("exists={exists}\n{}\n", relation.definition)
            }
            BoundStatement::Drop { relations, functions, kind, notices } => {
                let relations: Vec<String> = relations.iter().map(name).collect();
                format!("drop {kind:?} {relations:?} {functions:?} {notices:?}\n")
            }
            BoundStatement::Describe(relation, _) => format!("describe {}\n", relation.name),
            BoundStatement::ShowCreate(relation) => format!("{}\n", relation.definition),
            BoundStatement::CreateFunction { function, exists } => {
                format!("exists={exists} {} returns {}: {}\n", function.name, function.returns.text, function.body)
            }
            BoundStatement::Query(query) => format!("query {:?}\n", query.schema.fields().len()),
            other => format!("{other:?}\n"),
        }
    }

    fn check(&self, text: &str, expect: &Expect) {
        expect.assert_eq(&self.bind(text));
    }
}

/// An error with its parts, and the text with a mark at the position.
fn refused(text: &str, error: &crate::SqlError) -> String {
    let parts = error.parts();
    let mut shown = format!("{}: {}\n", parts.state.0, parts.message);
    if let Some(position) = parts.position {
        let before: String = text.chars().take(position - 1).collect();
        let behind: String = text.chars().skip(position - 1).collect();
        shown += &format!("{before}▶{behind}\n");
    }
    for (label, part) in [("detail", &parts.detail), ("hint", &parts.hint)] {
        shown += &part.as_ref().map_or_else(String::new, |part| format!("{label}: {part}\n"));
    }
    shown
}
