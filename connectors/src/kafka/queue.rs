//! [`Queue`]: what librdkafka has fetched of one partition, taken many messages at a time.
//!
//! The crate `rdkafka` hands over one message for each call, with an event and a counted reference around it, which is too
//! much at a million messages a second. librdkafka's own call for batches has no safe form, so that this file, and no other
//! of the project, has unsafe code. It keeps to these rules: a queue holds its consumer, so that the
//! client outlives queue and messages; a message belongs to whoever took it and is destroyed once, when it is dropped; what
//! it lends out is borrowed from it; and librdkafka's own thread sees nothing of ours but the handle that it wakes, which is
//! freed after librdkafka was told to forget it.
#![allow(unsafe_code, reason = "see above")]

use std::collections::VecDeque;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use millstream_engine::ports::WakeHandle;
use rdkafka::Timestamp;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;

use super::client::Consumer;

/// Messages that one call takes.
const BATCH: usize = 1_024;

/// See the module.
pub(super) struct Queue {
    queue: NonNull<native::rd_kafka_queue_t>,
    /// Taken from librdkafka, and by nobody yet.
    taken: VecDeque<NonNull<native::rd_kafka_message_t>>,
    /// From a box. librdkafka has it too.
    wake: NonNull<WakeHandle>,
    /// Dropped last.
    _consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's queues and messages may be used by any thread, by one at a time, which `&mut self` sees to.
unsafe impl Send for Queue {}

/// What a queue holds.
pub(super) enum Event<'a> {
    /// A message.
    Message(Message<'a>),
    /// Nothing is behind the messages so far.
    End,
    /// Something is wrong with the partition or the client.
    Error(RDKafkaErrorCode),
}

impl Event<'_> {
    fn without_message(code: native::rd_kafka_resp_err_t) -> Self {
        match code {
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Self::End,
            code => Self::Error(code.into()),
        }
    }
}

/// A message, destroyed when it is dropped.
pub(super) struct Message<'a> {
    message: NonNull<native::rd_kafka_message_t>,
    /// Where the message is part of an event, which is destroyed in its place.
    event: Option<NonNull<native::rd_kafka_event_t>>,
    queue: PhantomData<&'a mut Queue>,
}

impl Queue {
    /// The queue of a partition, which is no longer part of the consumer's own; `wake` is called when it is no longer empty.
    /// `None` where the client has none.
    pub(super) fn new(consumer: &Arc<Consumer>, topic: &str, partition: i32, wake: &WakeHandle) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        // SAFETY: the client is alive, and the text ends with a zero byte. The queue that comes back is ours to destroy.
        let queue =
            unsafe { native::rd_kafka_queue_get_partition(consumer.client().native_ptr(), topic.as_ptr(), partition) };
        let queue = NonNull::new(queue)?;
        let wake = NonNull::from(Box::leak(Box::new(wake.clone())));
        // SAFETY: the queue is alive. The handle is on the heap and stays there until `drop` has taken the call back.
        unsafe {
            native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(woken), wake.as_ptr().cast::<c_void>());
        }
        Some(Self { queue, taken: VecDeque::new(), wake, _consumer: Arc::clone(consumer) })
    }

    /// What comes next, where something is here.
    pub(super) fn next(&mut self) -> Option<Event<'_>> {
        if self.taken.is_empty() {
            // The call for batches logs errors of a partition, and does not tell them: the first of what is here is asked for
            // in the other way. One that stands behind messages is told again with the metadata.
            return self.first();
        }
        let message = Message { message: self.taken.pop_front()?, event: None, queue: PhantomData };
        Some(match message.native().err {
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Event::Message(message),
            code => Event::without_message(code),
        })
    }

    /// What comes next, as an event; and the batch behind it is taken.
    fn first(&mut self) -> Option<Event<'_>> {
        // SAFETY: the queue is alive. It does not wait. The event that comes back is ours to destroy.
        let event = NonNull::new(unsafe { native::rd_kafka_queue_poll(self.queue.as_ptr(), 0) })?;
        // SAFETY: the event is alive. A message of it lives as long, and is not written to by anybody.
        let message = NonNull::new(unsafe { native::rd_kafka_event_message_next(event.as_ptr()) }.cast_mut());
        if let Some(message) = message {
            self.take();
            return Some(Event::Message(Message { message, event: Some(event), queue: PhantomData }));
        }
        // SAFETY: the event is alive, and not used behind its destruction.
        let code = unsafe {
            let code = native::rd_kafka_event_error(event.as_ptr());
            native::rd_kafka_event_destroy(event.as_ptr());
            code
        };
        Some(Event::without_message(code))
    }

    fn take(&mut self) {
        let mut messages = [ptr::null_mut(); BATCH];
        // SAFETY: the queue is alive, and the array has room for as many pointers as are asked for. It does not wait.
        let count =
            unsafe { native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), BATCH) };
        let count = usize::try_from(count).unwrap_or(0);
        self.taken.extend(messages.into_iter().take(count).filter_map(NonNull::new));
    }
}

/// Called by a thread of librdkafka.
unsafe extern "C" fn woken(_client: *mut native::rd_kafka_t, handle: *mut c_void) {
    // SAFETY: the pointer is the one that `Queue::new` gave, and what it points to lives until the call is taken back.
    let handle = unsafe { &*handle.cast::<WakeHandle>() };
    handle.wake();
}

impl Drop for Queue {
    fn drop(&mut self) {
        for message in self.taken.drain(..) {
            drop(Message { message, event: None, queue: PhantomData });
        }
        // SAFETY: the queue is alive and not used afterwards. librdkafka calls back under the lock that the first call
        // takes, so that nobody has the handle when it is freed. It came from a box.
        unsafe {
            native::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
            drop(Box::from_raw(self.wake.as_ptr()));
        }
    }
}

impl Message<'_> {
    fn native(&self) -> &native::rd_kafka_message_t {
        // SAFETY: it is alive until it is dropped, and nobody writes to it.
        unsafe { self.message.as_ref() }
    }

    /// Its topic.
    pub(super) fn topic(&self) -> &str {
        let topic = self.native().rkt;
        if topic.is_null() {
            return "";
        }
        // SAFETY: a message holds its topic, whose name is a text with a zero byte behind it.
        let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(topic)) };
        name.to_str().unwrap_or_default()
    }

    /// The number of its partition.
    pub(super) fn partition(&self) -> i32 {
        self.native().partition
    }

    /// Its place in the partition.
    pub(super) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Its value.
    pub(super) fn payload(&self) -> Option<&[u8]> {
        let message = self.native();
        // SAFETY: librdkafka gives as many bytes, and they live as long as the message.
        unsafe { bytes(message.payload, message.len) }
    }

    /// Its key.
    pub(super) fn key(&self) -> Option<&[u8]> {
        let message = self.native();
        // SAFETY: as above.
        unsafe { bytes(message.key, message.key_len) }
    }

    /// Its time, in milliseconds since 1970, and who gave it.
    pub(super) fn timestamp(&self) -> Timestamp {
        use native::rd_kafka_timestamp_type_t as Kind;
        let mut kind = Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive, and the place for the kind is ours.
        let time = unsafe { native::rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        match kind {
            _ if time == -1 => Timestamp::NotAvailable,
            Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
            Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(time),
            Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(time),
        }
    }

    /// How often the partition had changed its leader when the message came, where the broker tells.
    pub(super) fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is alive.
        let epoch = unsafe { native::rd_kafka_message_leader_epoch(self.message.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// Its headers, in their order.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and keeps the headers. Where there are none the pointer stays null.
        let found = unsafe { native::rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        let found = found == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        (0..).map_while(move |index| {
            let (mut name, mut value, mut len) = (ptr::null::<c_char>(), ptr::null(), 0);
            if !found {
                return None;
            }
            // SAFETY: the headers are alive as long as the message, and the places for the answer are ours.
            let got =
                unsafe { native::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut len) };
            if got != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            // SAFETY: the name has a zero byte behind it, the value as many bytes; both live as long as the message.
            let (name, value) = unsafe { (CStr::from_ptr(name), bytes(value, len)) };
            Some((name.to_str().unwrap_or_default(), value))
        })
    }
}

impl Drop for Message<'_> {
    fn drop(&mut self) {
        // SAFETY: it is ours, or its event is, and nothing that was lent out of it outlives it.
        unsafe {
            match self.event {
                Some(event) => native::rd_kafka_event_destroy(event.as_ptr()),
                None => native::rd_kafka_message_destroy(self.message.as_ptr()),
            }
        }
    }
}

/// The bytes at a place; `None` where it is null.
///
/// # Safety
/// As many bytes must be there for as long as `'a`.
unsafe fn bytes<'a>(at: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's.
    (!at.is_null()).then(|| unsafe { std::slice::from_raw_parts(at.cast::<u8>(), len) })
}
