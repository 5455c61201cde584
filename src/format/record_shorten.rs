//! What a record leaves out when it would not fit an object. Spec: `format-spec/60-record.md`,
//! "Rules".

use crate::format::{
    Error,
    record::{DatabaseFacts, PartContent, Record},
};

/// What is left of the text of a schema object.
const SQL_BYTES: usize = 200;
/// What is left of a list of problems, or of entries that are gone.
const PROBLEMS: usize = 50;

/// What goes first, what goes next. Parts never go: they are the snapshot.
const STEPS: [fn(&mut Record); 4] = [
    |record| facts(record).for_each(cut_schema),
    |record| facts(record).for_each(|facts| facts.schema.clear()),
    |record| keep_problems(record, PROBLEMS),
    |record| keep_problems(record, 0),
];

impl Record {
    /// Returns the record's plaintext. If it would be too long for an object, schema texts, then
    /// schemas, then problems are left out, of the record too; the numbers of problems stay.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if it is too long without all that, or breaks another rule.
    pub fn encode_shortened(&mut self) -> Result<Vec<u8>, Error> {
        for step in STEPS {
            match self.encode() {
                Err(Error::Unstorable { .. }) => step(self),
                other => return other,
            }
        }
        self.encode()
    }
}

fn facts(record: &mut Record) -> impl Iterator<Item = &mut DatabaseFacts> {
    record.parts.iter_mut().filter_map(|part| match &mut part.content {
        PartContent::Database { facts, .. } => Some(&mut **facts),
        PartContent::Tree { .. } => None,
    })
}

fn cut_schema(facts: &mut DatabaseFacts) {
    for object in &mut facts.schema {
        object.sql.truncate(object.sql.floor_char_boundary(SQL_BYTES));
    }
}

fn keep_problems(record: &mut Record, count: usize) {
    for part in &mut record.parts {
        part.problems.truncate(count);
        part.gone.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        format::{
            record::Problem,
            samples::{breaks, record},
        },
        limits::{MIB, OBJECT_PLAIN_BYTES_MAX},
    };

    fn record_with_sql(bytes: usize) -> Record {
        let mut record = record();
        assert_eq!(facts(&mut record).count(), 1, "one part is a database");
        facts(&mut record).for_each(|facts| facts.schema[0].sql = "é".repeat(bytes / 2));
        record
    }

    fn record_with_problems(count: usize, bytes: usize) -> Record {
        let mut record = record_with_sql(10);
        let message = "x".repeat(bytes);
        let problem = Problem { path: Vec::new(), code: String::new(), message };
        record.parts[0].problems = vec![problem; count];
        record.parts[0].problem_count = count as u64;
        record
    }

    #[test]
    fn a_record_that_fits_keeps_everything() {
        let mut record = record_with_sql(3 * MIB);
        let whole = record.clone();

        assert_eq!(Record::decode(&record.encode_shortened().unwrap()), Ok(whole));
    }

    #[test]
    fn schema_texts_are_cut_first() {
        let mut record = record_with_sql(5 * MIB);

        let plain = record.encode_shortened().unwrap();

        assert_eq!(Record::decode(&plain), Ok(record.clone()));
        assert!(facts(&mut record).all(|facts| facts.schema[0].sql.len() == SQL_BYTES));
        assert_eq!(record.parts[0].problems.len(), 1);
    }

    #[test]
    fn problems_are_left_out_next_and_stay_counted() {
        let mut record = record_with_problems(1000, 10_000);

        let plain = record.encode_shortened().unwrap();

        assert!(plain.len() <= OBJECT_PLAIN_BYTES_MAX);
        assert!(facts(&mut record).all(|facts| facts.schema.is_empty()));
        let part = &record.parts[0];
        assert_eq!((part.problems.len(), part.problem_count), (PROBLEMS, 1000));
    }

    #[test]
    fn what_is_too_long_for_other_reasons_is_refused() {
        let mut endless = Record { note: "x".repeat(5 * MIB), ..record() };

        assert!(breaks(endless.encode_shortened(), "too long"));
        assert_eq!(endless.parts.len(), 2);
    }
}
