//! `mirror add` and `mirror remove`: the mirrors of the configuration file.

use std::{ffi::OsStr, path::Path};

use super::fresh;
use crate::{
    cli::{
        ExitCode,
        args::{MirrorAddArgs, MirrorKindArg, MirrorName},
        context::Context,
        error::Error,
        mirrors,
        output::Tone,
        run::{Done, brief, unrecorded},
        text,
    },
    config::edit::{self, Edited},
    disk::file,
    ops::mirror,
};

const FILE_MODE: u32 = 0o644;

pub fn add(context: &Context, args: &MirrorAddArgs) -> Result<Done, Error> {
    let config = context.config()?;
    if config.mirrors.iter().any(|mirror| mirror.name == args.name) {
        return Err(mirror::Error::Taken { name: args.name.clone() }.into());
    }
    let (edited, added) = edit::add_mirror(&config, &context.variables, &pairs(args))?;
    unrecorded(context, |observer| {
        // Google Drive cannot be asked before someone signed in.
        if args.kind != MirrorKindArg::Gdrive {
            let repository = context.open(&config, observer)?;
            let target = fresh(context, &repository, &added)?;
            let _ = mirror::holds(&repository, &target)?;
            let _ = target.backend.prove()?;
            context.output.hide_progress();
        }
        write(context, &edited)?;
        let output = &context.output;
        let good = output.mark(Tone::Good);
        let place = text::printable(added.place.to_string().as_bytes());
        output.remark(&format!(
            "{good} {} is {place}, written into {}",
            added.name,
            edited.path.display()
        ));
        let next = match args.kind {
            MirrorKindArg::Gdrive => format!("stillpoint mirror login {}", added.name),
            _ => format!("stillpoint mirror sync {}", added.name),
        };
        output.remark(&format!("Next  {next}"));
        Ok(Done::new(ExitCode::Done).figure("place", added.place.to_string()))
    })
}

fn pairs(args: &MirrorAddArgs) -> [(&'static str, Option<String>); 14] {
    let path = |path: &Option<std::path::PathBuf>| {
        path.as_deref().map(|path| {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            absolute.display().to_string()
        })
    };
    [
        ("name", Some(args.name.clone())),
        ("kind", Some(args.kind.as_str().to_owned())),
        ("path", path(&args.path)),
        ("folder", args.folder.clone()),
        ("client_id", args.client_id.clone()),
        ("client_secret_file", path(&args.client_secret_file)),
        ("bucket", args.bucket.clone()),
        ("prefix", args.prefix.clone()),
        ("endpoint", args.endpoint.clone()),
        ("region", args.region.clone()),
        ("account", args.account.clone()),
        ("credentials_file", path(&args.credentials_file)),
        ("profile", args.profile.clone()),
        ("limit_upload", args.limit_upload.clone()),
    ]
}

pub fn remove(context: &Context, args: &MirrorName) -> Result<Done, Error> {
    let config = context.config()?;
    let mirror = mirrors::named(&config, &args.name)?;
    let Some(edited) = edit::remove_mirror(&config, &context.variables, &args.name)? else {
        return Err(mirror::Error::Unknown { name: args.name.clone(), known: Vec::new() }.into());
    };
    write(context, &edited)?;
    // What is known of it is only a cache; a repository that does not open now keeps it.
    let _ = brief(context, |observer| {
        let repository = context.open(&config, observer)?;
        mirror::Ledger::remove(&repository, &args.name)
            .map_err(|source| Error::StateFolder { path: config.state_root.clone(), source })
    });
    let place = text::printable(mirror.place.to_string().as_bytes());
    context.output.object("stillpoint.removed/1", serde_json::json!({ "name": args.name }));
    context.output.remark(&format!("{} is taken out. What is in {place} stays there.", args.name));
    Ok(ExitCode::Done.into())
}

fn write(context: &Context, edited: &Edited) -> Result<(), Error> {
    let disk = &*context.machine.disk;
    let folder = edited.path.parent().unwrap_or(Path::new("/"));
    let name = edited.path.file_name().unwrap_or(OsStr::new("stillpoint.toml"));
    disk.create_root(folder, 0o755)
        .and_then(|dir| file::replace(disk, &dir, name, edited.text.as_bytes(), FILE_MODE))
        .map_err(|source| Error::ConfigNotWritten { path: edited.path.clone(), source })
}
