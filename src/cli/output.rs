//! The one printer: results to standard output, progress and problems to standard error.
//!
//! It knows who reads. A person at a terminal gets colours, marks and a line that moves; a pipe
//! gets plain text; a program that asked for JSON gets nothing else on standard output. A reader
//! that went away is not an error.

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::{
    cli::{
        args::{ColorArg, Global},
        error::Explanation,
        json,
        table::Table,
        text,
    },
    config::{Spot, Variables},
};

/// What goes to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text for people.
    Text,
    /// One JSON object.
    JsonObject,
    /// A JSON object for each event, one a line.
    JsonLines,
    /// Bytes of a file, an object, a script.
    Raw,
}

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Caution,
    Faint,
}

/// Prints.
pub struct Output {
    form: Form,
    quiet: bool,
    verbose: bool,
    utf8: bool,
    width: Option<usize>,
    color_out: bool,
    color_err: bool,
    moving: bool,
    line: ProgressBar,
    out: Mutex<Stdout>,
}

#[derive(Default)]
struct Stdout {
    /// The reader is gone: the rest is for nobody.
    closed: bool,
    failed: Option<io::Error>,
    /// Items of the list that is being printed.
    list: Option<u64>,
}

/// Narrower terminals are treated as this wide: their lines wrap.
const WIDTH_MIN: usize = 40;
/// How often the line that moves is drawn, so that a person sees the program is alive.
const TICK: Duration = Duration::from_millis(100);

impl Output {
    /// Finds out who reads.
    pub fn new(form: Form, global: &Global, variables: &Variables) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let moving = err && !global.quiet && form != Form::JsonLines && !variables.dumb_terminal;
        Self {
            form,
            quiet: global.quiet,
            verbose: global.verbose,
            utf8: variables.utf8,
            width: variables
                .columns
                .or_else(|| terminal_width(out))
                .map(|width| width.max(WIDTH_MIN)),
            color_out: wants_color(global.color, variables, out),
            color_err: wants_color(global.color, variables, err),
            moving,
            line: moving_line(moving, variables.utf8),
            out: Mutex::default(),
        }
    }

    pub const fn form(&self) -> Form {
        self.form
    }

    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Whether marks beyond ASCII can be shown.
    pub const fn is_utf8(&self) -> bool {
        self.utf8
    }

    /// Whether standard error shows a line that moves.
    pub const fn is_moving(&self) -> bool {
        self.moving
    }

    /// Whether standard output has a width, so that a long list is better cut.
    pub const fn width(&self) -> Option<usize> {
        self.width
    }

    /// The mark of something that went well, badly, or so-so.
    pub fn mark(&self, tone: Tone) -> String {
        let mark = match (tone, self.utf8) {
            (Tone::Good, true) => "✔",
            (Tone::Good, false) => "ok",
            (Tone::Bad, true) => "✖",
            (Tone::Bad, false) => "x ",
            (Tone::Caution, true) => "!",
            (Tone::Caution, false) => "! ",
            (Tone::Faint, true) => "·",
            (Tone::Faint, false) => "- ",
        };
        paint(self.color_out, tone, mark)
    }

    /// Gives text on standard output its tone.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        paint(self.color_out, tone, text)
    }

    /// Prints a line of the result.
    pub fn result(&self, line: &str) {
        if self.form == Form::Text {
            self.write_out(format!("{line}\n").as_bytes());
        }
    }

    /// Prints a line that a quiet run does without.
    pub fn remark(&self, line: &str) {
        if !self.quiet {
            self.result(line);
        }
    }

    /// Prints a table, cut to the terminal.
    pub fn table(&self, table: &Table, indent: &str) {
        let width = self.width.map(|width| width - indent.len());
        let mut text = String::new();
        for (at, line) in table.lines(width).iter().enumerate() {
            let line = match at == 0 && table.has_titles() {
                true => self.tone(Tone::Faint, line),
                false => line.clone(),
            };
            text.push_str(&format!("{indent}{line}\n"));
        }
        if self.form == Form::Text {
            self.write_out(text.as_bytes());
        }
    }

    /// Prints the one object that a list command answers with.
    pub fn object(&self, schema: &'static str, data: impl Serialize) {
        if self.form == Form::JsonObject {
            self.json(&json::Object { schema, data });
        }
    }

    /// Begins an object whose data is a list too long to be gathered.
    pub fn begin_list(&self, schema: &'static str) {
        if self.form == Form::JsonObject {
            self.out().list = Some(0);
            self.write_out(format!("{{\"schema\":\"{schema}\",\"data\":[").as_bytes());
        }
    }

    /// Prints one item of the list.
    pub fn list_item(&self, item: &impl Serialize) {
        let Some(count) = self.out().list.as_mut().map(|count| {
            *count += 1;
            *count
        }) else {
            return;
        };
        let mut text = if count > 1 { b",\n".to_vec() } else { b"\n".to_vec() };
        text.extend(serde_json::to_vec(item).expect("wire types always become JSON"));
        self.write_out(&text);
    }

    /// Ends the list.
    pub fn end_list(&self) {
        if self.out().list.take().is_some() {
            self.write_out(b"\n]}\n");
        }
    }

    /// Prints one event of a long command.
    pub fn event(&self, event: &json::Event) {
        if self.form == Form::JsonLines {
            self.json(event);
        }
    }

    /// Writes bytes as they are. False: nobody reads any more.
    pub fn raw(&self, bytes: &[u8]) -> bool {
        self.write_out(bytes);
        self.is_read()
    }

    /// Whether somebody still reads standard output.
    pub fn is_read(&self) -> bool {
        let out = self.out();
        !out.closed && out.failed.is_none()
    }

    /// Prints a line about what goes on; not for quiet runs and not for programs.
    pub fn message(&self, line: &str) {
        if !self.quiet && self.form != Form::JsonLines {
            self.write_err(line);
        }
    }

    /// Prints what did no harm yet.
    pub fn warning(&self, text: &str) {
        if self.form == Form::JsonLines {
            self.json(&json::Event::warning(text));
        } else {
            self.write_err(&format!("{} {text}", paint(self.color_err, Tone::Caution, "warning:")));
        }
    }

    /// Prints why the command failed: what happened, the effect, the next step.
    pub fn error(&self, error: &Explanation) {
        let event = json::Event::error(error);
        if self.out().list.take().is_some() {
            // The list stays valid JSON, and says that it is not whole.
            let text = serde_json::to_string(&event).expect("wire types always become JSON");
            self.write_out(format!("\n],\"error\":{text}}}\n").as_bytes());
        } else if matches!(self.form, Form::JsonLines | Form::JsonObject) {
            self.json(&event);
        }
        let bad = paint(self.color_err, Tone::Bad, "error:");
        let code = paint(self.color_err, Tone::Faint, &format!("[{}]", error.code));
        let message = text::printable(error.message.as_bytes());
        self.write_err(&format!("{bad} {message}  {code}"));
        if let Some((spot, label)) = &error.spot {
            self.spot(spot, label);
        }
        if let Some(effect) = &error.effect {
            self.write_err(&format!("  effect  {effect}"));
        }
        for (at, help) in error.help.iter().enumerate() {
            let label = if at == 0 { "help  " } else { "      " };
            self.write_err(&format!("  {label}  {help}"));
        }
        // Without its cause "cannot write" says too little to act on; the rest of the chain is for
        // the curious.
        let shown = if self.verbose { error.causes.len() } else { 1 };
        for cause in error.causes.iter().take(shown) {
            self.write_err(&format!("  cause   {}", text::printable(cause.as_bytes())));
        }
    }

    /// Shows the place in a file, in the manner of compilers.
    fn spot(&self, spot: &Spot, label: &str) {
        let (top, side, dot, under, hook, end) = match self.utf8 {
            true => ("╭─", "│", "·", "─", "╰──", "╰────"),
            false => (",-", "|", ":", "^", "`--", "`----"),
        };
        let number = spot.line.to_string();
        let margin = " ".repeat(number.len());
        let before = " ".repeat(spot.column - 1);
        let path = text::printable(spot.path.as_os_str().as_encoded_bytes());
        let line = text::printable(spot.text.as_bytes());
        let underline = paint(self.color_err, Tone::Bad, &under.repeat(spot.length));
        self.write_err(&format!(" {margin} {top}[{path}:{}:{}]", spot.line, spot.column));
        self.write_err(&format!(" {number} {side} {line}"));
        self.write_err(&format!(" {margin} {dot} {before}{underline}"));
        self.write_err(&format!(" {margin} {dot} {before}{hook} {label}"));
        self.write_err(&format!(" {margin} {end}"));
    }

    /// Prints what clap has to say, which is usage or help.
    pub fn usage(&self, styled: &clap::builder::StyledStr, to_stderr: bool) {
        let color = if to_stderr { self.color_err } else { self.color_out };
        let text = if color { styled.ansi().to_string() } else { styled.to_string() };
        match to_stderr {
            true => self.write_err(text.trim_end()),
            false => self.write_out(text.as_bytes()),
        }
    }

    /// Begins to count the time that the line that moves shows.
    pub fn restart_progress(&self) {
        self.line.reset_elapsed();
    }

    /// Shows the text on the line that moves, until it is taken away.
    pub fn show_progress(&self, text: String) {
        self.line.set_message(text);
        if self.moving && self.line.is_finished() {
            self.line.reset();
            self.line.enable_steady_tick(TICK);
        }
    }

    /// Takes the line that moves away.
    pub fn hide_progress(&self) {
        self.line.finish_and_clear();
    }

    /// Asks on the terminal; the answer is not shown.
    pub fn prompt(&self, question: &str) {
        let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
    }

    /// Ends the line of a question.
    pub fn end_prompt(&self) {
        let _ = writeln!(io::stderr());
    }

    /// What kept the result from being written, if anything did. A reader that went away did not.
    pub fn finish(&self) -> io::Result<()> {
        self.hide_progress();
        let flushed = io::stdout().flush();
        let mut out = self.out();
        match (out.failed.take(), flushed) {
            (Some(error), _) => Err(error),
            (None, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }

    fn json(&self, value: &impl Serialize) {
        let mut line = serde_json::to_vec(value).expect("wire types always become JSON");
        line.push(b'\n');
        self.write_out(&line);
    }

    fn write_out(&self, bytes: &[u8]) {
        let mut out = self.out();
        if out.closed || out.failed.is_some() {
            return;
        }
        let written = self.line.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(bytes).and_then(|()| stdout.flush())
        });
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => out.closed = true,
            Err(error) => out.failed = Some(error),
            Ok(()) => {}
        }
    }

    /// Nobody can be told that standard error does not work.
    fn write_err(&self, line: &str) {
        self.line.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{line}");
        });
    }

    fn out(&self) -> MutexGuard<'_, Stdout> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line on standard error that is hidden until it is shown.
fn moving_line(moving: bool, utf8: bool) -> ProgressBar {
    let line = ProgressBar::new_spinner();
    line.set_draw_target(match moving {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    });
    let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed:>5}");
    let style = style.expect("a constant template is valid");
    line.set_style(if utf8 { style } else { style.tick_chars("|/-\\ ") });
    line.finish_and_clear();
    line
}

fn paint(color: bool, tone: Tone, text: &str) -> String {
    if !color {
        return text.to_owned();
    }
    let code = match tone {
        Tone::Good => "32",
        Tone::Bad => "1;31",
        Tone::Caution => "33",
        Tone::Faint => "2",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}

/// The flag, then our own variable, then the customs of other programs, then whether it is a
/// terminal.
fn wants_color(flag: Option<ColorArg>, variables: &Variables, terminal: bool) -> bool {
    let named = match variables.color.as_deref() {
        Some("always") => Some(ColorArg::Always),
        Some("never") => Some(ColorArg::Never),
        _ => None,
    };
    match flag.or(named) {
        Some(ColorArg::Always) => true,
        Some(ColorArg::Never) => false,
        _ if variables.no_color => false,
        _ if variables.force_color => true,
        _ => terminal && !variables.dumb_terminal,
    }
}

fn terminal_width(is_terminal: bool) -> Option<usize> {
    let size = is_terminal.then(|| rustix::termios::tcgetwinsize(io::stdout()).ok())??;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(values: &'static [(&'static str, &'static str)]) -> Variables {
        Variables::from_lookup(|name| {
            values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn colours_follow_the_flag_then_our_variable_then_customs_then_the_terminal() {
        for (flag, values, terminal, expected) in [
            (None, &[][..], true, true),
            (None, &[], false, false),
            (None, &[("NO_COLOR", "1")], true, false),
            (None, &[("NO_COLOR", "")], true, true),
            (None, &[("FORCE_COLOR", "1")], false, true),
            (None, &[("TERM", "dumb")], true, false),
            (None, &[("STILLPOINT_COLOR", "always"), ("NO_COLOR", "1")], false, true),
            (None, &[("STILLPOINT_COLOR", "never")], true, false),
            (Some(ColorArg::Always), &[("STILLPOINT_COLOR", "never")], false, true),
            (Some(ColorArg::Never), &[("FORCE_COLOR", "1")], true, false),
            (Some(ColorArg::Auto), &[("STILLPOINT_COLOR", "never")], true, true),
        ] {
            assert_eq!(
                wants_color(flag, &variables(values), terminal),
                expected,
                "{flag:?} {values:?}"
            );
        }
    }

    #[test]
    fn text_without_colour_is_left_as_it_is() {
        assert_eq!(paint(false, Tone::Bad, "x"), "x");
        assert_eq!(paint(true, Tone::Bad, "x"), "\x1b[1;31mx\x1b[0m");
    }
}
