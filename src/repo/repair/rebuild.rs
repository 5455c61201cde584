//! Packs that parity covers: computed again, bit for bit, before anything else is tried.

use std::collections::HashSet;

use crate::{
    backend::ObjectName,
    id::PackId,
    repo::{
        Error, Repository, parity,
        repair::{Mirror, Outcome, Step, elsewhere, packs, put_back},
    },
};

/// Has every damaged or lost pack that parity covers rebuilt. Whether enough is left for it is
/// known when it is tried.
pub fn plan(repo: &Repository, steps: &mut Vec<Step>) -> Result<(), Error> {
    let objects = parity::objects(repo)?;
    let covered: HashSet<_> =
        objects.iter().flat_map(|object| &object.table.packs).map(|(pack, _)| *pack).collect();
    for step in steps.iter_mut() {
        if let Step::Salvage { pack, why, .. } = step
            && covered.contains(pack)
        {
            *step = Step::Rebuild { pack: *pack, why: std::mem::take(why) };
        }
    }
    let lost = parity::lost_packs(&*repo.catalogue()?, &objects);
    let rebuilt = |pack| Step::Rebuild { pack, why: "is missing".to_owned() };
    steps.extend(lost.into_iter().map(rebuilt));
    Ok(())
}

/// Puts a pack again as it was: from its parity, or else from a mirror. If neither can do that,
/// what opens of it is stored anew.
pub fn rebuild(
    repo: &Repository,
    mirrors: &[Mirror],
    pack: PackId,
    outcome: &mut Outcome,
) -> Result<(), Error> {
    let name = ObjectName::Pack(pack);
    for object in parity::objects(repo)? {
        let Some(bytes) = parity::rebuild(repo, &object, pack)? else { continue };
        put_back(repo, &name, &bytes, outcome)?;
        outcome.packs_rebuilt += 1;
        return acquit(repo, pack);
    }
    if elsewhere::fetch(repo, mirrors, &name, outcome).is_ok() {
        return Ok(());
    }
    match repo.env.backend.size(&name) {
        Ok(_) => packs::salvage(repo, &[pack], outcome),
        Err(_) => {
            let why = "more is lost than its parity can make good".to_owned();
            Err(Error::Corrupt { name: name.to_string(), why })
        }
    }
}

/// The pack was proven from the bytes that were written: it may be relied on again.
pub fn acquit(repo: &Repository, pack: PackId) -> Result<(), Error> {
    let mut state = repo.writer_state()?;
    if state.damaged_packs.remove(&pack.to_string()) {
        repo.state.set_writer(&repo.env, &state)?;
    }
    repo.forget_catalogue();
    Ok(())
}
