//! Benchmarks in phases: each runs in a process of its own, so that its peak memory is its own too.

use std::{path::Path, process::Command};

/// What a phase is called, and what it does with the scratch place and the number of chunks.
pub type Phase = (&'static str, fn(&Path, u64));

/// The whole `main` of such a benchmark: runs the phases in this order for each count of the
/// command line, or for the usual counts; or one phase, if we are the process that was started for
/// it.
pub fn run(phases: &[Phase], order: &[&str], usual_counts: &[u64]) {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let asked = args.first().and_then(|name| phases.iter().find(|phase| phase.0 == name));
    match (asked, &args[..]) {
        (Some((_, phase)), [_, place, count]) => phase(Path::new(place), parse(count)),
        (_, []) => usual_counts.iter().for_each(|count| measure(order, *count)),
        (_, counts) => counts.iter().for_each(|count| measure(order, parse(count))),
    }
}

fn measure(order: &[&str], count: u64) {
    println!("\n{count} chunks");
    let folder = tempfile::tempdir().expect("a scratch folder");
    for phase in order {
        let mut command = Command::new(std::env::current_exe().expect("we are running"));
        let _ = command.arg(phase).arg(folder.path().join("place")).arg(count.to_string());
        assert!(command.status().expect("it starts").success(), "{phase} failed");
    }
}

fn parse(count: &str) -> u64 {
    count.parse().expect("a number of chunks")
}

/// The most memory that this process ever had.
pub fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().expect("kilobytes");
    kilobytes * 1024 / 1_000_000
}
