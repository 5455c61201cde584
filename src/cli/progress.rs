//! How a long command shows what it does: a line that moves on a terminal, a line now and then
//! elsewhere, JSON lines for programs.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    cli::{
        json,
        output::{Form, Output, Tone},
        text,
    },
    clock::Clock,
    format::record::Outcome,
    ops::event::{Event, Observer, PartDone, Phase, Progress},
};

/// Without a terminal, a long phase says this often how far it is.
const PLAIN_PERIOD: Duration = Duration::from_secs(30);
/// Programs need not be told more often.
const JSON_PERIOD: Duration = Duration::from_secs(1);
/// Problems shown one by one; the run record has more.
const PROBLEMS_SHOWN_MAX: u64 = 20;

/// Draws events.
pub struct Display<'a> {
    output: &'a Output,
    clock: &'a dyn Clock,
    /// A short command shows its phases on a terminal only.
    tells_phases: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Option<Phase>,
    item: String,
    began: Duration,
    told: Duration,
    problem_count: u64,
    /// Bytes of parts are written to a target, not stored.
    restores: bool,
}

impl<'a> Display<'a> {
    /// For a command that takes its time.
    pub fn new(output: &'a Output, clock: &'a dyn Clock) -> Self {
        Self { output, clock, tells_phases: true, state: Mutex::default() }
    }

    /// For a command that answers at once, unless the disk is slow.
    pub fn brief(output: &'a Output, clock: &'a dyn Clock) -> Self {
        Self { tells_phases: false, ..Self::new(output, clock) }
    }

    /// Ends the drawing, and says how many problems were not shown.
    pub fn finish(&self) {
        self.output.hide_progress();
        let left_out = self.state().problem_count.saturating_sub(self.shown_max());
        if left_out > 0 && self.output.form() != Form::JsonLines {
            let more = text::count(left_out);
            self.output.warning(&format!("and {more} more; all are in the log: stillpoint runs"));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shown_max(&self) -> u64 {
        if self.output.is_verbose() { u64::MAX } else { PROBLEMS_SHOWN_MAX }
    }

    /// Says that the command is at work, before the disk has been asked for anything.
    pub fn starting(&self) {
        if self.output.is_moving() {
            self.output.show_progress("starting".to_owned());
        } else if self.tells_phases {
            self.output.message("starting");
        }
    }

    fn enter(&self, phase: Phase, item: &str) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        state.phase = Some(phase);
        state.restores |= phase == Phase::Restore;
        item.clone_into(&mut state.item);
        (state.began, state.told) = (now, now);
        drop(state);
        let item = text::printable(item.as_bytes());
        self.output.event(&json::Event::Phase { phase: phase.as_str(), item: item.clone() });
        if self.output.is_moving() {
            self.output.show_progress(sentence(phase, &item));
            self.output.restart_progress();
        } else if self.tells_phases {
            self.output.message(&sentence(phase, &item));
        }
    }

    fn advance(&self, progress: &Progress) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let Some(phase) = state.phase else { return };
        let period = match self.output.form() {
            Form::JsonLines => JSON_PERIOD,
            _ if self.output.is_moving() => Duration::ZERO,
            _ => PLAIN_PERIOD,
        };
        if now.saturating_sub(state.told) < period {
            return;
        }
        state.told = now;
        let (item, took) = (state.item.clone(), now.saturating_sub(state.began));
        drop(state);
        if self.output.form() == Form::JsonLines {
            self.output.event(&json::Event::Progress(wire(phase, item, progress)));
            return;
        }
        let what = sentence(phase, &text::printable(item.as_bytes()));
        let far = how_far(progress, took).join("  ");
        if self.output.is_moving() {
            let bar = bar(progress, self.output.is_utf8());
            let current = text::printable(&progress.current);
            self.output.show_progress(format!("{what}  {bar}{far}  {current}"));
        } else if self.tells_phases {
            self.output.message(&format!("{what}: {far}"));
        }
    }

    fn part_done(&self, done: &PartDone) {
        self.output.event(&json::Event::part(done));
        let verb = if self.state().restores { "written" } else { "new" };
        let tone = match done.outcome {
            Outcome::Complete => Tone::Good,
            _ => Tone::Caution,
        };
        self.output.remark(&format!("{} {}", self.output.mark(tone), part_line(done, verb)));
    }

    fn problem(&self, part: &str, path: &[u8], message: &str) {
        let mut state = self.state();
        state.problem_count += 1;
        let shown = state.problem_count <= self.shown_max();
        drop(state);
        if shown {
            let path = text::printable(path);
            let item = match (part, path.as_str()) {
                (part, "") => part.to_owned(),
                ("", path) => path.to_owned(),
                (part, path) => format!("{part}/{path}"),
            };
            self.output.warning(&format!("{item}: {}", text::printable(message.as_bytes())));
        }
    }
}

impl Observer for Display<'_> {
    fn observe(&self, event: &Event) {
        match event {
            Event::Phase { phase, item } => self.enter(*phase, item),
            Event::Progress(progress) => self.advance(progress),
            Event::PartDone(done) => self.part_done(done),
            Event::PartFailed { part, code, message } => {
                self.part_failed(part, code, message);
            }
            Event::Problem { part, path, code, message } => {
                if self.output.form() == Form::JsonLines {
                    self.output.event(&json::Event::Warning {
                        code: code.clone(),
                        item: part.clone(),
                        path: Some(json::PathText::new(path)),
                        message: message.clone(),
                    });
                } else {
                    self.problem(part, path, message);
                }
            }
            Event::Warning { item, message } => {
                let about = if item.is_empty() { String::new() } else { format!("{item}: ") };
                self.output.warning(&text::printable(format!("{about}{message}").as_bytes()));
            }
            Event::Note { .. } => {}
        }
    }
}

impl Display<'_> {
    fn part_failed(&self, part: &str, code: &str, message: &str) {
        let message = text::printable(message.as_bytes());
        if self.output.form() == Form::JsonLines {
            self.output.event(&json::Event::Error {
                code: code.to_owned(),
                message,
                item: part.to_owned(),
                effect: Some("this part is not in the snapshot; the others are".to_owned()),
                help: Vec::new(),
                causes: Vec::new(),
                exit_code: None,
            });
        } else {
            self.output.warning(&format!("{part} is not in the snapshot: {message}  [{code}]"));
        }
    }
}

fn wire(phase: Phase, item: String, progress: &Progress) -> json::Progress {
    json::Progress {
        phase: phase.as_str(),
        item,
        bytes: progress.bytes,
        bytes_total: progress.bytes_total,
        items: progress.items,
        items_total: progress.items_total,
        current: json::PathText::new(&progress.current),
    }
}

/// What is going on, in words.
fn sentence(phase: Phase, item: &str) -> String {
    let words = match phase {
        Phase::Open if item.is_empty() => "reading the index",
        Phase::Open => "opening",
        Phase::Wait if item.is_empty() => "waiting",
        Phase::Wait => "waiting for",
        Phase::Count => "counting",
        Phase::Capture => "capturing",
        Phase::Read => "reading",
        Phase::Publish => "publishing",
        Phase::Plan => "planning",
        Phase::Restore => "restoring",
        Phase::Upload => "sending to",
        Phase::Sync => "waiting for the disk",
        Phase::Verify => "verifying",
        Phase::Check => "checking",
        Phase::Rebuild => "rebuilding the index",
        Phase::Mark => "finding what is in use",
        Phase::Move => "moving what is in use",
        Phase::Delete => "removing what is not",
        Phase::Forget => "forgetting",
        Phase::Repair => "repairing",
        Phase::Compact => "compacting",
        Phase::Export => "exporting",
    };
    // The disk is waited for as a whole, whatever was written to it.
    let is_whole = item.is_empty() || phase == Phase::Sync;
    if is_whole { words.to_owned() } else { format!("{words} {item}") }
}

/// Ten cells of how much is done; nothing while the total is not known.
fn bar(progress: &Progress, utf8: bool) -> String {
    const CELLS: u64 = 10;
    let Some(percent) = percent(progress) else { return String::new() };
    let (full, empty) = if utf8 { ("█", "░") } else { ("#", ".") };
    let done = (percent * CELLS / 100) as usize;
    format!("{}{}  ", full.repeat(done), empty.repeat(CELLS as usize - done))
}

/// Percent, amount, speed and time left, as far as they are known.
fn how_far(progress: &Progress, took: Duration) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(percent) = percent(progress) {
        words.push(format!("{percent} %"));
    }
    words.push(match (progress.bytes_total, progress.items_total) {
        (Some(total), _) => format!("{} of {}", text::bytes(progress.bytes), text::bytes(total)),
        (None, Some(total)) => format!("{} of {}", text::count(progress.items), text::count(total)),
        (None, None) if progress.bytes > 0 => text::bytes(progress.bytes),
        (None, None) => text::count(progress.items),
    });
    let per_second = progress.bytes as f64 / took.as_secs_f64().max(0.001);
    // Before a second has passed any speed is a guess.
    if took.as_secs() >= 1 && progress.bytes > 0 {
        words.push(format!("{}/s", text::bytes(per_second as u64)));
        if let Some(left) = progress.bytes_total.map(|total| total.saturating_sub(progress.bytes)) {
            let seconds = Duration::from_secs_f64((left as f64 / per_second).min(359_999.0));
            words.push(format!("{} left", text::duration(seconds)));
        }
    }
    words
}

fn percent(progress: &Progress) -> Option<u64> {
    let (done, total) = match (progress.bytes_total, progress.items_total) {
        (Some(total), _) if total > 0 => (progress.bytes, total),
        (_, Some(total)) if total > 0 => (progress.items, total),
        _ => return None,
    };
    Some((u128::from(done) * 100 / u128::from(total)).min(100) as u64)
}

fn part_line(done: &PartDone, verb: &str) -> String {
    let what = format!("{} {}", json::kind(done.kind), done.part);
    let (bytes, new) = (text::bytes(done.bytes), text::bytes(done.bytes_new));
    let took = text::duration(done.took);
    let mut line = format!("{what:<20} {bytes:>8}  {new:>8} {verb}  {took:>7}");
    if done.outcome == Outcome::Damaged {
        line.push_str("  damaged");
    }
    if done.problem_count > 0 {
        line.push_str(&format!("  {}", text::counted(done.problem_count, "problem")));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half() -> Progress {
        Progress { bytes: 7_600_000_000, bytes_total: Some(12_400_000_000), ..Progress::default() }
    }

    #[test]
    fn progress_says_percent_amount_speed_and_time_left() {
        let words = how_far(&half(), Duration::from_secs(68));

        assert_eq!(words.join("  "), "61 %  7.6 GB of 12.4 GB  112 MB/s  42 s left");
        assert_eq!(bar(&half(), false), "######....  ");
    }

    #[test]
    fn nothing_is_claimed_before_it_is_known() {
        let counting = Progress { items: 4_112, ..Progress::default() };

        assert_eq!(how_far(&counting, Duration::from_secs(9)), ["4,112"]);
        assert_eq!(bar(&counting, true), "");
        let nothing = Progress { bytes_total: Some(0), ..Progress::default() };
        assert_eq!(percent(&nothing), None);
    }
}
