//! `restore FILE.zip`: an export, without any repository.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{
    cli::{
        ExitCode,
        args::{OverwriteArg, RestoreArgs},
        context::Context,
        error::Error,
        exported::{absolute, passphrase, terms},
        output::Tone,
        run::{Done, recorded, unrecorded},
        text,
    },
    config::Config,
    ops::{
        event::Observer,
        export::manifest::Manifest,
        run_record::Start,
        unpack::{Export, Written},
    },
};

/// The file that is meant, if a SNAP is one: no selector ends so.
pub fn export_file(snap: &OsStr) -> Option<PathBuf> {
    let path = Path::new(snap);
    let is_zip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    is_zip.then(|| path.to_owned())
}

pub fn run(
    context: &Context,
    config: &Config,
    args: &RestoreArgs,
    file: &Path,
) -> Result<Done, Error> {
    let asks_for_more = !args.include.is_empty()
        || !args.exclude.is_empty()
        || args.overwrite != OverwriteArg::Changed
        || args.delete
        || args.live;
    if asks_for_more {
        let message = "an export is restored by whole parts, beside what is there".to_owned();
        return Err(Error::Usage { message, help: "choose with --part NAME" });
    }
    let work = |observer: &dyn Observer| restore(context, config, (args, file), observer);
    if args.dry_run {
        return unrecorded(context, work);
    }
    let items = vec![file.to_string_lossy().into_owned()];
    recorded(context, config, Start { items, ..Start::default() }, work)
}

fn restore(
    context: &Context,
    config: &Config,
    (args, file): (&RestoreArgs, &Path),
    observer: &dyn Observer,
) -> Result<Done, Error> {
    let target = args.target.clone().unwrap_or_default();
    let terms = terms(context, config, observer, absolute(&target)?);
    let export = Export::open(&terms, &absolute(file)?)?;
    let passphrase = passphrase(context, &export, args.export_password_file.as_ref())?;
    if args.dry_run {
        let manifest = export.check(&terms, passphrase.as_ref())?;
        context.output.hide_progress();
        context.output.remark("Preview only. Nothing is written. The export is whole.");
        tell_parts(context, &manifest);
        return Ok(Done::new(ExitCode::Done).figure("dry_run", true));
    }
    let parts = args.part.iter().cloned().collect();
    let (manifest, written) = export.restore(&terms, passphrase.as_ref(), &parts)?;
    context.output.hide_progress();
    tell_parts(context, &manifest);
    tell(context, &written);
    Ok(Done::new(ExitCode::Done)
        .figure("dry_run", false)
        .figure("files", written.files)
        .figure("databases", written.databases)
        .figure("bytes", written.bytes))
}

fn tell_parts(context: &Context, manifest: &Manifest) {
    for part in &manifest.parts {
        let incomplete = if part.complete { "" } else { ", incomplete in its snapshot" };
        context.output.remark(&format!(
            "  {:<24} taken {}{incomplete}",
            part.restored_name(),
            text::printable(part.taken.as_bytes()),
        ));
    }
}

fn tell(context: &Context, written: &Written) {
    let output = &context.output;
    output.remark(&format!(
        "{} Restored: {}, {}, {}, {}.",
        output.mark(Tone::Good),
        text::counted(written.databases, "database"),
        text::counted(written.files, "file"),
        text::bytes(written.bytes),
        text::duration(context.took()),
    ));
}
