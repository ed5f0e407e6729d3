//! The list of Flink's built-in functions (`listing.txt`): how each is called, what it does, an example with its result,
//! or why it is not done. `docs/functions.md` is made from it, and the examples are run as tests.

use std::fmt::Write;

/// The list: `= Category`, then lines `call :: description | example => result | …` or `… ! reason`.
const LISTING: &str = include_str!("listing.txt");

/// A function of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFunction {
    /// Its family: `String`, `Temporal`.
    pub category: &'static str,
    /// How it is called, with the names of its arguments.
    pub signature: &'static str,
    /// What it gives, in a line.
    pub description: &'static str,
    /// Expressions and their results as text; `NULL` is null.
    pub examples: Vec<(&'static str, &'static str)>,
    /// Why it is not done, where it is not.
    pub missing: Option<&'static str>,
}

impl ListedFunction {
    /// The name that it is called by, where it is a function; the whole form, where it is an operator.
    pub fn name(&self) -> &'static str {
        let name = self.signature.split('(').next().unwrap_or(self.signature);
        if name.is_empty() || name.contains(' ') { self.signature } else { name }
    }
}

/// All functions of the list, in its order.
pub fn listed_functions() -> Vec<ListedFunction> {
    let mut category = "";
    let mut functions = Vec::new();
    for line in LISTING.lines() {
        if let Some(name) = line.strip_prefix("= ") {
            category = name;
            continue;
        }
        let Some((signature, rest)) = line.split_once(" :: ") else { continue };
        let (rest, missing) = match rest.split_once(" ! ") {
            Some((rest, missing)) => (rest, Some(missing)),
            None => (rest, None),
        };
        let mut parts = rest.split(" | ");
        let description = parts.next().unwrap_or_default();
        let examples = parts.filter_map(|example| example.split_once(" => ")).collect();
        functions.push(ListedFunction { category, signature, description, examples, missing });
    }
    functions
}

/// The list as a page of Markdown.
pub fn functions_page() -> String {
    let mut page = String::from(
        "# Functions\n\nMade from `sql/src/functions/listing.txt`; the examples are run as tests. Functions of DataFusion \
         and PostgreSQL that are not in Flink's list can be called too.\n",
    );
    let all = listed_functions();
    let done = all.iter().filter(|function| function.missing.is_none()).count();
    // Writing to a string does not fail.
    let _ = writeln!(
        page,
        "\nOf the {} lines of Flink's list {done} work ({} %).",
        all.len(),
        done * 100 / all.len().max(1)
    );
    let mut category = "";
    let cell = |text: &str| text.replace('|', "\\|");
    for function in all {
        if function.category != category {
            category = function.category;
            let _ = write!(page, "\n## {category}\n\n| function | what it gives | example |\n|---|---|---|\n");
        }
        let examples: Vec<String> =
            function.examples.iter().map(|(call, result)| format!("`{}` → `{}`", cell(call), cell(result))).collect();
        let examples = match function.missing {
            Some(reason) => format!("**not done**: {}", cell(reason)),
            None => examples.join("<br>"),
        };
        let (signature, description) = (cell(function.signature), cell(function.description));
        let _ = writeln!(page, "| `{signature}` | {description} | {examples} |");
    }
    page
}
