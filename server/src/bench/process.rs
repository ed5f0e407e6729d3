//! A task in a process of its own.

use std::io::Write;
use std::process::{Command, Stdio};

use clap::Args;
use serde::de::DeserializeOwned;

use super::task::Task;
use crate::config::Flags;

/// Runs a task in a child process and reads its answer.
///
/// # Errors
/// Where no process can be started, or the child fails, which tells why on standard error.
pub(super) fn run<T: DeserializeOwned>(task: &Task) -> Result<T, String> {
    with_flags(task, &[])
}

/// As [`run`], with flags of the process instead of those that this one was told.
///
/// # Errors
/// As [`run`].
pub(super) fn with_flags<T: DeserializeOwned>(task: &Task, flags: &[(&str, String)]) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|error| format!("could not find this program: {error}"))?;
    let told = serde_json::to_vec(task).map_err(|error| error.to_string())?;
    let mut child = Command::new(program)
        .args(inherited(std::env::args().skip(1), flags))
        .args(["bench", "child"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("could not start a process: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(&told).map_err(|error| format!("could not hand over a task: {error}"))?;
    }
    let output = child.wait_with_output().map_err(|error| format!("could not wait for a process: {error}"))?;
    if !output.status.success() {
        return Err(format!("{} failed", name(task)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{} told nothing that can be read: {error}", name(task)))
}

/// The flags of the process (memory, epochs) hold for the child as well, before the subcommand or behind it, but for those that
/// are given anew.
fn inherited(words: impl Iterator<Item = String>, flags: &[(&str, String)]) -> Vec<String> {
    let of_process = Flags::augment_args(clap::Command::new("millstream"));
    let takes_value = |word: &str| {
        let name = word.strip_prefix("--")?;
        let known = of_process.get_arguments().find(|argument| argument.get_long() == Some(name))?;
        Some(known.get_action().takes_values())
    };
    let (mut words, mut kept) = (words, Vec::new());
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let Some(takes_value) = takes_value(name) else { continue };
        let (name, value) = (name.to_owned(), value.map(str::to_owned));
        let value = value.or_else(|| takes_value.then(|| words.next())?);
        if flags.iter().all(|(flag, _)| *flag != name) {
            kept.push(name);
            kept.extend(value);
        }
    }
    kept.extend(flags.iter().flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]));
    kept
}

fn name(task: &Task) -> &str {
    match task {
        Task::Prepare { .. } => "writing files",
        Task::Measure(work) => &work.name,
        Task::Digest { .. } => "comparing rows",
        Task::Latency(follow) => &follow.name,
        Task::Fill(fill) => &fill.name,
        Task::Recover(recover) => &recover.name,
    }
}

#[cfg(test)]
mod tests {
    use super::inherited;

    #[test]
    fn flags_of_the_process_are_handed_on() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let line = || words("--shards 4 --epoch-interval 10ms bench nexmark --events 5").into_iter();
        let shards = |count: &str| [("--shards", count.to_owned())];
        assert_eq!(inherited(line(), &[]), words("--shards 4 --epoch-interval 10ms"));
        assert_eq!(inherited(line(), &shards("2")), words("--epoch-interval 10ms --shards 2"));
        assert_eq!(inherited(words("--shards=4 bench scale").into_iter(), &shards("1")), words("--shards 1"));
        let behind = words("--shards 4 bench nexmark --events 5 --epoch-interval=10ms --queries q1");
        assert_eq!(inherited(behind.into_iter(), &[]), words("--shards 4 --epoch-interval 10ms"));
    }
}
