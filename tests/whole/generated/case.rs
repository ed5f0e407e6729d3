//! [`Case`]: tables, views over them and changes in steps; carrying it out, and comparing each view with the batch answer
//! of its own text after each step.

use std::collections::BTreeMap;

use millstream_server::config::Config;
use millstream_server::encode::text_value;
use millstream_server::session::{Body, Database, Rows, Session};
use millstream_sql::{SqlError, SqlState};

use super::query::Queries;
use super::random::Random;
use super::world::World;

/// Views of a case.
pub(super) const VIEWS: usize = 20;

/// A view to be.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) sql: String,
    /// Smaller queries that it is made of.
    pub(super) parts: Vec<String>,
    /// A plain view has no rows of its own.
    pub(super) plain: bool,
}

/// Everything that happens to one database.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) shards: usize,
    pub(super) tables: Vec<String>,
    pub(super) views: Vec<View>,
    /// How many views are there before the first row.
    pub(super) early: usize,
    pub(super) steps: Vec<Vec<String>>,
}

/// A view whose rows are not those of the batch.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) view: usize,
    pub(super) step: usize,
    pub(super) told: String,
    /// What the batch answers, where it answers.
    pub(super) want: Vec<String>,
}

/// What became of a case.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) failures: Vec<Failure>,
    /// Views that streaming refuses, by its words.
    pub(super) refused: BTreeMap<String, usize>,
    /// Queries that the batch does not answer either, by its words.
    pub(super) unanswered: BTreeMap<String, usize>,
    pub(super) held: usize,
}

impl Case {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut world = World::new(&mut random);
        let mut relations = world.relations();
        let mut views = Vec::with_capacity(VIEWS);
        for number in 0..VIEWS {
            let depth = random.between(1, 3);
            let (query, parts) = Queries::new(&mut random, &relations).make(depth);
            let (name, plain) = (format!("v{number}"), random.chance(10));
            // Some views stand on others.
            if plain || random.chance(15) {
                let columns = query.columns.clone();
                relations.push(super::world::Relation { name: name.clone(), columns });
            }
            views.push(View { name, sql: query.sql, parts, plain });
        }
        let early = random.between(0, VIEWS);
        let mut steps = vec![world.fill(&mut random)];
        for _ in 0..2 {
            steps.push(world.change(&mut random));
        }
        let shards = [1, 2, 4][random.below(3)];
        Self { shards, tables: world.declarations(), views, early, steps }
    }

    pub(super) async fn run(&self) -> Report {
        let database = Database::start(Config { shards: self.shards, ..Config::standard() }).unwrap();
        let mut session = database.session();
        let report = self.run_in(&mut session).await;
        database.shutdown();
        report
    }

    async fn run_in(&self, session: &mut Session) -> Report {
        let mut report = Report::default();
        for table in &self.tables {
            rows(session, table).await.unwrap_or_else(|error| panic!("{error}\n{table}"));
        }
        let mut open: Vec<(usize, &View)> = Vec::new();
        for (step, statements) in self.steps.iter().enumerate() {
            let made = open.len();
            if step < 2 {
                let (from, to) = if step == 0 { (0, self.early) } else { (self.early, self.views.len()) };
                for (index, view) in self.views.iter().enumerate().take(to).skip(from) {
                    if create(session, view, &mut report).await {
                        open.push((index, view));
                    }
                }
            }
            // What was made over rows that are there must hold before they change.
            if step == 1 {
                let late = open.split_off(made);
                let late = check(session, late, step, &mut report).await;
                open.extend(late);
            }
            for statement in statements {
                rows(session, statement).await.unwrap_or_else(|error| panic!("{error}\n{statement}"));
            }
            open = check(session, open, step, &mut report).await;
        }
        report.held = open.len();
        report
    }
}

/// Makes a view. Gives whether it has rows to be compared.
async fn create(session: &mut Session, view: &View, report: &mut Report) -> bool {
    let kind = if view.plain { "VIEW" } else { "MATERIALIZED VIEW" };
    let Err(error) = rows(session, &format!("CREATE {kind} {} AS {}", view.name, view.sql)).await else {
        return !view.plain;
    };
    // It stands on a view that was refused.
    if error.parts().state == SqlState::UNDEFINED_TABLE {
        return false;
    }
    let told = error.to_string();
    match rows(session, &view.sql).await {
        Ok(_) => *report.refused.entry(told).or_default() += 1,
        Err(error) => *report.unanswered.entry(error.to_string()).or_default() += 1,
    }
    false
}

/// Compares views with the batch. Gives those that are still to be compared.
async fn check<'a>(
    session: &mut Session,
    views: Vec<(usize, &'a View)>,
    step: usize,
    report: &mut Report,
) -> Vec<(usize, &'a View)> {
    let mut good = Vec::with_capacity(views.len());
    for (index, view) in views {
        let want = match rows(session, &view.sql).await {
            Ok(want) => want,
            Err(error) => {
                *report.unanswered.entry(error.to_string()).or_default() += 1;
                continue;
            }
        };
        let got = rows(session, &format!("SELECT * FROM {}", view.name)).await;
        let told = match got {
            Ok(got) if got == want => {
                good.push((index, view));
                continue;
            }
            Ok(got) => difference(&want, &got),
            Err(error) => error.to_string(),
        };
        report.failures.push(Failure { view: index, step, told, want });
    }
    good
}

/// Rows that are in one of the two only.
pub(in crate::generated) fn difference(want: &[String], got: &[String]) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    want.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    got.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    let lines = counts.iter().filter(|(_, count)| **count != 0).map(|(row, count)| format!("{count:+} {row}"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rows of a statement, sorted.
pub(crate) async fn rows(session: &mut Session, sql: &str) -> Result<Vec<String>, SqlError> {
    let outcome = session.execute_script(sql).await?;
    let Some(Body::Rows(rows)) = outcome.map(|outcome| outcome.body) else { return Ok(Vec::new()) };
    let style = session.settings().style();
    let mut lines = Vec::new();
    for batch in Rows::collect(rows).await? {
        for row in 0..batch.num_rows() {
            let cell = |text: Option<String>| match text.as_deref() {
                None => "NULL".to_owned(),
                Some("") => "(empty)".to_owned(),
                Some(text) => text.to_owned(),
            };
            let cells = batch.columns().iter().map(|column| cell(text_value(column, row, style)));
            lines.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    lines.sort();
    Ok(lines)
}
