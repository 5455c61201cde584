//! Pins: what keeps a snapshot, whatever a policy says. Spec: `format-spec/70-write-order.md`,
//! "Pins".

use serde::Serialize;

use crate::{
    format::{
        Error,
        fields::{FieldsReader, FieldsWriter},
    },
    id::SnapshotId,
};

/// Says that a snapshot is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pin {
    pub snapshot: SnapshotId,
    /// Nanoseconds since 1970 UTC.
    pub created: i64,
    pub reason: String,
    /// Nanoseconds since 1970 UTC; none: without an end.
    pub until: Option<i64>,
}

impl Pin {
    /// Returns the pin's plaintext.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if the reason fits no object.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.snapshot.0);
        fields.put(2, &self.created);
        fields.put_unless_default(3, &self.reason);
        if let Some(until) = &self.until {
            fields.put(4, until);
        }
        fields.finish_object("pin")
    }

    /// Reads a pin's plaintext.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut snapshot = None;
        let mut created = 0;
        let mut reason = String::new();
        let mut until = None;
        let mut fields = FieldsReader::of_object("pin", plain)?;
        while let Some(field) = fields.read()? {
            match field.tag {
                1 => snapshot = Some(SnapshotId(field.decode()?)),
                2 => created = field.decode()?,
                3 => reason = field.decode()?,
                4 => until = Some(field.decode()?),
                _ => field.skip_unknown()?,
            }
        }
        let snapshot = snapshot.ok_or_else(|| fields.corrupt("it names no snapshot"))?;
        Ok(Self { snapshot, created, reason, until })
    }

    /// Whether it still keeps its snapshot.
    pub fn is_in_force(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, hex};

    fn pin() -> Pin {
        let reason = "tax".to_owned();
        Pin { snapshot: SnapshotId([0xaa; 32]), created: 5, reason, until: Some(-1) }
    }

    #[test]
    fn a_pin_has_the_bytes_of_the_spec() {
        let expected = [
            format!("010020000000{}", "aa".repeat(32)),
            "0200080000000500000000000000".to_owned(),
            "03000b0000000300000000000000746178".to_owned(),
            "040008000000ffffffffffffffff".to_owned(),
        ];

        let bytes = pin().encode().unwrap();
        assert_eq!(hex(&bytes), expected.concat());
        assert_eq!(Pin::decode(&bytes), Ok(pin()));
        assert!(breaks(Pin::decode(&bytes[38..]), "names no snapshot"));
    }

    #[test]
    fn a_pin_without_an_end_is_in_force_for_ever_and_another_until_its_end() {
        let endless = Pin { until: None, ..pin() };
        let ending = Pin { until: Some(10), ..pin() };

        assert_eq!(Pin::decode(&endless.encode().unwrap()), Ok(endless.clone()));
        assert!(endless.is_in_force(i64::MAX));
        assert!(ending.is_in_force(9) && !ending.is_in_force(10));
    }
}
