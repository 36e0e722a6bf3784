//! Draws the board: the live table on a terminal, and the last screen everywhere.
//!
//! Plain lines of text with a little ANSI; on a terminal each picture is drawn over the last one.
//! Drawing is a pure function of the [`Board`], so that the pictures are tested as text.

use std::fmt::Write as _;

use super::board::{Board, Cell, ORIGINS, QueryBoard, WINDOW_MS};
use super::new_york::NewYork;
use brooklet_protocol::Timestamp;

/// How many hours the table shows.
const HOURS: i64 = 5;

/// The longest bar, in characters; a bar is one character per [`MINUTES_PER_CHARACTER`].
const BAR_MAX: usize = 16;
const MINUTES_PER_CHARACTER: f64 = 15.0;

/// What the table shows beside the board: where the demo listens, and how fast it runs.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) board: &'a Board,
    pub(super) kafka: &'a str,
    /// Records per second over the last redraws.
    pub(super) rate: f64,
    pub(super) colour: bool,
}

impl Frame<'_> {
    /// The whole table, one string per line.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.event_time(), self.closed(), String::new(), self.head()];
        for hour in self.board.hours(HOURS) {
            lines.extend(
                ORIGINS
                    .iter()
                    .enumerate()
                    .map(|(i, origin)| self.row(hour, i, origin)),
            );
        }
        lines.extend([String::new(), self.late(), self.hint()]);
        lines
    }

    fn event_time(&self) -> String {
        let board = self.board;
        let time = board
            .stream_time
            .map_or("-".into(), |t| NewYork::at(t).to_string());
        let filled = (board.records_in * 24 / board.records_total.max(1)) as usize;
        let bar = format!(
            "{}{}",
            "█".repeat(filled),
            "░".repeat(24_usize.saturating_sub(filled))
        );
        let (read, total) = (thousands(board.records_in), thousands(board.records_total));
        format!(
            " event time  {time:<16} (New York)  {bar}  {read:>5}/{total} records  {:>6.0}/s",
            self.rate
        )
    }

    fn closed(&self) -> String {
        let mut line = String::from(" closed up to");
        for query in &self.board.queries {
            let up_to = self.board.stream_time.and_then(|t| query.closed_up_to(t));
            let up_to = up_to.map_or("-".into(), |t| NewYork::at(t).to_string());
            push(
                &mut line,
                format_args!("   {} (waits {}) {up_to}", query.name, waits(query)),
            );
        }
        line
    }

    fn head(&self) -> String {
        let mut line = format!(" {:<12} {:<4}", "scheduled", "from");
        for query in &self.board.queries {
            push(
                &mut line,
                format_args!(" │ {:<34}", format!("{}: flights, mean delay", query.name)),
            );
        }
        self.dim(line)
    }

    fn row(&self, hour: i64, index: usize, origin: &str) -> String {
        let hours = if index == 0 {
            let clock = |ms| NewYork::at(Timestamp(ms)).clock();
            format!("{}-{}", clock(hour), clock(hour + WINDOW_MS))
        } else {
            String::new()
        };
        let mut line = format!(" {hours:<12} {origin:<4}");
        for query in &self.board.queries {
            let cell = query.cells.get(&(hour, origin.to_owned()));
            push(&mut line, format_args!(" │ {}", self.cell(cell)));
        }
        line
    }

    fn cell(&self, cell: Option<&Cell>) -> String {
        let Some(cell) = cell else {
            return format!("{:>34}", "");
        };
        // A mean that rounds to zero has no sign.
        let mean = if cell.mean().abs() < 0.5 {
            0.0
        } else {
            cell.mean()
        };
        let length = ((mean / MINUTES_PER_CHARACTER).ceil().max(0.0) as usize).min(BAR_MAX);
        let bar = format!("{:<BAR_MAX$}", "█".repeat(length));
        let closed = if cell.closed { "closed" } else { "" };
        let text = format!("{:>3} {mean:>5.0} min {}", cell.count, self.red(bar, mean));
        format!("{text} {}", self.dim(format!("{closed:<6}")))
    }

    fn late(&self) -> String {
        let counts = self
            .board
            .queries
            .iter()
            .map(|q| format!("{} {}", q.name, thousands(q.late)));
        format!(
            " too late so far   {}",
            counts.collect::<Vec<_>>().join("   ")
        )
    }

    fn hint(&self) -> String {
        let hint = format!(
            " try   kcat -b {} -t flights -C -o beginning -c 3",
            self.kafka
        );
        self.dim(hint)
    }

    fn dim(&self, text: String) -> String {
        if self.colour {
            format!("\x1b[2m{text}\x1b[0m")
        } else {
            text
        }
    }

    /// Delays of an hour and more are shown in red.
    fn red(&self, text: String, mean_min: f64) -> String {
        if self.colour && mean_min >= 60.0 {
            format!("\x1b[31m{text}\x1b[0m")
        } else {
            text
        }
    }
}

/// `45 min`, `6 h`.
pub(super) fn waits(query: &QueryBoard) -> String {
    match query.grace.as_secs() / 60 {
        minutes if minutes >= 60 && minutes % 60 == 0 => format!("{} h", minutes / 60),
        minutes => format!("{minutes} min"),
    }
}

/// `6027` as `6,027`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("writing to a string");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Storm day, 19:40: the fast query has given up on hours that the patient one still fills.
    fn storm() -> Board {
        let mut fast = QueryBoard::new("fast", Duration::from_secs(45 * 60));
        let mut patient = QueryBoard::new("patient", Duration::from_secs(6 * 3600));
        let noon = 1_362_762_000_000;
        fast.note(
            noon,
            "EWR".into(),
            Cell {
                count: 2,
                delay_min_sum: 140,
                closed: true,
            },
        );
        patient.note(
            noon,
            "EWR".into(),
            Cell {
                count: 10,
                delay_min_sum: 2250,
                closed: false,
            },
        );
        (fast.late, patient.late) = (1351, 2);
        let stream_time = Some(Timestamp(noon + 2 * WINDOW_MS));
        let queries = vec![fast, patient];
        Board {
            queries,
            records_in: 4182,
            records_total: 6027,
            malformed: 0,
            stream_time,
        }
    }

    #[test]
    fn the_table_shows_both_queries_side_by_side() {
        let frame = Frame {
            board: &storm(),
            kafka: "127.0.0.1:9092",
            rate: 100.4,
            colour: false,
        };
        let text = frame.lines().join("\n");
        for expected in [
            "event time  Fri 8 Mar 14:00  (New York)",
            "4,182/6,027 records     100/s",
            "fast (waits 45 min) Fri 8 Mar 13:00   patient (waits 6 h) Fri 8 Mar 08:00",
            " 12:00-13:00  EWR  │   2    70 min █████            closed │  10   225 min ███████████████ ",
            "too late so far   fast 1,351   patient 2",
            "kcat -b 127.0.0.1:9092 -t flights",
        ] {
            assert!(text.contains(expected), "{expected:?} is not in\n{text}");
        }
        assert_eq!(frame.lines().len(), 4 + 15 + 3);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(thousands(27), "27");
        assert_eq!(thousands(6027), "6,027");
        assert_eq!(thousands(1_000_000), "1,000,000");
    }
}
