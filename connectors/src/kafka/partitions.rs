//! Which partitions there are, and where a [`Point`] is in each. Asks the brokers, and waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_engine::error::{EngineError, Result};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Consumer, TIMEOUT};
use super::format_offset::Place;
use super::settings::{Point, Settings, Topics};

/// Events of the client that may tell why a question was not answered.
const EVENTS: usize = 100;

/// How often, and after how long, a partition without a leader is asked again.
const LEADER_TRIES: u32 = 50;
const LEADER_PAUSE: Duration = Duration::from_millis(100);

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Partition {
    pub(super) topic: String,
    pub(super) number: i32,
}

impl Partition {
    /// As the id of a split: `topic/number`.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.topic, self.number)
    }

    /// The partition of an id.
    pub(super) fn from_id(id: &str) -> Option<Self> {
        let (topic, number) = id.rsplit_once('/')?;
        Some(Self { topic: topic.to_owned(), number: number.parse().ok()? })
    }
}

/// All partitions of the topics of a table.
///
/// # Errors
/// Where the brokers do not answer in time, or a named topic does not exist.
pub(super) fn list(consumer: &Consumer, settings: &Settings) -> Result<BTreeSet<Partition>> {
    let mut found = BTreeSet::new();
    match &settings.topics {
        Topics::Named(names) => {
            for name in names {
                let metadata = ask(consumer, settings.servers(), Some(name))?;
                let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                let topic = topic.filter(|topic| !topic.partitions().is_empty());
                let Some(topic) = topic else { return Err(no_topic(consumer, settings, name)) };
                found.extend(partitions(topic));
            }
        }
        Topics::Pattern(pattern) => {
            let metadata = ask(consumer, settings.servers(), None)?;
            let matching = metadata.topics().iter().filter(|topic| pattern.is_match(topic.name()));
            found.extend(matching.flat_map(partitions));
            if found.is_empty() {
                return Err(EngineError::io(
                    format_args!("no topic at {} matches \"{pattern}\"", settings.servers()),
                    "there must be one when reading begins",
                ));
            }
        }
    }
    Ok(found)
}

fn partitions(topic: &MetadataTopic) -> impl Iterator<Item = Partition> {
    topic.partitions().iter().map(|part| Partition { topic: topic.name().to_owned(), number: part.id() })
}

/// What the brokers tell of a topic, or of all.
///
/// # Errors
/// Where they do not answer in time.
pub(super) fn ask(consumer: &Consumer, servers: &str, topic: Option<&str>) -> Result<rdkafka::metadata::Metadata> {
    consumer.fetch_metadata(topic, TIMEOUT).map_err(|error| {
        // What the client has to say waits in its queue; an event that is served may look like none.
        for _ in 0..EVENTS {
            drop(consumer.poll(Duration::ZERO));
        }
        consumer.context().explain(&format!("cannot reach Kafka at {servers}"), &error)
    })
}

fn no_topic(consumer: &Consumer, settings: &Settings, name: &str) -> EngineError {
    let what = format!("topic \"{name}\" does not exist at {}", settings.servers());
    let Ok(metadata) = consumer.fetch_metadata(None, TIMEOUT) else { return EngineError::config(what) };
    let alike = |topic: &&MetadataTopic| strsim::jaro_winkler(topic.name(), name) > 0.8;
    let near = metadata.topics().iter().find(alike).map(|topic| format!("did you mean \"{}\"?", topic.name()));
    EngineError::Config { message: what, hint: near }
}

/// The offset of a point in each of the partitions. Partitions that [`Point::Offsets`] does not name are left out.
///
/// # Errors
/// Where the brokers do not answer in time.
pub(super) fn locate<'p>(
    consumer: &Consumer,
    settings: &Settings,
    partitions: impl Iterator<Item = &'p Partition> + Clone,
    point: &Point,
) -> Result<BTreeMap<Partition, i64>> {
    let all = |offset: Offset| ask_offsets(consumer, settings.servers(), partitions.clone(), offset);
    if partitions.clone().next().is_none() {
        return Ok(BTreeMap::new());
    }
    match point {
        Point::Earliest => all(Offset::Beginning),
        Point::Latest => all(Offset::End),
        Point::Timestamp(millis) => {
            let mut found = all(Offset::Offset(*millis))?;
            if partitions.clone().any(|partition| !found.contains_key(partition)) {
                // Nothing so late: behind the last message.
                for (partition, end) in all(Offset::End)? {
                    found.entry(partition).or_insert(end);
                }
            }
            Ok(found)
        }
        Point::Offsets(offsets) => {
            Ok(partitions.filter_map(|partition| Some((partition.clone(), *offsets.get(&partition.number)?))).collect())
        }
        Point::Group => committed(consumer, settings, partitions.clone()),
    }
}

/// Where partitions are read on whose next message is gone: retention has taken it, or the topic was made anew. The
/// others are left out.
///
/// # Errors
/// Where a partition or a message is gone and the table does not say what to do then; where the brokers do not answer.
pub(super) fn move_lost(
    consumer: &Consumer,
    settings: &Settings,
    found: &BTreeSet<Partition>,
    known: &[Place],
) -> Result<BTreeMap<Partition, i64>> {
    if let Some(gone) = known.iter().find(|place| !found.contains(&place.partition)) {
        let id = gone.partition.id();
        return Err(EngineError::config(format!(
            "partition {id} was read to offset {} and does not exist any more",
            gone.next
        )));
    }
    let partitions = || known.iter().map(|place| &place.partition);
    if known.is_empty() {
        return Ok(BTreeMap::new());
    }
    let first = locate(consumer, settings, partitions(), &Point::Earliest)?;
    let end = locate(consumer, settings, partitions(), &Point::Latest)?;
    let reset = settings.client.get("auto.offset.reset").map(|reset| reset.to_ascii_lowercase());
    let mut moved = BTreeMap::new();
    for Place { partition, next, .. } in known {
        let (Some(first), Some(end)) = (first.get(partition), end.get(partition)) else { continue };
        if (first..=end).contains(&next) {
            continue;
        }
        let what =
            format!("{} was read to offset {next}, but has messages from {first} to before {end} only", partition.id());
        let to = match reset.as_deref() {
            Some("earliest" | "smallest" | "beginning") => *first,
            Some("latest" | "largest" | "end") => *end,
            Some(_) | None => return Err(gone(what)),
        };
        tracing::warn!(to, "{what}: reading goes on as 'properties.auto.offset.reset' says");
        moved.insert(partition.clone(), to);
    }
    Ok(moved)
}

/// The error for messages that are gone.
pub(super) fn gone(message: String) -> EngineError {
    let hint = "'properties.auto.offset.reset' = 'earliest' goes on with the first message that is there, 'latest' with \
                what comes from now on";
    EngineError::Config { message, hint: Some(hint.to_owned()) }
}

/// Where a partition begins whose start the point does not tell.
pub(super) fn fallback(settings: &Settings) -> Result<Point> {
    match settings.client.get("auto.offset.reset").map(|reset| reset.to_ascii_lowercase()).as_deref() {
        None | Some("earliest" | "smallest" | "beginning") => Ok(Point::Earliest),
        Some("latest" | "largest" | "end") => Ok(Point::Latest),
        Some(_) => Err(EngineError::Config {
            message: format!(
                "consumer group \"{}\" has not committed an offset for every partition",
                settings.client.get("group.id").map_or("", String::as_str)
            ),
            hint: Some("'properties.auto.offset.reset' says where to begin then: earliest or latest".to_owned()),
        }),
    }
}

/// What the consumer group has committed.
fn committed<'p>(
    consumer: &Consumer,
    settings: &Settings,
    partitions: impl Iterator<Item = &'p Partition>,
) -> Result<BTreeMap<Partition, i64>> {
    if !settings.client.contains_key("group.id") {
        return Ok(BTreeMap::new());
    }
    let mut asked = TopicPartitionList::new();
    for partition in partitions {
        asked.add_partition(&partition.topic, partition.number);
    }
    let answer = consumer.committed_offsets(asked, TIMEOUT).map_err(|error| {
        let group = settings.client.get("group.id").map_or("", String::as_str);
        let what = format!("cannot read the offsets of consumer group \"{group}\" at {}", settings.servers());
        consumer.context().explain(&what, &error)
    })?;
    Ok(known(&answer))
}

/// Asks for offsets: `offset` is the beginning, the end, or a time in milliseconds, as librdkafka takes it. A partition that
/// has no leader yet, or has just got another, is asked again.
///
/// # Errors
/// Where the brokers do not answer in time.
pub(super) fn ask_offsets<'p>(
    consumer: &Consumer,
    servers: &str,
    partitions: impl Iterator<Item = &'p Partition>,
    offset: Offset,
) -> Result<BTreeMap<Partition, i64>> {
    let mut asked = TopicPartitionList::new();
    let mut refused = None;
    for partition in partitions {
        refused = asked.add_partition_offset(&partition.topic, partition.number, offset).err().or(refused);
    }
    let what = format!("cannot read offsets from Kafka at {servers}");
    if let Some(error) = refused {
        return Err(consumer.context().explain(&what, &error));
    }
    let mut tries = LEADER_TRIES;
    loop {
        let answer = consumer.offsets_for_times(asked.clone(), TIMEOUT);
        let fault = match &answer {
            Ok(answer) => answer.elements().iter().find_map(|element| element.error().err()?.rdkafka_error_code()),
            Err(error) => error.rdkafka_error_code(),
        };
        match (answer, fault) {
            (_, Some(code)) if tries > 0 && without_leader(code) => tries -= 1,
            (Err(error), _) => return Err(consumer.context().explain(&what, &error)),
            (Ok(answer), None | Some(RDKafkaErrorCode::NoError)) => return Ok(known(&answer)),
            (Ok(_), Some(code)) => return Err(EngineError::io(what, code)),
        }
        // The client's events are served meanwhile.
        drop(consumer.poll(LEADER_PAUSE));
        ask(consumer, servers, None)?;
    }
}

fn without_leader(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::ReplicaNotAvailable
            | Code::OffsetNotAvailable
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
    )
}

/// The offsets of an answer that are numbers.
fn known(answer: &TopicPartitionList) -> BTreeMap<Partition, i64> {
    let elements = answer.elements();
    let offset = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => {
            Some((Partition { topic: element.topic().to_owned(), number: element.partition() }, offset))
        }
        Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => None,
    };
    elements.iter().filter_map(offset).collect()
}
