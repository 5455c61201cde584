//! `forget`: what stays and why, what goes, and what that frees.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::{
    cli::{
        ExitCode,
        args::ForgetArgs,
        context::{Context, warn_of_damaged},
        error::Error,
        json,
        run::{Done, recorded, unrecorded},
        selection,
        table::{Column, Narrow, Table},
        text,
    },
    config::Config,
    id::SnapshotId,
    ops::{
        event::Observer,
        forget::{self, Most, Plan},
        retention::{Choice, Decision, Group, Policies, Reason},
        run_record::Start,
    },
    repo::{Repository, history::History},
};

use super::snapshots::{SHOWN_MAX, id_digits};

pub fn run(context: &Context, args: &ForgetArgs) -> Result<Done, Error> {
    let config = context.config()?;
    if args.dry_run {
        return unrecorded(context, |observer| {
            let repository = context.open(&config, observer)?;
            let judged = judge(context, &config, &repository, args)?;
            Ok(judged.show(context, args))
        });
    }
    let items = args.snaps.iter().map(|snap| snap.to_string_lossy().into_owned()).collect();
    recorded(context, &config, Start { items, ..Start::default() }, |observer| {
        let repository = context.open(&config, observer)?;
        let _lock = forget::lock(&repository)?;
        let judged = judge(context, &config, &repository, args)?;
        let done = judged.show(context, args);
        judged.execute(context, args, observer, done)
    })
}

/// What was decided, of what.
struct Judged<'a> {
    config: &'a Config,
    repository: &'a Repository,
    history: History,
    plan: Plan,
    /// Snapshots that were named and stay all the same.
    refused: usize,
    freed_bytes: u64,
}

fn judge<'a>(
    context: &Context,
    config: &'a Config,
    repository: &'a Repository,
    args: &ForgetArgs,
) -> Result<Judged<'a>, Error> {
    let history = repository.history()?;
    warn_of_damaged(&context.output, &history.damaged);
    let (now, zone) = (context.now(), &config.zone);
    let (plan, named) = if args.policy {
        let groups: Vec<Group> = match args.group.is_empty() {
            true => Group::ALL.to_vec(),
            false => args.group.iter().map(|group| (*group).into()).collect(),
        };
        let policies = policies(config, args);
        (Plan::new(&history, Choice::Policy(&policies, &groups), now, zone)?, 0)
    } else {
        let shown: Vec<_> = history.shown().cloned().collect();
        let mut named: HashSet<SnapshotId> = HashSet::new();
        for snap in &args.snaps {
            let _ = named.insert(selection::one(context, config, snap, &shown)?);
        }
        (Plan::new(&history, Choice::Named(&named), now, zone)?, named.len())
    };
    let freed_bytes = plan.freed_bytes(repository, &history)?;
    let refused = named.saturating_sub(plan.going().count());
    Ok(Judged { config, repository, history, plan, refused, freed_bytes })
}

/// The rules of the command line, or those of the configuration.
fn policies(config: &Config, args: &ForgetArgs) -> Policies {
    let policy = args.keep.policy();
    match policy.is_empty() {
        true => config.retention.policies.clone(),
        false => Policies::all(&policy),
    }
}

impl Judged<'_> {
    fn show(&self, context: &Context, args: &ForgetArgs) -> Done {
        let output = &context.output;
        output.hide_progress();
        if args.dry_run {
            output.remark("Preview only. Nothing is forgotten.");
        }
        if !output.is_quiet() {
            let left_out = self.table(context, args);
            if left_out > 0 {
                output.remark(&format!(
                    "... and {} that go.  All: -a",
                    text::counted(left_out as u64, "older snapshot")
                ));
            }
        }
        output.remark(&self.sum());
        let exit_code = if self.refused == 0 { ExitCode::Done } else { ExitCode::Incomplete };
        let (of, going) = (self.plan.asked, self.plan.going().count());
        let mut done = Done::new(exit_code)
            .figure("dry_run", args.dry_run)
            .figure("snapshots", of)
            .figure("going", going)
            .figure("staying", of - going)
            .figure("bytes_freed", self.freed_bytes)
            .figure("decisions", self.wire());
        done.repository_id = Some(self.repository.id().to_string());
        done
    }

    /// Prints what was asked about; returns how many rows were left out.
    fn table(&self, context: &Context, args: &ForgetArgs) -> usize {
        let digits = id_digits(&self.history.snapshots);
        let is_cut = !args.all && context.output.width().is_some();
        let mut table = Table::new([
            Column::left("ID"),
            Column::left("TAKEN"),
            Column::left("GROUP").when_narrow(Narrow::Drop(1)),
            Column::left("STAYS FOR").when_narrow(Narrow::Cut),
        ]);
        let (mut gone, mut left_out) = (0, 0);
        for decision in self.asked() {
            if decision.reasons.is_empty() {
                gone += 1;
                if is_cut && gone > SHOWN_MAX {
                    left_out += 1;
                    continue;
                }
            }
            table.row([
                decision.id.to_string()[..digits].to_owned(),
                text::moment(decision.created, context.now(), &self.config.zone),
                decision.group.as_str().to_owned(),
                text::printable(why(decision).as_bytes()),
            ]);
        }
        if !table.is_empty() {
            context.output.table(&table, "");
        }
        left_out
    }

    /// Decisions on what was asked about; where snapshots were named, on those and what else is
    /// worth telling.
    fn asked(&self) -> impl Iterator<Item = &Decision> {
        self.plan.decisions.iter().filter(|decision| decision.reasons != [Reason::NotAsked])
    }

    fn sum(&self) -> String {
        let going = self.plan.going().count();
        let of = text::counted(self.plan.asked as u64, "snapshot");
        if going == 0 {
            return format!("None of {of} goes.");
        }
        let freed = text::bytes(self.freed_bytes);
        format!(
            "{} of {of} {}, {} stay. Only those that go reach {freed}.",
            text::count(going as u64),
            if going == 1 { "goes" } else { "go" },
            text::count((self.plan.asked - going) as u64)
        )
    }

    fn wire(&self) -> Vec<Value> {
        let decisions = self.asked().map(|decision| {
            let reasons: Vec<String> = decision.reasons.iter().map(words).collect();
            json!({
                "id": decision.id.to_string(),
                "time": json::time(decision.created, &self.config.zone),
                "group": decision.group.as_str(),
                "stays": !decision.reasons.is_empty(),
                "reasons": reasons,
            })
        });
        decisions.collect()
    }

    fn execute(
        &self,
        context: &Context,
        args: &ForgetArgs,
        observer: &dyn Observer,
        done: Done,
    ) -> Result<Done, Error> {
        let most = if args.allow_most { Most::Allow } else { Most::Refuse };
        let usual = if args.policy { "policy" } else { "" };
        let reason = args.reason.as_deref().unwrap_or(usual);
        let forgotten = forget::execute(self.repository, &self.plan, (reason, most), observer)?;
        let output = &context.output;
        output.hide_progress();
        let count = forgotten.snapshots.len();
        if count > 0 {
            let days = self.config.retention.trash.as_secs() / (24 * 60 * 60);
            let days = text::counted(days, "day");
            output.remark(&format!(
                "Forgotten: {}. For {days}:  stillpoint undelete ID",
                text::counted(count as u64, "snapshot")
            ));
        }
        Ok(done.figure("forgotten", count).figure("taken_back", forgotten.taken_back.len()))
    }
}

/// Why a snapshot stays, or that it goes.
pub fn why(decision: &Decision) -> String {
    match decision.reasons.is_empty() {
        true => "(goes)".to_owned(),
        false => decision.reasons.iter().map(words).collect::<Vec<_>>().join(", "),
    }
}

/// A reason as people read it.
fn words(reason: &Reason) -> String {
    match reason {
        Reason::Pinned(why) if why.is_empty() => "pinned".to_owned(),
        Reason::Pinned(why) => format!("pinned: {why}"),
        Reason::Rule(rule, number) => format!("{} {number}", rule.as_str()),
        Reason::OldestFor(rule) => format!("oldest, for {}", rule.as_str()),
        Reason::Within(length) => format!("within {length}"),
        Reason::InFuture => "dated in the future".to_owned(),
        Reason::LastSound(database) => format!("last sound {database}"),
        Reason::LastOfGroup => "last of its group".to_owned(),
        Reason::NotAsked => "not asked about".to_owned(),
    }
}
