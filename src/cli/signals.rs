//! Ctrl-C and SIGTERM: the first asks the work to stop at the next chunk, the second ends the
//! process at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ},
    iterator::Signals as Arriving,
};

use crate::cli::{ExitCode, output::Output};

/// Which signal arrived.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    /// Number of the first one, 0 if none.
    first: Arc<AtomicI32>,
}

impl Signals {
    /// Watches from now on. The watching thread ends with the process: it waits for a signal that
    /// may never come.
    pub fn watch(&self, output: &Arc<Output>, stop: &Arc<AtomicBool>) {
        // Where signals cannot be caught they still end the process, which every step of ours
        // survives.
        let Ok(mut arriving) = Arriving::new([SIGINT, SIGTERM, SIGHUP]) else { return };
        let (first, output, stop) = (Arc::clone(&self.first), Arc::clone(output), Arc::clone(stop));
        let _ = thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in arriving.forever() {
                if first.swap(signal, Ordering::SeqCst) != 0 {
                    output.hide_progress();
                    signal_hook::low_level::exit(i32::from(exit_code_of(signal).number()));
                }
                stop.store(true, Ordering::SeqCst);
                output.message("Stopping, finished parts are kept. Again to stop at once.");
            }
        });
    }

    /// The exit code of a command that ended with this one: work that was stopped tells by which
    /// signal.
    pub fn exit_code(&self, exit_code: ExitCode) -> ExitCode {
        match (exit_code, self.first.load(Ordering::SeqCst)) {
            (ExitCode::Interrupted, signal) if signal != 0 => exit_code_of(signal),
            _ => exit_code,
        }
    }
}

/// Makes a write beyond a limit on file sizes an error, as a full disk is, and not the end of the
/// process.
pub fn survive_file_size_limits() {
    // A handler that does nothing to speak of; where there is none, the process ends, which every
    // step of ours survives.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
}

/// A terminal that was closed asks for the same as SIGTERM.
const fn exit_code_of(signal: i32) -> ExitCode {
    match signal {
        SIGINT => ExitCode::Interrupted,
        _ => ExitCode::Terminated,
    }
}
