//! The ports that connectors implement: [`Source`], [`Lookup`], [`Sink`] and [`Connector`], and what they are told; and where
//! checkpoints are kept: [`StateStore`].
//!
//! The engine and the SQL front end know connectors only through these traits and through
//! [`ConnectorDescriptor`]; no connector is named here.

mod connector;
mod lookup;
mod memory;
pub mod option_value;
pub mod policy;
mod sink;
mod source;
mod state_store;

pub use connector::{
    Capabilities, Connector, ConnectorDescriptor, OptionDescriptor, OptionType, OptionValues, TableSpec,
};
pub use lookup::{Answer, Lookup, LookupCache, LookupRequest};
pub use memory::MemorySource;
pub use sink::{Accepts, CommitToken, Guarantee, SINK_AREA, Sink, SinkContext, SinkRecovery, SinkWriter};
pub use source::{
    Boundedness, ReadContext, ReadPoll, ScanColumn, ScanRequest, Source, Split, SplitPlace, SplitReader, WakeHandle,
};
pub use state_store::{MemoryStateStore, StateStore, WriteObject};
