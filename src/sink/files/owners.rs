//! Owners of another machine, as numbers of this one.

use std::collections::BTreeMap;

use crate::format::node::Entry;

/// Which number a user or a group has here that has another one in the snapshot. Who is not in it
/// keeps his number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerMap {
    pub users: BTreeMap<u32, u32>,
    pub groups: BTreeMap<u32, u32>,
}

impl OwnerMap {
    /// The owner and group that the entry gets here.
    pub fn of(&self, entry: &Entry) -> (u32, u32) {
        self.here((entry.uid, entry.gid))
    }

    /// The numbers that these have here.
    pub fn here(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        let user = self.users.get(&uid).copied().unwrap_or(uid);
        (user, self.groups.get(&gid).copied().unwrap_or(gid))
    }
}
