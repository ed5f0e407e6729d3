//! [`Effect`]: what is another thing for everybody once a statement has been carried out.

use super::{CopyEnd, NamespaceStatement, Statement};

/// What a statement changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// What exists: tables, views, functions, namespaces.
    Catalog,
    /// Rows, files or jobs.
    Contents,
    /// Nothing, or only things of the session.
    Nothing,
}

impl Statement {
    /// What it changes.
    pub fn effect(&self) -> Effect {
        match self {
            Self::CreateTable(_)
            | Self::AlterTable(_)
            | Self::AlterView(_)
            | Self::CreateView(_)
            | Self::CreateFunction(_)
            | Self::Drop(_)
            | Self::Namespace(
                NamespaceStatement::CreateDatabase { .. }
                | NamespaceStatement::DropDatabase { .. }
                | NamespaceStatement::CreateCatalog { .. }
                | NamespaceStatement::DropCatalog { .. },
            )
            | Self::Comment(_) => Effect::Catalog,
            Self::Insert(_) | Self::StatementSet(_) | Self::Change(_) | Self::Job(_) => Effect::Contents,
            Self::Copy(copy) if copy.to && copy.end == CopyEnd::Client => Effect::Nothing,
            Self::Copy(_) => Effect::Contents,
            Self::Namespace(
                NamespaceStatement::Use(_) | NamespaceStatement::UseCatalog(_) | NamespaceStatement::Touch { .. },
            )
            | Self::OpenSet(_)
            | Self::Query(_)
            | Self::Subscribe(_)
            | Self::Explain { .. }
            | Self::Show(_)
            | Self::Describe(_)
            | Self::Set { .. }
            | Self::Reset(_)
            | Self::Flush
            | Self::Transaction(_)
            | Self::Kept(_)
            | Self::Acknowledge(_)
            | Self::Other(_) => Effect::Nothing,
        }
    }
}
