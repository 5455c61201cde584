//! Records as lists of fields. Spec: `format-spec/60-record.md`.

use std::collections::HashSet;

use crate::{
    format::{
        Error,
        cursor::Cursor,
        fields::{Field, FieldsReader, FieldsWriter},
        image::Image,
        node::Entry,
        record::{
            DatabaseFacts, Outcome, Part, PartContent, PartKind, Record, Storage, Totals, Trigger,
        },
    },
    id::{SnapshotId, WriterId},
    limits::{PART_NAME_BYTES_MAX, PROBLEMS_KEPT_MAX},
};

const RECORD: &str = "record";
const PART: &str = "part of a record";

impl Record {
    /// Returns the record's plaintext.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if it breaks a rule of the format, such as being longer than an object
    /// may be.
    pub fn encode(&self) -> Result<Vec<u8>, Error> {
        if let Some(why) = self.broken_rule() {
            return Err(Error::Unstorable { object: RECORD, why });
        }
        let configured: Vec<(&str, u8)> =
            self.configured.iter().map(|(name, kind)| (&name[..], kind.code())).collect();
        let parts = self.parts.iter().map(Part::encode).collect::<Result<Vec<_>, _>>()?;
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.created);
        fields.put(2, &self.finished);
        fields.put_unless_default(3, &self.host);
        fields.put(4, &self.writer.0);
        fields.put(5, &self.counter);
        if let Some(parent) = &self.parent {
            fields.put(6, &parent.0);
        }
        fields.put_unless_default(7, &self.storage.code());
        fields.put_unless_default(8, &self.trigger.code());
        fields.put_unless_default(9, &self.actor);
        fields.put_unless_default(10, &self.station);
        fields.put_unless_default(11, &self.name);
        fields.put_unless_default(12, &self.note);
        fields.put_unless_default(13, &self.tags);
        fields.put_unless_default(14, &self.environment);
        fields.put_unless_default(15, &self.app_version);
        fields.put_unless_default(16, &self.program_version);
        fields.put_unless_default(17, &self.config);
        fields.put_unless_default(18, &configured);
        fields.put_unless_default(19, &parts);
        fields.put_unless_default(20, &self.bytes_added);
        fields.put_unless_default(21, &u8::from(self.incomplete));
        fields.put_unless_default(22, &self.failed);
        fields.finish_object(RECORD)
    }

    /// Reads a record's plaintext.
    pub fn decode(plain: &[u8]) -> Result<Self, Error> {
        let mut record = Self::blank();
        let mut fields = FieldsReader::of_object(RECORD, plain)?;
        while let Some(field) = fields.read()? {
            record.read_field(field)?;
        }
        match record.broken_rule() {
            Some(rule) => Err(fields.corrupt(rule)),
            None => Ok(record),
        }
    }

    fn read_field(&mut self, field: Field<'_>) -> Result<(), Error> {
        match field.tag {
            1 => self.created = field.decode()?,
            2 => self.finished = field.decode()?,
            3 => self.host = field.decode()?,
            4 => self.writer = WriterId(field.decode()?),
            5 => self.counter = field.decode()?,
            6 => self.parent = Some(SnapshotId(field.decode()?)),
            7 => self.storage = Storage::from_code(field.decode()?)?,
            8 => self.trigger = Trigger::from_code(field.decode()?)?,
            9 => self.actor = field.decode()?,
            10 => self.station = field.decode()?,
            11 => self.name = field.decode()?,
            12 => self.note = field.decode()?,
            13 => self.tags = field.decode()?,
            14 => self.environment = field.decode()?,
            15 => self.app_version = field.decode()?,
            16 => self.program_version = field.decode()?,
            17 => self.config = field.decode()?,
            18 => {
                let configured: Vec<(String, u8)> = field.decode()?;
                self.configured = configured
                    .into_iter()
                    .map(|(name, kind)| Ok((name, PartKind::from_code(kind)?)))
                    .collect::<Result<_, Error>>()?;
            }
            19 => {
                let parts: Vec<Vec<u8>> = field.decode()?;
                self.parts =
                    parts.iter().map(|part| Part::decode(part)).collect::<Result<_, _>>()?;
            }
            20 => self.bytes_added = field.decode()?,
            21 => self.incomplete = read_bool(field)?,
            22 => self.failed = field.decode()?,
            _ => field.skip_unknown()?,
        }
        Ok(())
    }

    fn blank() -> Self {
        Self::default()
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let mut names = HashSet::new();
        if !self.parts.iter().all(|part| names.insert(&part.name)) {
            return Some("two parts have one name");
        }
        self.parts.iter().find_map(Part::broken_rule)
    }
}

impl Part {
    fn encode(&self) -> Result<Vec<u8>, Error> {
        let mut fields = FieldsWriter::default();
        fields.put(1, &self.name);
        fields.put(2, &self.kind.code());
        fields.put_unless_default(3, &self.sources);
        fields.put_unless_default(4, &self.totals);
        fields.put_unless_default(5, &self.problems);
        fields.put_unless_default(6, &self.problem_count);
        fields.put_unless_default(7, &self.gone);
        fields.put_unless_default(8, &self.gone_count);
        match &self.content {
            PartContent::Tree { root, path } => {
                fields.put(9, &root.encode()?);
                fields.put_unless_default(12, path);
            }
            PartContent::Database { image, facts } => {
                fields.put(10, &image.encode()?);
                fields.put_unless_default(11, &**facts);
            }
        }
        fields.put_unless_default(13, &self.outcome.code());
        Ok(fields.finish())
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = FieldsReader::new(Cursor::new(PART, bytes));
        let mut draft = PartDraft::default();
        while let Some(field) = fields.read()? {
            draft.read_field(field)?;
        }
        let part = draft.finish().ok_or_else(|| fields.corrupt("kind and content differ"))?;
        match part.broken_rule() {
            Some(rule) => Err(fields.corrupt(rule)),
            None => Ok(part),
        }
    }

    fn broken_rule(&self) -> Option<&'static str> {
        let is_database = matches!(self.content, PartContent::Database { .. });
        if !is_part_name(&self.name) {
            Some("a part has an impossible name")
        } else if is_database != (self.kind == PartKind::Database) {
            Some("kind and content differ")
        } else if self.problems.len() > PROBLEMS_KEPT_MAX || self.gone.len() > PROBLEMS_KEPT_MAX {
            Some("a part keeps too many problems")
        } else if (self.problems.len() as u64) > self.problem_count
            || (self.gone.len() as u64) > self.gone_count
        {
            Some("a part keeps more problems than it counts")
        } else {
            None
        }
    }
}

/// The fields of a part as they come.
#[derive(Default)]
struct PartDraft {
    name: String,
    kind: Option<PartKind>,
    sources: Vec<Vec<u8>>,
    totals: Totals,
    problems: Vec<crate::format::record::Problem>,
    problem_count: u64,
    gone: Vec<Vec<u8>>,
    gone_count: u64,
    root: Option<Box<Entry>>,
    path: Option<Vec<u8>>,
    image: Option<Box<Image>>,
    facts: Option<Box<DatabaseFacts>>,
    outcome: Outcome,
}

impl PartDraft {
    fn read_field(&mut self, field: Field<'_>) -> Result<(), Error> {
        match field.tag {
            1 => self.name = field.decode()?,
            2 => self.kind = Some(PartKind::from_code(field.decode()?)?),
            3 => self.sources = field.decode()?,
            4 => self.totals = field.decode()?,
            5 => self.problems = field.decode()?,
            6 => self.problem_count = field.decode()?,
            7 => self.gone = field.decode()?,
            8 => self.gone_count = field.decode()?,
            9 => self.root = Some(Box::new(Entry::decode(&field.decode::<Vec<u8>>()?)?)),
            10 => self.image = Some(Box::new(Image::decode(&field.decode::<Vec<u8>>()?)?)),
            11 => self.facts = Some(Box::new(field.decode()?)),
            12 => self.path = Some(field.decode()?),
            13 => self.outcome = Outcome::from_code(field.decode()?)?,
            _ => field.skip_unknown()?,
        }
        Ok(())
    }

    fn finish(self) -> Option<Part> {
        let content = match (self.root, self.path, self.image, self.facts) {
            (Some(root), path, None, None) => {
                PartContent::Tree { root, path: path.unwrap_or_default() }
            }
            (None, None, Some(image), facts) => {
                PartContent::Database { image, facts: facts.unwrap_or_default() }
            }
            _ => return None,
        };
        Some(Part {
            name: self.name,
            kind: self.kind?,
            sources: self.sources,
            totals: self.totals,
            problems: self.problems,
            problem_count: self.problem_count,
            gone: self.gone,
            gone_count: self.gone_count,
            content,
            outcome: self.outcome,
        })
    }
}

/// Gives an enum the codes that stand for it in a field.
macro_rules! codes {
    ($name:ident, $what:literal, $($variant:ident = $code:literal),+) => {
        impl $name {
            const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            fn from_code(code: u8) -> Result<Self, Error> {
                match code {
                    $($code => Ok(Self::$variant),)+
                    _ => Err(Error::Newer { object: RECORD, what: format!("{} {code}", $what) }),
                }
            }
        }
    };
}

codes!(Storage, "storage", Incremental = 0, Full = 1);
codes!(Trigger, "trigger", Manual = 0, Schedule = 1, Safety = 2, Guard = 3, Import = 4);
codes!(PartKind, "part kind", Database = 1, Files = 2, Config = 3, Cache = 4);
codes!(Outcome, "outcome", Complete = 0, Incomplete = 1, Damaged = 2);

/// Whether a part can have this name: `[a-z0-9][a-z0-9._-]*`, at most 64 bytes.
pub fn is_part_name(name: &str) -> bool {
    let inside = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    name.len() <= PART_NAME_BYTES_MAX
        && name.bytes().all(inside)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

fn read_bool(field: Field<'_>) -> Result<bool, Error> {
    let not_a_flag = field.corrupt("a flag is neither 0 nor 1");
    match field.decode::<u8>()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(not_a_flag),
    }
}

#[cfg(test)]
mod tests;
