//! Names of objects. Spec: `format-spec/10-ids.md`, "Where objects lie".

use std::fmt;

use crate::id::{ObjectId, PackId, SnapshotId};

/// The folders of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    Descriptor,
    Keys,
    Packs,
    Index,
    Pending,
    Snapshots,
    Tombstones,
    Forgotten,
    Pinned,
    Parity,
    Quarantine,
}

impl Folder {
    /// All folders, in the order in which `check` walks them.
    pub const ALL: [Self; 11] = [
        Self::Descriptor,
        Self::Keys,
        Self::Packs,
        Self::Index,
        Self::Pending,
        Self::Snapshots,
        Self::Tombstones,
        Self::Forgotten,
        Self::Pinned,
        Self::Parity,
        Self::Quarantine,
    ];

    /// The folder's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descriptor => "descriptor",
            Self::Keys => "keys",
            Self::Packs => "packs",
            Self::Index => "index",
            Self::Pending => "pending",
            Self::Snapshots => "snapshots",
            Self::Tombstones => "tombstones",
            Self::Forgotten => "forgotten",
            Self::Pinned => "pinned",
            Self::Parity => "parity",
            Self::Quarantine => "quarantine",
        }
    }
}

/// Which of two copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copy {
    First,
    Second,
}

impl Copy {
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    const fn digit(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
        }
    }
}

/// The name of one object; every value is a valid name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    Descriptor {
        generation: u32,
        copy: Copy,
    },
    Slot {
        id: ObjectId,
        copy: Copy,
    },
    Ring {
        generation: u32,
        id: ObjectId,
        copy: Copy,
    },
    Pack(PackId),
    Index {
        sequence: u64,
        id: ObjectId,
    },
    Pending(SnapshotId),
    Snapshot(SnapshotId),
    Tombstone(ObjectId),
    Forgotten(ObjectId),
    Pinned(ObjectId),
    Parity(ObjectId),
    /// An object that a repair set aside, under its former name; a name may be set aside more than
    /// once.
    Quarantined {
        former: Box<ObjectName>,
        turn: u32,
    },
}

impl ObjectName {
    /// The folder that the object lies in.
    pub const fn folder(&self) -> Folder {
        match self {
            Self::Descriptor { .. } => Folder::Descriptor,
            Self::Slot { .. } | Self::Ring { .. } => Folder::Keys,
            Self::Pack(_) => Folder::Packs,
            Self::Index { .. } => Folder::Index,
            Self::Pending(_) => Folder::Pending,
            Self::Snapshot(_) => Folder::Snapshots,
            Self::Tombstone(_) => Folder::Tombstones,
            Self::Forgotten(_) => Folder::Forgotten,
            Self::Pinned(_) => Folder::Pinned,
            Self::Parity(_) => Folder::Parity,
            Self::Quarantined { .. } => Folder::Quarantine,
        }
    }

    /// The name inside its folder.
    pub fn file_name(&self) -> String {
        match self {
            Self::Descriptor { generation, copy } => format!("{generation:08x}.{}", copy.digit()),
            Self::Slot { id, copy } => format!("slot-{id}.{}", copy.digit()),
            Self::Ring { generation, id, copy } => {
                format!("ring-{generation:08x}-{id}.{}", copy.digit())
            }
            Self::Pack(id) => id.to_string(),
            Self::Index { sequence, id } => format!("{sequence:016x}-{id}"),
            Self::Pending(id) | Self::Snapshot(id) => id.to_string(),
            Self::Tombstone(id) | Self::Forgotten(id) | Self::Pinned(id) | Self::Parity(id) => {
                id.to_string()
            }
            Self::Quarantined { former, turn } => {
                let former = format!("{}-{}", former.folder().as_str(), former.file_name());
                if *turn == 1 { former } else { format!("{former}_{turn}") }
            }
        }
    }

    /// The name of the other copy, for an object that has two.
    pub fn twin(&self) -> Option<Self> {
        let mut twin = self.clone();
        match &mut twin {
            Self::Descriptor { copy, .. } | Self::Slot { copy, .. } | Self::Ring { copy, .. } => {
                *copy = copy.other();
                Some(twin)
            }
            _ => None,
        }
    }

    /// Returns the name that stands for this file in this folder, or nothing if it is foreign.
    pub fn parse(folder: Folder, file_name: &str) -> Option<Self> {
        match folder {
            Folder::Descriptor => {
                let (generation, copy) = split_copy(file_name)?;
                Some(Self::Descriptor { generation: hex_u32(generation)?, copy })
            }
            Folder::Keys => parse_key(file_name),
            Folder::Packs => file_name.parse().ok().map(Self::Pack),
            Folder::Index => {
                let (sequence, id) = file_name.split_once('-')?;
                Some(Self::Index { sequence: hex_u64(sequence)?, id: id.parse().ok()? })
            }
            Folder::Pending => file_name.parse().ok().map(Self::Pending),
            Folder::Snapshots => file_name.parse().ok().map(Self::Snapshot),
            Folder::Tombstones => file_name.parse().ok().map(Self::Tombstone),
            Folder::Forgotten => file_name.parse().ok().map(Self::Forgotten),
            Folder::Pinned => file_name.parse().ok().map(Self::Pinned),
            Folder::Parity => file_name.parse().ok().map(Self::Parity),
            Folder::Quarantine => parse_quarantined(file_name),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.folder().as_str(), self.file_name())
    }
}

fn parse_quarantined(file_name: &str) -> Option<ObjectName> {
    let (former, turn) = match file_name.split_once('_') {
        Some((former, turn)) => {
            let number = turn.parse().ok().filter(|number: &u32| *number > 1)?;
            (former, Some(number).filter(|number| number.to_string() == turn)?)
        }
        None => (file_name, 1),
    };
    let (folder, name) = former.split_once('-')?;
    let folder = Folder::ALL.into_iter().find(|known| known.as_str() == folder)?;
    let former = ObjectName::parse(folder, name).filter(|_| folder != Folder::Quarantine)?;
    Some(ObjectName::Quarantined { former: Box::new(former), turn })
}

fn parse_key(file_name: &str) -> Option<ObjectName> {
    let (stem, copy) = split_copy(file_name)?;
    if let Some(id) = stem.strip_prefix("slot-") {
        return Some(ObjectName::Slot { id: id.parse().ok()?, copy });
    }
    let (generation, id) = stem.strip_prefix("ring-")?.split_once('-')?;
    Some(ObjectName::Ring { generation: hex_u32(generation)?, id: id.parse().ok()?, copy })
}

fn split_copy(file_name: &str) -> Option<(&str, Copy)> {
    let (stem, copy) = file_name.split_once('.')?;
    match copy {
        "1" => Some((stem, Copy::First)),
        "2" => Some((stem, Copy::Second)),
        _ => None,
    }
}

fn hex_u32(text: &str) -> Option<u32> {
    (text.len() == 8).then(|| hex_u64(&format!("{text:0>16}")))?.map(|value| value as u32)
}

fn hex_u64(text: &str) -> Option<u64> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == 16 && lower).then(|| u64::from_str_radix(text, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back_to_itself() {
        let id = ObjectId([0xa5; 32]);
        let names = [
            ObjectName::Descriptor { generation: 1, copy: Copy::Second },
            ObjectName::Slot { id, copy: Copy::First },
            ObjectName::Ring { generation: u32::MAX, id, copy: Copy::Second },
            ObjectName::Pack(PackId(id.0)),
            ObjectName::Index { sequence: u64::MAX, id },
            ObjectName::Pending(SnapshotId(id.0)),
            ObjectName::Snapshot(SnapshotId(id.0)),
            ObjectName::Tombstone(id),
            ObjectName::Forgotten(id),
            ObjectName::Pinned(id),
            ObjectName::Parity(id),
        ];
        let set_aside = |former: &ObjectName, turn| ObjectName::Quarantined {
            former: Box::new(former.clone()),
            turn,
        };
        let quarantined = names.iter().flat_map(|name| [set_aside(name, 1), set_aside(name, 12)]);
        for name in quarantined.chain(names.clone()) {
            assert_eq!(ObjectName::parse(name.folder(), &name.file_name()), Some(name));
        }
    }

    #[test]
    fn foreign_names_are_no_objects() {
        for name in ["", ".tmp-1", "00000001.3", "0000001.1", "0000000G.1", "00000001.1.1"] {
            assert_eq!(ObjectName::parse(Folder::Descriptor, name), None, "{name}");
        }
        let id = "a5".repeat(32);
        for name in ["packs", "quarantine-packs-", "packs-a5", "packs.", "x-"] {
            assert_eq!(ObjectName::parse(Folder::Quarantine, &format!("{name}{id}_")), None);
        }
        for turn in ["_", "_0", "_1", "_02", "_2_3", "_x"] {
            let name = format!("packs-{id}{turn}");
            assert_eq!(ObjectName::parse(Folder::Quarantine, &name), None, "{name}");
        }
    }
}
