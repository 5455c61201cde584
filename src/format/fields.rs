//! Lists of fields, which readers of today and tomorrow can both read. Spec:
//! `format-spec/00-terms.md`, "Fields".

use bincode::{Decode, Encode};

use crate::{
    format::{Error, cursor::Cursor, structs},
    limits::OBJECT_PLAIN_BYTES_MAX,
};

/// A reader that does not know a tag with this bit refuses the whole list.
const MANDATORY: u16 = 1 << 15;

/// Writes a list of fields, in ascending order of tags.
#[derive(Debug, Default)]
pub struct FieldsWriter {
    bytes: Vec<u8>,
    last: Option<u16>,
}

impl FieldsWriter {
    /// Begins a list that will take about so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), last: None }
    }

    /// Adds a field.
    pub fn put<T: Encode>(&mut self, tag: u16, value: &T) {
        self.put_raw(tag, &structs::encode(value));
    }

    /// Adds a field unless it has its default, which absence says as well.
    pub fn put_unless_default<T: Encode + Default + PartialEq>(&mut self, tag: u16, value: &T) {
        if *value != T::default() {
            self.put(tag, value);
        }
    }

    /// Adds a field whose value is encoded already.
    pub fn put_raw(&mut self, tag: u16, value: &[u8]) {
        assert!(self.last.is_none_or(|last| last < tag), "fields are written in ascending order");
        let length = u32::try_from(value.len()).expect("a field is shorter than 4 GiB");
        self.last = Some(tag);
        self.bytes.extend_from_slice(&tag.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// Returns the list.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the list as the plaintext of an object; `object` is the word for it in error
    /// messages.
    ///
    /// # Errors
    /// [`Error::Unstorable`] if it is too long for an object.
    pub fn finish_object(self, object: &'static str) -> Result<Vec<u8>, Error> {
        if self.bytes.len() > OBJECT_PLAIN_BYTES_MAX {
            return Err(Error::Unstorable { object, why: "it is too long" });
        }
        Ok(self.bytes)
    }
}

/// Reads a list of fields.
#[derive(Debug)]
pub struct FieldsReader<'a> {
    cursor: Cursor<'a>,
    last: Option<u16>,
}

/// One field of a list.
#[derive(Debug)]
pub struct Field<'a> {
    pub tag: u16,
    value: Cursor<'a>,
}

impl<'a> FieldsReader<'a> {
    /// Begins a list that reaches to the end of the cursor's bytes.
    pub const fn new(cursor: Cursor<'a>) -> Self {
        Self { cursor, last: None }
    }

    /// Begins the list that is the plaintext of an object.
    pub fn of_object(object: &'static str, plain: &'a [u8]) -> Result<Self, Error> {
        let cursor = Cursor::new(object, plain);
        if plain.len() > OBJECT_PLAIN_BYTES_MAX {
            return Err(cursor.corrupt("it is too long"));
        }
        Ok(Self::new(cursor))
    }

    /// Makes an error that points at the next field.
    pub const fn corrupt(&self, why: &'static str) -> Error {
        self.cursor.corrupt(why)
    }

    /// Returns the next field, or nothing at the end.
    pub fn read(&mut self) -> Result<Option<Field<'a>>, Error> {
        if self.cursor.remaining() == 0 {
            return Ok(None);
        }
        let tag = self.cursor.u16()?;
        if self.last.is_some_and(|last| last >= tag) {
            return Err(self.cursor.corrupt("the tags of its fields do not ascend"));
        }
        self.last = Some(tag);
        let length = self.cursor.u32()?;
        Ok(Some(Field { tag, value: self.cursor.nested(length as usize)? }))
    }
}

impl<'a> Field<'a> {
    /// Decodes the value as a struct.
    pub fn decode<T: Encode + Decode<()>>(mut self) -> Result<T, Error> {
        let start = self.value.clone();
        structs::decode(self.value.rest())
            .ok_or_else(|| start.corrupt("a field does not hold what its tag says"))
    }

    /// Returns the value of a type of its own, to be read to its end.
    pub fn into_cursor(self) -> Cursor<'a> {
        self.value
    }

    /// Makes an error that points at the value.
    pub const fn corrupt(&self, why: &'static str) -> Error {
        self.value.corrupt(why)
    }

    /// Passes over a field that this program does not know, if that is allowed.
    pub fn skip_unknown(self) -> Result<(), Error> {
        if self.tag & MANDATORY != 0 {
            return Err(self.value.newer(format!("mandatory field {}", self.tag)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::samples::{breaks, hex};

    fn list() -> Vec<u8> {
        let mut fields = FieldsWriter::default();
        fields.put(1, &0x0102u32);
        fields.put_unless_default(2, &String::new());
        fields.put(300, &"é".to_owned());
        fields.finish()
    }

    fn tags(bytes: &[u8]) -> Result<Vec<u16>, Error> {
        let mut fields = FieldsReader::of_object("list", bytes)?;
        let mut tags = Vec::new();
        while let Some(field) = fields.read()? {
            tags.push(field.tag);
            field.skip_unknown()?;
        }
        Ok(tags)
    }

    #[test]
    fn a_list_has_the_bytes_of_the_spec() {
        let expected = "01000400000002010000".to_owned() + "2c010a0000000200000000000000c3a9";

        assert_eq!(hex(&list()), expected);
        assert_eq!(tags(&list()), Ok(vec![1, 300]));
    }

    #[test]
    fn a_list_ends_with_a_whole_field() {
        for length in 0..list().len() {
            assert_eq!(tags(&list()[..length]).is_ok(), [0, 10].contains(&length), "{length}");
        }
    }

    #[test]
    fn tags_that_do_not_ascend_are_corrupt() {
        let field = |tag: u8| [tag, 0, 0, 0, 0, 0];

        assert!(breaks(tags(&[field(2), field(1)].concat()), "do not ascend"));
        assert!(breaks(tags(&[field(1), field(1)].concat()), "do not ascend"));
    }

    #[test]
    fn unknown_fields_are_skipped_unless_they_are_mandatory() {
        let mut fields = FieldsWriter::default();
        fields.put(0x7fff, &1u8);
        fields.put(0x8000, &1u8);
        let bytes = fields.finish();

        assert_eq!(tags(&bytes[..7]), Ok(vec![0x7fff]));
        let newer = Error::Newer { object: "list", what: "mandatory field 32768".to_owned() };
        assert_eq!(tags(&bytes), Err(newer));
    }

    #[test]
    fn a_value_of_another_shape_is_corrupt_where_it_lies() {
        let bytes = list();
        let mut fields = FieldsReader::of_object("list", &bytes).unwrap();
        let first = fields.read().unwrap().unwrap();
        let why = "a field does not hold what its tag says";

        assert_eq!(first.decode::<u64>(), Err(Error::Corrupt { object: "list", at: 6, why }));
    }

    #[test]
    fn a_list_longer_than_an_object_is_refused_on_both_sides() {
        let mut fields = FieldsWriter::default();
        fields.put_raw(1, &vec![0; OBJECT_PLAIN_BYTES_MAX - 6]);
        let full = fields.finish_object("list").unwrap();
        assert!(tags(&full).is_ok());

        let mut fields = FieldsWriter::default();
        fields.put_raw(1, &full);
        let bytes = FieldsWriter { bytes: fields.bytes.clone(), last: None }.finish();
        assert!(breaks(fields.finish_object("list"), "too long"));
        assert!(breaks(tags(&bytes), "too long"));
    }
}
