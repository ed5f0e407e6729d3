//! The picture of the demo: redrawn in place on a terminal, lines elsewhere.

use std::io::{self, Write};

/// A result with its title: the first row holds the names.
pub(super) type Panel<'a> = (&'a str, Vec<Vec<String>>);

/// Where the panels are shown.
pub(super) struct Screen<'a> {
    terminal: bool,
    psql: &'a str,
    drawn: bool,
}

impl<'a> Screen<'a> {
    /// A screen that also tells how to connect.
    pub(super) fn new(terminal: bool, psql: &'a str) -> Self {
        Self { terminal, psql, drawn: false }
    }

    /// Shows the panels.
    ///
    /// # Errors
    /// Where standard output is gone.
    pub(super) fn draw(&mut self, panels: &[Panel<'_>]) -> io::Result<()> {
        let text = if self.terminal { self.picture(panels) } else { self.lines(panels) };
        self.drawn = true;
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    fn picture(&self, panels: &[Panel<'_>]) -> String {
        // The first time the screen is cleared; then lines are written over, each cleared to its end.
        let mut out = String::from(if self.drawn { "\x1b[H" } else { "\x1b[2J\x1b[H" });
        let mut line = |text: &str| {
            out.push_str(text.trim_end());
            out.push_str("\x1b[K\n");
        };
        line("Millstream demo: about 1,000 auction events a second. Ctrl-C ends it.");
        line(&format!("  {}", self.psql));
        line("  try: SUBSCRIBE TO bids_per_second;  SHOW JOBS;  \\d");
        for (title, rows) in panels {
            line("");
            line(&format!("\x1b[1m{title}\x1b[0m"));
            let widths = widths(rows);
            rows.iter().for_each(|row| line(&format!("  {}", aligned(row, &widths))));
        }
        out.push_str("\x1b[J");
        out
    }

    fn lines(&self, panels: &[Panel<'_>]) -> String {
        let mut out = String::new();
        if !self.drawn {
            out.push_str(&format!("{}\n", self.psql));
        }
        for (title, rows) in panels {
            let [names, rows @ ..] = rows.as_slice() else {
                continue;
            };
            if let Some(first) = rows.first() {
                let cells = names.iter().zip(first).map(|(name, cell)| format!("{name}={cell}"));
                out.push_str(&format!("{title}: {}\n", cells.collect::<Vec<_>>().join(" ")));
            }
        }
        out
    }
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    (0..columns).map(|column| width(column).unwrap_or(0)).collect()
}

fn aligned(row: &[String], widths: &[usize]) -> String {
    row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use super::Screen;

    #[test]
    fn lines_for_a_pipe() {
        let mut screen = Screen::new(false, "psql -p 1");
        let rows = vec![vec!["second".to_owned(), "bids".to_owned()], vec!["12:00:01".to_owned(), "920".to_owned()]];
        assert_eq!(screen.lines(&[("bids a second", rows)]), "psql -p 1\nbids a second: second=12:00:01 bids=920\n");
        screen.drawn = true;
        assert_eq!(screen.lines(&[("empty", vec![])]), "");
    }
}
