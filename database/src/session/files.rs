//! Files that a statement names as tables: they are looked at before it is bound, and read while it runs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::TableProvider;
use millstream_engine::plan::RelationId;
use millstream_sql::ast::ParsedStatement;
use millstream_sql::bound::{BindContext, BoundStatement};
use millstream_sql::catalog::CatalogSnapshot;
use millstream_sql::{SqlError, file_scans};

use super::Session;
use super::query::DATABASE_AND_SCHEMA;
use crate::batch::{Scans, files};

/// Tables that stand for files in the statement that was bound last, by the ids of their relations.
pub(crate) type FileTables = Arc<HashMap<RelationId, Arc<dyn TableProvider>>>;

/// Bytes of a statement up to which it is bound at once.
const SHORT_BYTES: usize = 8 << 10;

impl Session {
    /// Binds a statement against the catalog as it is and the files that it names.
    pub(super) async fn bind(&mut self, statement: &ParsedStatement) -> Result<BoundStatement, SqlError> {
        let context = self.file_context(statement).await?;
        self.bind_apart(statement, Arc::new(context)).await
    }

    /// Binds a statement against other relations than there are.
    ///
    /// # Errors
    /// As [`Self::bind`].
    pub(super) async fn bind_in(
        &mut self,
        statement: &ParsedStatement,
        catalog: CatalogSnapshot,
    ) -> Result<BoundStatement, SqlError> {
        let mut context = self.file_context(statement).await?;
        Arc::make_mut(&mut context.catalog).relations = catalog.relations;
        self.bind_apart(statement, Arc::new(context)).await
    }

    /// Binds where nobody waits but this session, unless it is done at once: binding evaluates nothing, and takes as long
    /// as the text is.
    async fn bind_apart(
        &mut self,
        statement: &ParsedStatement,
        context: Arc<BindContext>,
    ) -> Result<BoundStatement, SqlError> {
        self.binding = Some(Arc::clone(&context));
        if statement.text.len() <= SHORT_BYTES {
            return millstream_sql::bind(statement, &context);
        }
        let statement = statement.clone();
        self.database.batch().threads().run(async move { millstream_sql::bind(&statement, &context) }).await
    }

    /// What binding depends on, the files that the statement names included.
    async fn file_context(&mut self, statement: &ParsedStatement) -> Result<BindContext, SqlError> {
        let mut context = self.bind_context();
        context.parameters.clone_from(&statement.parameters);
        let scans = file_scans(statement, &context.catalog)?;
        if scans.is_empty() {
            return Ok(context);
        }
        let batch = self.database.batch().context(self.settings.time_zone().name(), DATABASE_AND_SCHEMA);
        let (mut relations, mut tables) = (BTreeMap::new(), HashMap::new());
        for scan in scans {
            let id = self.database.catalog().next_id();
            let open = files::open(&batch, &scan, id).await?;
            tables.extend(open.table.map(|table| (id, table)));
            relations.insert(scan.key, open.relation);
        }
        self.files = Arc::new(tables);
        Arc::make_mut(&mut context.catalog).files.extend(relations);
        Ok(context)
    }

    /// The scans of one query: all views as they are now, and the files of the statement.
    pub(super) fn scans(&self) -> Scans {
        let mut scans = self.database.scans();
        scans.files = Arc::clone(&self.files);
        scans
    }
}
