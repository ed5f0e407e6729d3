//! Intervals with a time, as PostgreSQL writes them and clients send them: `1 day 02:03:04.5`, `-1 days +00:00:05`.

/// The interval in units alone; `None` where it has no time, or one that cannot be read.
pub(super) fn in_words(text: &str) -> Option<String> {
    if !text.contains(':') {
        return None;
    }
    let words = text.split_whitespace().map(|word| {
        let word = word.trim_end_matches(',');
        if word.contains(':') { time(word) } else { Some(word.to_owned()) }
    });
    Some(words.collect::<Option<Vec<_>>>()?.join(" "))
}

/// `[±]hours:minutes[:seconds]` in units.
fn time(word: &str) -> Option<String> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", word.strip_prefix('+').unwrap_or(word)),
    };
    let number = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    match digits.split(':').collect::<Vec<_>>().as_slice() {
        [hours, minutes] if number(hours) && number(minutes) => {
            Some(format!("{sign}{hours} hours {sign}{minutes} mins"))
        }
        [hours, minutes, seconds] if number(hours) && number(minutes) && number(seconds) => {
            Some(format!("{sign}{hours} hours {sign}{minutes} mins {sign}{seconds} secs"))
        }
        _ => None,
    }
}
