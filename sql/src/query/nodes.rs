//! The plan nodes that DataFusion does not have: [`Watermark`], [`WindowTvf`] and [`StateTtl`].
//!
//! They live in bound plans. The streaming path lowers them to operators, the batch path replaces them by standard
//! nodes; no physical planner ever sees them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, DataFusionError, Result, TableReference};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use millstream_engine::plan::{EarlyEmit, Window, WindowEmit};

/// The type of `window_start`, `window_end` and `window_time`: `TIMESTAMP(3)`.
pub(crate) const WINDOW_TYPE: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// `WATERMARK FOR column AS expr` over the rows of a table. Passes its rows on as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Watermark {
    /// The rows.
    pub(crate) input: Arc<LogicalPlan>,
    /// The event-time column.
    pub(crate) column: Expr,
    /// The watermark that a row stands for.
    pub(crate) expr: Expr,
}

impl Watermark {
    /// The node as a plan.
    pub(crate) fn plan(input: LogicalPlan, column: Expr, expr: Expr) -> LogicalPlan {
        let node = Self { input: Arc::new(input), column, expr };
        LogicalPlan::Extension(Extension { node: Arc::new(node) })
    }

    /// The node of a plan, where it is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for Watermark {
    fn name(&self) -> &str {
        "Watermark"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.column.clone(), self.expr.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watermark: {} AS {}", self.column, self.expr)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([column, expr]), Ok([input])) = (<[Expr; 2]>::try_from(exprs), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return Err(DataFusionError::Internal("a watermark has one input and two expressions".into()));
        };
        Ok(Self { input: Arc::new(input), column: column.unalias(), expr: expr.unalias() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// `STATE_TTL`: how long state over the rows of a table is kept. Passes its rows on as they are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct StateTtl {
    /// The rows.
    pub(crate) input: Arc<LogicalPlan>,
    /// Microseconds without a touch; 0 is for ever.
    pub(crate) ttl_us: i64,
}

impl StateTtl {
    /// The node as a plan.
    pub(crate) fn plan(input: LogicalPlan, ttl_us: i64) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Self { input: Arc::new(input), ttl_us }) })
    }

    /// The node of a plan, where it is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for StateTtl {
    fn name(&self) -> &str {
        "StateTtl"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateTtl: {}", span(self.ttl_us))
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return Err(DataFusionError::Internal("a time to live has one input".into()));
        };
        Ok(Self { input: Arc::new(input), ttl_us: self.ttl_us })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// A windowing table function: every row of its input once for each of its windows, with the columns
/// `window_start`, `window_end` and `window_time` appended.
#[derive(Debug, Clone)]
pub(crate) struct WindowTvf {
    /// The rows.
    pub(crate) input: Arc<LogicalPlan>,
    /// The windows.
    pub(crate) window: Window,
    /// The column behind `DESCRIPTOR`.
    pub(crate) time: Expr,
    /// `PARTITION BY` of a session.
    pub(crate) partition_by: Vec<Expr>,
    /// When results come out, where it is said.
    pub(crate) emit: Option<WindowEmit>,
    /// Names of the three appended columns.
    names: [String; 3],
    schema: DFSchemaRef,
}

impl WindowTvf {
    /// The names of the appended columns where the input does not have them.
    pub(crate) const NAMES: [&'static str; 3] = ["window_start", "window_end", "window_time"];

    /// A node over `input`.
    ///
    /// # Errors
    /// Where a name of `names` is one of the input's.
    pub(crate) fn try_new(
        input: LogicalPlan,
        window: Window,
        time: Expr,
        partition_by: Vec<Expr>,
        names: [String; 3],
    ) -> Result<Self> {
        let appended = names.iter().map(|name| (None, Arc::new(Field::new(name, WINDOW_TYPE, false)) as FieldRef));
        let fields: Vec<(Option<TableReference>, FieldRef)> = input
            .schema()
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::clone(field)))
            .chain(appended)
            .collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, HashMap::new())?);
        Ok(Self { input: Arc::new(input), window, time, partition_by, emit: None, names, schema })
    }

    /// The node as a plan.
    pub(crate) fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The node of a plan, where it is one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The same windows, whose results come out as `emit` says.
    pub(crate) fn emitting(mut self, emit: WindowEmit) -> Self {
        self.emit = Some(emit);
        self
    }

    /// Names of the three appended columns.
    pub(crate) fn names(&self) -> &[String; 3] {
        &self.names
    }

    fn order(&self) -> (&Arc<LogicalPlan>, String, &Expr, &Vec<Expr>, &[String; 3]) {
        (&self.input, format!("{:?}", self.window), &self.time, &self.partition_by, &self.names)
    }
}

/// The three names, with the number appended that makes them unlike the names in `taken` (as Flink does).
pub(crate) fn window_names<'a>(taken: impl Iterator<Item = &'a str>) -> [String; 3] {
    let taken: HashSet<&str> = taken.collect();
    WindowTvf::NAMES.map(|name| {
        let numbered = (0..).map(|number| format!("{name}{number}"));
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|candidate| !taken.contains(candidate.as_str()))
            .unwrap_or_else(|| name.to_owned())
    })
}

impl PartialEq for WindowTvf {
    fn eq(&self, other: &Self) -> bool {
        self.window == other.window
            && self.time == other.time
            && self.partition_by == other.partition_by
            && self.emit == other.emit
            && self.names == other.names
            && self.input == other.input
    }
}

impl Eq for WindowTvf {}

impl Hash for WindowTvf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.input.hash(state);
        self.time.hash(state);
        self.partition_by.hash(state);
        self.names.hash(state);
    }
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.order().partial_cmp(&other.order())
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        std::iter::once(self.time.clone()).chain(self.partition_by.iter().cloned()).collect()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        match self.window {
            // A row that is filtered out could have joined two sessions.
            Window::Session { .. } => self.schema.fields().iter().map(|field| field.name().clone()).collect(),
            Window::Tumble { .. } | Window::Hop { .. } | Window::Cumulate { .. } => {
                self.names.iter().cloned().collect()
            }
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowTvf: {} on {}", describe_window(self.window), self.time)?;
        if !self.partition_by.is_empty() {
            let keys: Vec<String> = self.partition_by.iter().map(ToString::to_string).collect();
            write!(f, " partition by {}", keys.join(", "))?;
        }
        match self.emit {
            Some(emit) => write!(f, " {}", describe_emit(emit)),
            None => Ok(()),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let mut exprs = exprs.into_iter().map(Expr::unalias);
        let (Some(time), Ok([input])) = (exprs.next(), <[LogicalPlan; 1]>::try_from(inputs)) else {
            return Err(DataFusionError::Internal("a window function has one input and a time column".into()));
        };
        let made = Self::try_new(input, self.window, time, exprs.collect(), self.names.clone())?;
        Ok(Self { emit: self.emit, ..made })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let columns = self.input.schema().fields().len();
        Some(vec![output_columns.iter().copied().filter(|index| *index < columns).collect()])
    }
}

/// A window as `EXPLAIN` shows it.
pub(crate) fn describe_window(window: Window) -> String {
    let offset = |us: i64| if us == 0 { String::new() } else { format!(", offset {}", span(us)) };
    match window {
        Window::Tumble { size_us, offset_us } => format!("TUMBLE(size {}{})", span(size_us), offset(offset_us)),
        Window::Hop { slide_us, size_us, offset_us } => {
            format!("HOP(slide {}, size {}{})", span(slide_us), span(size_us), offset(offset_us))
        }
        Window::Cumulate { step_us, size_us, offset_us } => {
            format!("CUMULATE(step {}, size {}{})", span(step_us), span(size_us), offset(offset_us))
        }
        Window::Session { gap_us } => format!("SESSION(gap {})", span(gap_us)),
    }
}

/// When the results of windows come out, as `EXPLAIN` shows it.
pub(crate) fn describe_emit(emit: WindowEmit) -> String {
    let early = match emit.early {
        EarlyEmit::Never => "emit on window close".to_owned(),
        EarlyEmit::EachEpoch => "emit on update".to_owned(),
        EarlyEmit::Every(every) => format!("emit every {}", span(every)),
    };
    match emit.lateness_us {
        0 => early,
        lateness => format!("{early}, allow lateness {}", span(lateness)),
    }
}

/// A span of microseconds in its largest whole unit.
pub(crate) fn span(us: i64) -> String {
    const UNITS: [(i64, &str); 5] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")];
    match UNITS.iter().find(|(length, _)| us != 0 && us % length == 0) {
        Some((length, unit)) => format!("{} {unit}", us / length),
        None => format!("{us} us"),
    }
}
