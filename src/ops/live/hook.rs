//! Commands of the owner that stop, migrate and start the application.
//!
//! A hook is a program and its arguments, run as they are: no shell, so nothing in them is
//! expanded. Who wants a shell names one: `["sh", "-c", "..."]`. What it prints goes to the record
//! of the run. It may leave processes behind; it is over when its own process is.

use std::{
    fs::File,
    io,
    os::unix::process::CommandExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{
    clock::Clock,
    disk::{Dir, Disk, read_exact_at},
    limits::KIB,
    ops::event::{Event, Observer},
};

/// How often a hook that is waited for is looked at.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a hook that is told to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// What is kept of what a hook prints.
const OUTPUT_BYTES_MAX: u64 = 64 * KIB as u64;

/// What hooks run on.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    pub disk: &'a dyn Disk,
    /// Where their output waits to be read.
    pub scratch: &'a Dir,
    pub clock: &'a dyn Clock,
    pub timeout: Duration,
    pub observer: &'a dyn Observer,
}

/// Whether Ctrl-C ends a hook.
#[derive(Debug, Clone, Copy)]
pub enum Stops<'a> {
    At(&'a AtomicBool),
    /// It is part of taking something back.
    Never,
}

impl Runner<'_> {
    /// Runs a hook and waits for it; one without words succeeds.
    ///
    /// # Errors
    /// In words: how it ended, or why it did not begin.
    pub fn run(&self, name: &str, words: &[String], stops: Stops<'_>) -> Result<(), String> {
        let Some((program, arguments)) = words.split_first() else { return Ok(()) };
        let failed = |error: io::Error| format!("{program}: {error}");
        let output = self.disk.create_unnamed(self.scratch, 0o600).map_err(failed)?;
        let handle = || output.try_clone().map(Stdio::from).map_err(failed);
        let mut child = Command::new(program)
            .args(arguments)
            .env("STILLPOINT_HOOK", name)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(handle()?)
            .stderr(handle()?)
            // Ctrl-C is for us: we decide what becomes of the hook.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let ended = self.wait(&mut child, stops);
        self.log(name, &output);
        match ended? {
            status if status.success() => Ok(()),
            status => Err(format!("{program} ended with {status}")),
        }
    }

    fn wait(&self, child: &mut Child, stops: Stops<'_>) -> Result<ExitStatus, String> {
        let began = self.clock.elapsed();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            let is_stopped = matches!(stops, Stops::At(stop) if stop.load(Ordering::Relaxed));
            if is_stopped || self.clock.elapsed() - began > self.timeout {
                self.end(child);
                return Err(match is_stopped {
                    true => "stopped".to_owned(),
                    false => format!("it did not end within {} s", self.timeout.as_secs()),
                });
            }
            self.clock.sleep(PATIENCE);
        }
    }

    /// Asks the hook and all that it started to end, and then makes them.
    fn end(&self, child: &mut Child) {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let signal = |signal| group.map(|group| kill_process_group(group, signal));
        let _ = signal(Signal::TERM);
        let began = self.clock.elapsed();
        while self.clock.elapsed() - began < GRACE {
            if matches!(child.try_wait(), Ok(Some(_))) {
                break;
            }
            self.clock.sleep(PATIENCE);
        }
        let _ = signal(Signal::KILL);
        let _ = child.wait();
    }

    fn log(&self, name: &str, output: &File) {
        let length = self.disk.stat_file(output).map_or(0, |stat| stat.bytes);
        let mut bytes = vec![0; length.min(OUTPUT_BYTES_MAX) as usize];
        if read_exact_at(self.disk, output, &mut bytes, 0).is_err() {
            return;
        }
        for line in String::from_utf8_lossy(&bytes).lines() {
            let event = Event::Note { item: name.to_owned(), message: line.to_owned() };
            self.observer.observe(&event);
        }
    }
}
