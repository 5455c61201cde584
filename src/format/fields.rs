//! Lists of fields, which readers of today and tomorrow can both read. Spec: `format-spec/00-terms.md`, "Fields".

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

    /// Returns the list as the plaintext of an object; `object` is the word for it in error messages.
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
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Error> {
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
