//! [`KafkaSink`]: a topic, opened for writing. Its writers share a producer, or have transactions of their own.

use std::fmt;
use std::sync::{Arc, Weak};

use millstream_engine::error::{EngineError, Result};
use millstream_engine::ports::{Accepts, Guarantee, Sink, SinkContext, SinkRecovery, SinkWriter, TableSpec};
use millstream_engine::time::{Clock, SystemClock};
use parking_lot::Mutex;

use super::ledger::{Lane, LaneName, OpenedLanes, recover};
use super::outlet::{Direct, Outlet};
use super::producer::Producer;
use super::settings::{Flavour, Settings, Topics};
use super::sink_options::{SinkOptions, WrittenMetadata};
use super::writer::KafkaWriter;

/// See the module.
pub(super) struct KafkaSink {
    pub(super) settings: Settings,
    pub(super) options: SinkOptions,
    pub(super) metadata: WrittenMetadata,
    topic: String,
    clock: Arc<dyn Clock>,
    /// There as long as there are writers: those of a job that starts again must not meet the errors of before.
    producer: Mutex<Weak<Producer>>,
    lanes: Mutex<Lanes>,
}

/// The lanes of the writers that are being made.
#[derive(Default)]
struct Lanes {
    /// A text for this start of the job.
    run: String,
    opened: OpenedLanes,
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl KafkaSink {
    /// A sink for the only topic of a table. Asks no broker yet.
    ///
    /// # Errors
    /// Where the table has several topics, or columns that cannot be written.
    pub(super) fn new(settings: Settings, table: &TableSpec) -> Result<Self> {
        let topic = match &settings.topics {
            Topics::Named(names) if names.len() == 1 => names.concat(),
            Topics::Named(_) | Topics::Pattern(_) => {
                return Err(EngineError::Config {
                    message: format!("table \"{}\" cannot be written: it has more than one topic", table.name),
                    hint: Some("a sink needs one name in option \"topic\"".to_owned()),
                });
            }
        };
        Ok(Self {
            options: SinkOptions::new(table)?,
            metadata: WrittenMetadata::new(table)?,
            settings,
            topic,
            clock: Arc::new(SystemClock),
            producer: Mutex::default(),
            lanes: Mutex::default(),
        })
    }

    fn producer(&self) -> Result<Arc<Producer>> {
        let mut made = self.producer.lock();
        if let Some(producer) = made.upgrade() {
            return Ok(producer);
        }
        let producer = Arc::new(Producer::new(&self.settings, &self.topic)?);
        *made = Arc::downgrade(&producer);
        Ok(producer)
    }

    fn outlet(&self, context: &SinkContext) -> Result<Outlet> {
        match self.options.guarantee {
            Guarantee::None | Guarantee::AtLeastOnce => {
                let producer = self.producer()?;
                producer.add_wake(context.wake.clone());
                Ok(Outlet::Direct(Direct::new(producer)))
            }
            Guarantee::ExactlyOnce => {
                let mut lanes = self.lanes.lock();
                if context.shard == 0 {
                    lanes.run = format!("{:x}-{:x}", self.clock.now().0, std::process::id());
                    lanes.opened.clear();
                }
                let Lanes { run, opened } = &mut *lanes;
                let name = LaneName { prefix: &self.options.prefix, topic: &self.topic, run };
                Ok(Outlet::Transactions(Box::new(Lane::open(&self.settings, &name, context, opened)?)))
            }
        }
    }
}

impl Sink for KafkaSink {
    fn accepts(&self) -> Accepts {
        match self.settings.flavour {
            Flavour::Append if !self.settings.value.tells_changes() => Accepts::Append,
            Flavour::Append | Flavour::Upsert => Accepts::Retract,
        }
    }

    fn upsert_key(&self) -> Option<Vec<usize>> {
        match self.settings.flavour {
            Flavour::Append => None,
            Flavour::Upsert => Some(self.settings.columns.key.clone()),
        }
    }

    fn guarantee(&self) -> Guarantee {
        self.options.guarantee
    }

    fn recover(&self, recovery: &SinkRecovery<'_>) -> Result<()> {
        recover(&self.settings, recovery)
    }

    fn writer(&self, context: SinkContext) -> Result<Box<dyn SinkWriter>> {
        let outlet = self.outlet(&context)?;
        Ok(Box::new(KafkaWriter::new(outlet, self, &context)?))
    }

    fn describe(&self) -> String {
        format!("kafka {} at {} ({})", self.topic, self.settings.servers(), self.settings.value.name())
    }
}
