//! Mirrors: second places of the same repository, complete enough to restore from alone.
//!
//! A mirror holds a subset of the same objects under the same names with the same bytes. What goes
//! up before a record is all that the record reaches, so that whatever a mirror shows as a snapshot
//! can be restored from it. Pending records stay here. What is known of a mirror lies in a
//! [`Ledger`], which is a cache: dropped when in doubt, and never the cause of a deletion.

mod ahead;
mod copy;
mod identity;
mod keep;
mod ledger;
mod places;
mod plan;
mod push;
mod reconcile;
mod tend;

use std::sync::Arc;

pub use ahead::{Made, send_ahead};
pub use copy::Sent;
pub use identity::{Holds, holds};
pub use keep::Keep;
pub use ledger::{Ledger, Memory, Notes, Tended};
pub use places::{Outlook, Presence, Waiting};
pub use push::{Pushed, push};
pub use reconcile::{Finding, Look, Mend, Reconciled, reconcile};
pub use tend::{Need, Upkeep, is_due, outlook, tend};

use crate::{
    backend::{self, Backend},
    ops,
    repo::{self, Repository, marks},
};

/// A mirror that can be reached.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: String,
    pub backend: Arc<dyn Backend>,
    /// How long snapshots stay there; everything is sent and stays without it.
    pub keep: Option<Keep>,
}

/// Why a mirror is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It holds another repository, and nothing is mixed with that.
    #[error("{place} holds another repository ({id})")]
    OtherRepository { place: String, id: String },
    /// Somebody removes from it what the new snapshots rely on.
    #[error("{place} is being pruned, and the new snapshots need what is to go")]
    BeingPruned { place: String },
    #[error("there is no mirror named {name}")]
    Unknown { name: String, known: Vec<String> },
    #[error("there is a mirror named {name} already")]
    Taken { name: String },
    #[error("another run is sending to the mirror {name}: {holder}")]
    Busy { name: String, holder: String },
    /// More than half of what stayed there the last time would go at once.
    #[error("the policy of {name} would let {going} of {of} snapshots there go")]
    TooMany { name: String, going: usize, of: usize },
    /// The mirror does not show this snapshot.
    #[error("the mirror {name} has no snapshot {id}")]
    NotThere { name: String, id: String },
}

/// Forgets a snapshot on the mirror only: a marker there hides it, and undoing that shows it again.
/// Its data goes when the mirror is pruned.
pub fn forget(mirror: &Repository, name: &str, prefix: &str) -> Result<repo::Snapshot, ops::Error> {
    let shown = mirror.snapshots()?.snapshots;
    let mut found = shown.into_iter().filter(|one| one.id.to_string().starts_with(prefix));
    match (found.next(), found.next()) {
        (Some(snapshot), None) => {
            let _ = marks::forget(mirror, snapshot.id, "forgotten on this mirror only")?;
            Ok(snapshot)
        }
        _ => Err(Error::NotThere { name: name.to_owned(), id: prefix.to_owned() }.into()),
    }
}

/// Whether the object is simply not there.
const fn is_missing(error: &backend::Error) -> bool {
    matches!(error, backend::Error::Missing { .. })
}
