//! What this process has used: CPU time and peak memory, from Linux's `/proc`.

use std::fs;
use std::io;

/// The kernel counts CPU time of a process in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU seconds of all threads of this process, user and system.
///
/// # Errors
/// Where `/proc` cannot be read.
pub(super) fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    parse_stat(&stat).ok_or_else(|| io::Error::other("could not read CPU time from /proc/self/stat"))
}

/// The most bytes of memory this process has held at a time.
///
/// # Errors
/// Where `/proc` cannot be read.
pub(super) fn peak_bytes() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    parse_status(&status, "VmHWM:").ok_or_else(|| io::Error::other("could not read peak memory from /proc/self/status"))
}

/// The bytes of memory that a process holds now.
///
/// # Errors
/// Where `/proc` cannot be read, as where there is no such process.
pub(super) fn resident_bytes(process: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    parse_status(&status, "VmRSS:").ok_or_else(|| io::Error::other("could not read memory from /proc"))
}

fn parse_stat(stat: &str) -> Option<f64> {
    // The name of the process, in parentheses, may hold anything; user and system time are the 12th and 13th behind it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn parse_status(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::{parse_stat, parse_status};

    #[test]
    fn proc_files() {
        let stat = "12 (mill) stream) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0";
        assert_eq!(parse_stat(stat), Some(3.0));
        assert_eq!(parse_status("Name:\tx\nVmHWM:\t    2048 kB\n", "VmHWM:"), Some(2 << 20));
    }
}
