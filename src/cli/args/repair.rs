//! Arguments of `repair`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
#[command(
    after_help = "Without a word, everything is repaired. A repair deletes nothing: what is \
                        damaged is moved to the quarantine folder of the repository, after all \
                        that still opens in it was stored anew. What a mirror has whole is taken \
                        from there. What is lost, the next backup stores again from its sources, \
                        if they still have it."
)]
pub struct RepairArgs {
    /// Repair only this
    #[arg(value_enum, value_name = "WHAT")]
    pub what: Option<RepairArg>,
    /// Read all packs first; otherwise those are read that a check found damaged
    #[arg(long)]
    pub read_data: bool,
    /// Print the plan, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RepairArg {
    /// Index objects
    Index,
    /// Packs that are damaged
    Packs,
    /// Records of snapshots, and marks
    Snapshots,
}
