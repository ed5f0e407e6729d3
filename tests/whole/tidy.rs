//! What ARCHITECTURE.md promises and no compiler checks: which crate may name what, and how long files and
//! functions are. What is over a limit today is listed with its size and may only shrink.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines above which a source file must be listed in `OVERSIZED_FILES`.
const FILE_LINES_MAX: usize = 400;
/// Lines above which a function must be listed in `OVERSIZED_FUNCTIONS`.
const FUNCTION_LINES_MAX: usize = 70;

/// Files over the limit and the size they may not exceed. Shrink the number when you shrink the file.
const OVERSIZED_FILES: &[(&str, usize)] =
    &[("connectors/src/formats/columns.rs", 530), ("sql/src/lower/aggregate.rs", 410)];
/// Functions over the limit (`file::function`) and the size they may not exceed.
const OVERSIZED_FUNCTIONS: &[(&str, usize)] = &[];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Every Rust file of the workspace with its path from the root and its text.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for folder in ["engine", "sql", "connectors", "database", "table", "server", "tests"] {
        let mut open = vec![root().join(folder)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The lines of code of a file: without comments, and without what stands in string literals on one line.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(number, line)| (number + 1, line.trim())).filter(|(_, line)| !line.starts_with("//"))
}

fn is_test_file(name: &str) -> bool {
    name.starts_with("tests/") || name.ends_with("/tests.rs") || name.contains("/tests/") || name.contains("laws")
}

#[test]
fn crates_depend_along_the_arrows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("millstream-engine", &[][..]),
        ("millstream-sql", &["millstream-engine"][..]),
        ("millstream-connectors", &["millstream-engine"][..]),
        ("millstream-table", &["millstream-engine", "millstream-sql", "millstream-database"][..]),
        ("millstream-database", &["millstream-engine", "millstream-sql", "millstream-connectors"][..]),
        ("millstream-server", &["millstream-engine", "millstream-sql", "millstream-database"][..]),
    ]);
    let packages = metadata["packages"].as_array().unwrap();
    for (package, may) in allowed {
        let found = packages.iter().find(|found| found["name"] == package).expect(package);
        for dependency in found["dependencies"].as_array().unwrap() {
            let name = dependency["name"].as_str().unwrap();
            let outside = !name.starts_with("millstream-");
            assert!(outside || may.contains(&name), "{package} may not depend on {name}");
            assert!(name != "pgwire" || package == "millstream-server", "only the server names pgwire, not {package}");
        }
    }
}

#[test]
fn only_the_right_places_name_a_library() {
    let rules: [(&str, &[&str]); 3] = [
        ("sqlparser", &["sql/"]),
        ("pgwire::", &["server/"]),
        ("datafusion::", &["sql/", "database/", "server/", "engine/src/expr/"]),
    ];
    for (name, text) in sources() {
        if is_test_file(&name) {
            continue;
        }
        // Unit tests may use DataFusion as their oracle.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (word, homes) in rules {
            if homes.iter().any(|home| name.starts_with(home)) {
                continue;
            }
            for (number, line) in code_lines(code) {
                assert!(!line.contains(word), "{name}:{number} names {word}, which only {homes:?} may");
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_one_place() {
    let sources = sources();
    let allowed = |(_, text): &(&String, &String)| text.contains("(unsafe_code");
    let found: Vec<&String> = sources.iter().filter(allowed).map(|(name, _)| name).collect();
    assert_eq!(found, ["connectors/src/kafka/queue.rs", "tests/whole/tidy.rs"]);
}

#[test]
fn the_engine_knows_no_connector_and_no_sql() {
    for (name, text) in sources() {
        if !name.starts_with("engine/src") || is_test_file(&name) {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code_lines(code) {
            for word in ["nexmark", "kafka", "filesystem", "pgwire"] {
                assert!(!line.to_ascii_lowercase().contains(word), "{name}:{number} names {word}");
            }
        }
    }
}

#[test]
fn nothing_sleeps_and_nothing_is_left_undone() {
    for (name, text) in sources() {
        if name == "tests/whole/tidy.rs" {
            continue;
        }
        for (number, line) in code_lines(&text) {
            for word in ["todo!(", "unimplemented!(", "dbg!("] {
                assert!(!line.contains(word), "{name}:{number} has {word}");
            }
            let sleeps = line.contains("thread::sleep") || line.contains("time::sleep(");
            let server = name.starts_with("server/src") || name.starts_with("database/src");
            assert!(!sleeps || (server && !is_test_file(&name)), "{name}:{number} sleeps");
        }
        for line in text.lines().filter(|line| line.trim_start().starts_with("#[ignore")) {
            assert!(line.contains("issue"), "{name}: #[ignore] without an issue: {line}");
        }
    }
}

#[test]
fn every_file_says_what_it_holds() {
    for (name, text) in sources() {
        assert!(text.starts_with("//!"), "{name} does not open with `//!`");
    }
}

#[test]
fn files_keep_their_size() {
    let listed: BTreeMap<&str, usize> = OVERSIZED_FILES.iter().copied().collect();
    let mut over = Vec::new();
    for (name, text) in sources() {
        let lines = text.lines().count();
        let most = listed.get(name.as_str()).copied().unwrap_or(FILE_LINES_MAX);
        if lines > most {
            over.push(format!("(\"{name}\", {lines}),"));
        }
    }
    assert!(over.is_empty(), "files over their limit:\n{}", over.join("\n"));
}

#[test]
fn functions_keep_their_size() {
    let listed: BTreeMap<&str, usize> = OVERSIZED_FUNCTIONS.iter().copied().collect();
    let mut over = Vec::new();
    // A test that is a table of cases is as long as its table.
    for (name, text) in sources().into_iter().filter(|(name, _)| !is_test_file(name)) {
        for (function, lines) in functions(&text) {
            let key = format!("{name}::{function}");
            if lines > listed.get(key.as_str()).copied().unwrap_or(FUNCTION_LINES_MAX) {
                over.push(format!("(\"{key}\", {lines}),"));
            }
        }
    }
    assert!(over.is_empty(), "functions over their limit:\n{}", over.join("\n"));
}

/// Name and length of each function, found by rustfmt's indentation: from the line of `fn` to the closing brace in
/// the same column.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut open: Vec<(String, usize, usize)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let trimmed = line.trim_start();
        if trimmed == "}"
            && let Some((name, _, start)) = open.pop_if(|(_, column, _)| *column == indent)
        {
            found.push((name, number - start + 1));
        }
        let Some((before, after)) = trimmed.split_once("fn ") else { continue };
        let starts = before.split_whitespace().all(|word| {
            ["pub", "async", "const", "unsafe"].contains(&word) || word.starts_with("pub(") || word == "extern"
        });
        let name: String = after.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if starts && !name.is_empty() && !line.trim_end().ends_with(';') && !line.trim_end().ends_with('}') {
            open.push((name, indent, number));
        }
    }
    found
}

#[test]
fn function_lengths_are_measured() {
    let text = "fn a() {\n    1;\n}\nimpl X {\n    pub(crate) fn b(\n        x: u8,\n    ) {\n        x;\n    }\n}\n";
    assert_eq!(functions(text), [("a".to_owned(), 3), ("b".to_owned(), 5)]);
}

#[test]
fn one_version_of_what_must_be_one() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for library in ["arrow", "datafusion", "object_store", "pgwire", "sqlparser", "parquet"] {
        let versions = lock.matches(&format!("name = \"{library}\"\n")).count();
        assert_eq!(versions, 1, "{versions} versions of {library} in Cargo.lock");
    }
}
