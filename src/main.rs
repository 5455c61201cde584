//! Parses nothing, decides nothing: hands the command line over and returns the exit code.

fn main() -> std::process::ExitCode {
    stillpoint::cli::run(std::env::args_os()).into()
}
