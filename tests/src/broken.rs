//! Broken input for parsers and decoders: valid input with bits turned, pieces cut out, doubled, mixed and nested, and a runner
//! that holds whoever reads it to the promise: an answer or an error, soon, and no panic.
//!
//! Compiled into the tests that need it. `MILLSTREAM_FUZZ_SECONDS` says how long each runs (else a short time),
//! `MILLSTREAM_SEED` where it begins. What fails is left in the directory for temporary files, and its seed is printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a run takes that nobody has asked more of.
const SHORT: Duration = Duration::from_millis(400);
/// How long one input may take, in a build that is not optimised: at least, and for each megabyte. The machine may do other things
/// too, so it is the time of the processor that counts.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_PER_MB: Duration = Duration::from_secs(6);
/// Memory that the process may have held at any time, in kilobytes: two gigabytes for all tests that run beside one another.
const MEMORY_KB_MAX: u64 = 2 << 20;
/// The longest input, but for the few that are as long as a statement may be.
const BYTES_MAX: usize = 64 << 10;
const LONG_BYTES: usize = 10 << 20;

/// Numbers that decide what is done, from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or(0)
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..(start + self.below(64) + 1).min(len)
    }
}

/// Numbers and bytes that are at the border of something, in any format.
const ODD: [&[u8]; 24] = [
    b"99999999999999999999999999999999999999999999",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1e400",
    b"1e-400",
    b"NaN",
    b"-0",
    b"0.00000000000000000000000000000000000000001",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\0",
    b"\xef\xbb\xbf",
    b"\\ud800",
    b"\\u0000",
    b"''",
    b"\"\"",
    b"\r\n",
    b"9999-12-31 23:59:59.999999999",
    b"-290000-01-01",
    b"\xf0\x9f\x90\x98",
];

/// One broken input from valid ones. `words` are those that mean something where the input is read.
fn broken(random: &mut Random, corpus: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
    let pick = |random: &mut Random| corpus.get(random.below(corpus.len())).cloned().unwrap_or_default();
    let mut bytes = pick(random);
    let long = random.below(5_000) == 0;
    for _ in 0..=random.below(4) {
        change(random, &mut bytes, &pick, words);
        if bytes.len() > BYTES_MAX {
            bytes.truncate(BYTES_MAX);
        }
    }
    if long && !bytes.is_empty() {
        let piece = bytes.clone();
        while bytes.len() < LONG_BYTES {
            bytes.extend_from_slice(&piece);
        }
    }
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, pick: &dyn Fn(&mut Random) -> Vec<u8>, words: &[&[u8]]) {
    let at = random.below(bytes.len() + 1);
    match random.below(10) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = u8::try_from(random.below(256)).unwrap_or(0);
            }
        }
        2 => bytes.truncate(at),
        3 => {
            let range = random.range(bytes.len());
            bytes.drain(range);
        }
        4 => {
            let range = random.range(bytes.len());
            let piece = bytes.get(range).unwrap_or_default().to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            // The beginning of one and the end of another.
            let other = pick(random);
            bytes.truncate(at);
            bytes.extend_from_slice(other.get(random.below(other.len() + 1)..).unwrap_or_default());
        }
        6 | 7 => {
            let word = words.get(random.below(words.len())).copied().unwrap_or_default();
            let end = if random.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
            bytes.splice(at..end, word.iter().copied());
        }
        8 => bytes.extend(ODD.get(random.below(ODD.len())).into_iter().flat_map(|odd| odd.iter().copied())),
        _ => {
            let odd = ODD.get(random.below(ODD.len())).copied().unwrap_or_default();
            let word = words.get(random.below(words.len())).copied().unwrap_or(odd);
            // Deep nesting, where the word opens something.
            let times = [1, 3, 100, 5_000, 50_000].get(random.below(5)).copied().unwrap_or(1);
            let piece = if random.below(3) == 0 { odd } else { word };
            bytes.splice(at..at, piece.repeat(times));
        }
    }
}

/// Gives broken inputs to `read` until the time is over. Each comes with its seed.
///
/// # Panics
/// Where `read` does, takes too long, or the process has come to hold too much memory.
pub(crate) fn run(name: &str, corpus: &[Vec<u8>], words: &[&[u8]], mut read: impl FnMut(&[u8])) {
    assert!(!corpus.is_empty(), "{name}: nothing to break");
    for (number, valid) in corpus.iter().enumerate() {
        one(name, number as u64, valid, &mut read);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let span = number("MILLSTREAM_FUZZ_SECONDS").map_or(SHORT, Duration::from_secs);
    let mut seed = number("MILLSTREAM_SEED").unwrap_or(1);
    let (began, first) = (Instant::now(), seed);
    while began.elapsed() < span {
        let bytes = broken(&mut Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d)), corpus, words);
        one(name, seed, &bytes, &mut read);
        seed += 1;
    }
    let held = memory_kb();
    eprintln!("{name}: {} inputs in {:?}, at most {} MB held", seed - first, began.elapsed(), held >> 10);
    assert!(held < MEMORY_KB_MAX, "{name}: {held} KB were held");
}

fn one(name: &str, seed: u64, bytes: &[u8], read: &mut impl FnMut(&[u8])) {
    // What ends the process leaves no other trace.
    let trace = std::env::var_os("MILLSTREAM_FUZZ_TRACE").map(PathBuf::from);
    if let Some(path) = &trace {
        std::fs::write(path.join(name), bytes).expect("the trace");
    }
    let (began, before) = (Instant::now(), processor_time());
    let outcome = catch_unwind(AssertUnwindSafe(|| read(bytes)));
    let megabytes = u32::try_from(bytes.len() >> 20).unwrap_or(u32::MAX);
    let patience = PATIENCE + PATIENCE_PER_MB * megabytes;
    let took = began.elapsed().min(processor_time().saturating_sub(before));
    if outcome.is_ok() && took < patience {
        return;
    }
    let path = std::env::temp_dir().join(format!("broken-{name}-{seed}"));
    std::fs::write(&path, bytes).expect("a file for what fails");
    let what = if outcome.is_err() { "a panic".to_owned() } else { format!("{took:?}") };
    panic!("{name}: seed {seed} gives {what}; its {} bytes are in {}", bytes.len(), path.display());
}

/// What the process has used of the processors; nothing where the system does not tell.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// The most memory that the process has held, in kilobytes; nothing where the system does not tell.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|text| text.parse().ok()).unwrap_or(0)
}
