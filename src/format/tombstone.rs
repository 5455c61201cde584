//! Tombstones and forget markers. Spec: `format-spec/70-write-order.md`.

use serde::Serialize;

use crate::{
    format::{
        Error,
        fields::{FieldsReader, FieldsWriter},
    },
    id::{ObjectId, PackId, SnapshotId, WriterId},
};

/// What a deleter is about to delete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tombstone {
    /// The state folder that deletes.
    pub deleter: WriterId,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    pub packs: Vec<PackId>,
    pub index_objects: Vec<ObjectId>,
    /// Forgotten snapshots whose records go too: nobody may take the forgetting back any more.
    pub snapshots: Vec<SnapshotId>,
}

/// Says that a snapshot is not wanted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ForgetMarker {
    pub snapshot: SnapshotId,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    pub reason: String,
}

impl Tombstone {
    /// Returns the tombstone's plaintext.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if it names more than fits one object.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let packs: Vec<[u8; 32]> = self.packs.iter().map(|id| id.0).collect();
        let index_objects: Vec<[u8; 32]> = self.index_objects.iter().map(|id| id.0).collect();
        let snapshots: Vec<[u8; 32]> = self.snapshots.iter().map(|id| id.0).collect();
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.deleter.0);
        fields.put(2, &self.created);
        fields.put_unless_default(3, &packs);
        fields.put_unless_default(4, &index_objects);
        fields.put_unless_default(5, &snapshots);
        fields.finish_object("tombstone")
    }

    /// Whether it names nothing at all: then it stands for older ones that were dropped.
    pub fn is_horizon(&self) -> bool {
        self.packs.is_empty() && self.index_objects.is_empty() && self.snapshots.is_empty()
    }

    /// Reads a tombstone's plaintext.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut tombstone = Self {
            deleter: WriterId([0; 32]),
            created: 0,
            packs: Vec::new(),
            index_objects: Vec::new(),
            snapshots: Vec::new(),
        };
        let mut fields = FieldsReader::of_object("tombstone", plain)?;
        while let Some(field) = fields.read()? {
            match field.tag {
                1 => tombstone.deleter = WriterId(field.decode()?),
                2 => tombstone.created = field.decode()?,
                3 => tombstone.packs = ids(field.decode()?, PackId),
                4 => tombstone.index_objects = ids(field.decode()?, ObjectId),
                5 => tombstone.snapshots = ids(field.decode()?, SnapshotId),
                _ => field.skip_unknown()?,
            }
        }
        Ok(tombstone)
    }
}

impl ForgetMarker {
    /// Returns the marker's plaintext.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the reason fits no object.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.snapshot.0);
        fields.put(2, &self.created);
        fields.put_unless_default(3, &self.reason);
        fields.finish_object("forget marker")
    }

    /// Reads a marker's plaintext.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut snapshot = None;
        let mut created = 0;
        let mut reason = String::new();
        let mut fields = FieldsReader::of_object("forget marker", plain)?;
        while let Some(field) = fields.read()? {
            match field.tag {
                1 => snapshot = Some(SnapshotId(field.decode()?)),
                2 => created = field.decode()?,
                3 => reason = field.decode()?,
                _ => field.skip_unknown()?,
            }
        }
        let snapshot = snapshot.ok_or_else(|| fields.corrupt("it names no snapshot"))?;
        Ok(Self { snapshot, created, reason })
    }
}

fn ids<Id>(bytes: Vec<[u8; 32]>, id: fn([u8; 32]) -> Id) -> Vec<Id> {
    bytes.into_iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, hex};

    fn tombstone() -> Tombstone {
        Tombstone {
            deleter: WriterId([0xde; 32]),
            created: 5,
            packs: vec![PackId([0xaa; 32]), PackId([0xab; 32])],
            index_objects: vec![ObjectId([0xbb; 32])],
            snapshots: vec![SnapshotId([0xcc; 32])],
        }
    }

    #[test]
    fn a_tombstone_has_the_bytes_of_the_spec() {
        let [deleter, first, second, index, snapshot] =
            ["de", "aa", "ab", "bb", "cc"].map(|byte| byte.repeat(32));
        let expected = [
            format!("010020000000{deleter}"),
            "0200080000000500000000000000".to_owned(),
            format!("0300480000000200000000000000{first}{second}"),
            format!("0400280000000100000000000000{index}"),
            format!("0500280000000100000000000000{snapshot}"),
        ];

        let bytes = tombstone().encode().unwrap();
        assert_eq!(hex(&bytes), expected.concat());
        assert_eq!(Tombstone::decode(&bytes), Ok(tombstone()));
    }

    #[test]
    fn a_tombstone_that_was_cut_is_refused_or_says_less() {
        let bytes = tombstone().encode().unwrap();
        for length in 0..bytes.len() {
            assert_ne!(Tombstone::decode(&bytes[..length]), Ok(tombstone()));
        }
    }

    #[test]
    fn a_marker_names_its_snapshot() {
        let marker =
            ForgetMarker { snapshot: SnapshotId([7; 32]), created: -1, reason: "old".to_owned() };

        let bytes = marker.encode().unwrap();
        assert_eq!(ForgetMarker::decode(&bytes), Ok(marker));
        assert!(breaks(ForgetMarker::decode(&bytes[38..]), "names no snapshot"));
        let endless =
            ForgetMarker { snapshot: SnapshotId([7; 32]), created: 0, reason: "x".repeat(4 << 20) };
        assert!(breaks(endless.encode(), "too long"));
    }
}
