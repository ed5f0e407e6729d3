//! [`LookupJoin`]: joins rows with those of a table outside, which is asked for their keys.
//!
//! Each batch asks once for its distinct keys that the cache does not know. The answer comes on another thread; until then
//! other batches come and ask. Rows come out in the order in which they arrived. A barrier waits until all rows before it are
//! out, so that nothing on the way is part of a checkpoint.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use parking_lot::Mutex;

use super::NONE;
use super::keys::Keys;
use super::lookup_cache::Cache;
use super::pairs::{Output, Pairs, Residual, Rows};
use super::store::Store;
use super::temporal::is_outer;
use super::walk::Walk;
use crate::checkpoint::table::Table;
use crate::error::{EngineError, Result};
use crate::message::{BATCH_ROWS, Delta, Epoch, Sign};
use crate::operators::{Context, Operator, OperatorState};
use crate::plan::{JoinKey, LookupJoinSpec};
use crate::ports::{Answer, Lookup};
use crate::time::{EventTime, ProcessingTime};

/// Microseconds between two looks for answers.
const LOOK_US: i64 = 500;
/// Rows on their way above which no more are taken.
const WAITING_ROWS_MAX: usize = 16 * BATCH_ROWS;

/// Answers that came, by the number of their batch.
type Mailbox = Arc<Mutex<HashMap<u64, Result<RecordBatch>>>>;

/// See the module.
pub struct LookupJoin {
    outer: bool,
    keys: Vec<JoinKey>,
    lookup: Arc<dyn Lookup>,
    schemas: [SchemaRef; 2],
    /// The key columns as the table is asked for them.
    asked: SchemaRef,
    encoder: RowConverter,
    cache: Option<Cache>,
    residual: Residual,
    output: Output,
    mailbox: Mailbox,
    queue: VecDeque<Item>,
    waiting_rows: usize,
    next_number: u64,
    holding: bool,
}

/// What waits for its turn.
enum Item {
    Rows(Waiting),
    Watermark(EventTime),
}

struct Waiting {
    number: u64,
    rows: RecordBatch,
    /// Answers that the cache had.
    known: Vec<RecordBatch>,
    /// The encoded keys that are asked for. None: nothing is.
    asked: Vec<Box<[u8]>>,
}

impl LookupJoin {
    /// The operator on one shard.
    ///
    /// # Errors
    /// Where keys are not of equal types; for a kind other than `Inner` and `Left`.
    pub fn new(spec: &LookupJoinSpec, left: &SchemaRef, output: SchemaRef) -> Result<Self> {
        let right = spec.lookup.schema();
        // Checks the types.
        Keys::new(&spec.keys, [left, &right], false)?;
        let fields: Vec<_> = spec.keys.iter().map(|key| Arc::clone(&right.fields()[key.right])).collect();
        let sort_fields = fields.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(Self {
            outer: is_outer(spec.kind)?,
            keys: spec.keys.clone(),
            lookup: Arc::clone(&spec.lookup),
            asked: Arc::new(Schema::new(fields)),
            encoder: RowConverter::new(sort_fields)?,
            cache: spec.lookup.cache().map(Cache::new),
            residual: Residual::new(spec.residual.clone(), [left, &right]),
            output: Output::new(spec.kind, output),
            schemas: [Arc::clone(left), right],
            mailbox: Mailbox::default(),
            queue: VecDeque::new(),
            waiting_rows: 0,
            next_number: 0,
            holding: false,
        })
    }

    /// Asks for the keys of rows.
    fn ask(&mut self, rows: RecordBatch, context: &Context<'_>) -> Result<Waiting> {
        let slots = self.new_keys()?.slots(0, &rows)?;
        let mut firsts: Vec<u32> = Vec::new();
        for (row, &slot) in (0..).zip(&slots) {
            // A new key gets the next slot.
            if slot != NONE && slot as usize == firsts.len() {
                firsts.push(row);
            }
        }
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(rows.column(key.left))).collect();
        let columns = arrow::compute::take_arrays(&columns, &UInt32Array::from(firsts), None)?;
        let encoded = self.encoder.convert_columns(&columns)?;
        let (mut missing, mut asked, mut known) = (Vec::new(), Vec::new(), Vec::new());
        for (place, key) in (0_u32..).zip(encoded.iter()) {
            match self.cache.as_ref().and_then(|cache| cache.get(key.as_ref(), context.now)) {
                Some(rows) if rows.num_rows() == 0 => {}
                Some(rows) => known.push(rows.clone()),
                None => {
                    missing.push(place);
                    asked.push(key.as_ref().into());
                }
            }
        }
        let number = self.next_number;
        self.next_number += 1;
        if !missing.is_empty() {
            let keys = RecordBatch::try_new(Arc::clone(&self.asked), columns)?;
            let mailbox = Arc::clone(&self.mailbox);
            let answer = Answer::new(move |rows| {
                mailbox.lock().insert(number, rows);
            });
            self.lookup.look_up(take_record_batch(&keys, &UInt32Array::from(missing))?, answer);
        }
        Ok(Waiting { number, rows, known, asked })
    }

    fn new_keys(&self) -> Result<Keys> {
        Keys::new(&self.keys, [&self.schemas[0], &self.schemas[1]], false)
    }

    /// Emits what is at the head of the queue and has its answer.
    fn advance(&mut self, context: &mut Context<'_>) -> Result<()> {
        while let Some(item) = self.queue.pop_front() {
            match item {
                Item::Watermark(watermark) => context.emit_watermark(watermark),
                Item::Rows(mut waiting) => {
                    if !waiting.asked.is_empty() {
                        let Some(answer) = self.mailbox.lock().remove(&waiting.number) else {
                            self.queue.push_front(Item::Rows(waiting));
                            break;
                        };
                        let answer = self.checked(answer?)?;
                        self.keep(&waiting.asked, &answer, context)?;
                        waiting.known.push(answer);
                    }
                    self.waiting_rows -= waiting.rows.num_rows();
                    self.join(waiting, context)?;
                }
            }
        }
        if self.queue.is_empty() {
            if std::mem::take(&mut self.holding) {
                context.go_on();
            }
        } else {
            context.set_timer(context.now.plus_us(LOOK_US));
        }
        Ok(())
    }

    /// An answer with the schema that was promised.
    fn checked(&self, answer: RecordBatch) -> Result<RecordBatch> {
        RecordBatch::try_new(Arc::clone(&self.schemas[1]), answer.columns().to_vec())
            .map_err(|error| EngineError::Internal(format!("the answer of a lookup does not fit: {error}")))
    }

    /// Puts an answer into the cache, key by key.
    fn keep(&mut self, asked: &[Box<[u8]>], answer: &RecordBatch, context: &Context<'_>) -> Result<()> {
        let Some(cache) = &mut self.cache else { return Ok(()) };
        let columns: Vec<ArrayRef> = self.keys.iter().map(|key| Arc::clone(answer.column(key.right))).collect();
        let encoded = self.encoder.convert_columns(&columns)?;
        let mut rows: HashMap<&[u8], Vec<u32>> = asked.iter().map(|key| (key.as_ref(), Vec::new())).collect();
        for (row, key) in (0..).zip(encoded.iter()) {
            if let Some(rows) = rows.get_mut(key.as_ref()) {
                rows.push(row);
            }
        }
        for (key, rows) in rows {
            cache.put(key, take_record_batch(answer, &UInt32Array::from(rows))?, context.now);
        }
        Ok(())
    }

    /// Joins rows with their answers.
    fn join(&self, waiting: Waiting, context: &mut Context<'_>) -> Result<()> {
        let mut keys = self.new_keys()?;
        let mut stores = [0, 1].map(|port| Store::new(Arc::clone(&self.schemas[port])));
        let answers = concat_batches(&self.schemas[1], &waiting.known)?;
        for (port, rows) in [waiting.rows, answers].into_iter().enumerate() {
            let slots = keys.slots(port, &rows)?;
            stores[port].add(rows, &slots)?;
        }
        let [left, right] = &stores;
        let rows = [&left.rows, &right.rows];
        let drivers: Vec<u32> = (0..left.len()).collect();
        let mut matched = vec![false; drivers.len()];
        let (mut walk, mut out) = (Walk::new(&drivers, None), Vec::new());
        loop {
            let mut pairs = Pairs::default();
            let more = walk.fill(left, right, |_, _| true, &mut pairs);
            self.residual.narrow(rows, &mut pairs, context)?;
            pairs.0.iter().for_each(|&row| matched[row as usize] = true);
            self.output.make(rows, &Rows::Pairs(&pairs.0, &pairs.1), false, &mut out)?;
            if !more {
                break;
            }
        }
        if self.outer {
            let lonely: Vec<u32> = drivers.iter().copied().filter(|&row| !matched[row as usize]).collect();
            self.output.make(rows, &Rows::Left(&lonely, false), false, &mut out)?;
        }
        out.into_iter().for_each(|delta| context.emit(delta));
        Ok(())
    }

    /// Nothing passes before what is on its way.
    fn wait(&mut self, context: &mut Context<'_>) {
        if !self.queue.is_empty() {
            self.holding = true;
            context.hold();
        }
    }
}

impl Operator for LookupJoin {
    fn on_delta(&mut self, _port: usize, delta: Delta, context: &mut Context<'_>) -> Result<()> {
        if delta.sign != Sign::AppendOnly {
            return Err(EngineError::Unsupported("a lookup join of an updating input".into()));
        }
        self.waiting_rows += delta.rows();
        let waiting = self.ask(delta.batch, context)?;
        self.queue.push_back(Item::Rows(waiting));
        self.advance(context)?;
        if self.waiting_rows > WAITING_ROWS_MAX {
            self.wait(context);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, context: &mut Context<'_>) -> Result<()> {
        self.queue.push_back(Item::Watermark(watermark));
        self.advance(context)
    }

    fn on_barrier(&mut self, _epoch: Epoch, context: &mut Context<'_>) -> Result<()> {
        self.advance(context)?;
        self.wait(context);
        Ok(())
    }

    fn on_timer(&mut self, _now: ProcessingTime, context: &mut Context<'_>) -> Result<()> {
        self.advance(context)
    }

    fn on_end(&mut self, context: &mut Context<'_>) -> Result<()> {
        self.advance(context)?;
        self.wait(context);
        Ok(())
    }

    fn capture(&mut self, _epoch: Epoch, _base: Option<Epoch>) -> Result<Vec<Table>> {
        Ok(Vec::new())
    }

    fn restore(&mut self, _state: OperatorState) -> Result<()> {
        Ok(())
    }
}
