//! Writes down every call, so that tests can say what a use case costs.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub verb: &'static str,
    /// The object or folder.
    pub what: String,
    /// Bytes that were sent or that came back.
    pub bytes: u64,
}

/// A backend that remembers what it was asked.
#[derive(Debug)]
pub struct Recorded {
    inner: Arc<dyn Backend>,
    calls: Mutex<Vec<Call>>,
}

impl Recorded {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// Returns what was asked since the last time, and forgets it.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note<T>(
        &self,
        verb: &'static str,
        what: &str,
        result: Result<T, Error>,
        bytes: impl FnOnce(&T) -> u64,
    ) -> Result<T, Error> {
        let bytes = result.as_ref().map_or(0, bytes);
        let call = Call { verb, what: what.to_owned(), bytes };
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        result
    }
}

fn sum(pieces: &[&[u8]]) -> u64 {
    pieces.iter().map(|piece| piece.len() as u64).sum()
}

impl Backend for Recorded {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        let done = self.inner.put_new(name, pieces);
        self.note("put", &name.to_string(), done, |()| sum(pieces))
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        let done = self.inner.upload(name, pieces);
        self.note("put", &name.to_string(), done, |_| sum(pieces))
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        let done = self.inner.verify(name, pieces);
        self.note("verify", &name.to_string(), done, |_| 0)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        let done = self.inner.get(name, bytes_max);
        self.note("get", &name.to_string(), done, |bytes| bytes.len() as u64)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let done = self.inner.get_range(name, range);
        self.note("get", &name.to_string(), done, |bytes| bytes.len() as u64)
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        let done = self.inner.size(name);
        self.note("size", &name.to_string(), done, |_| 0)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        let done = self.inner.list(folder);
        self.note("list", folder.as_str(), done, |_| 0)
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        let done = self.inner.list_all();
        self.note("list", "everything", done, |_| 0)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let done = self.inner.delete(name);
        self.note("delete", &name.to_string(), done, |()| 0)
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        let done = self.inner.free_bytes();
        self.note("measure", "free space", done, |_| 0)
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        let done = self.inner.prove();
        self.note("prove", "the place", done, |_| 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{conformance, memory::MemoryBackend};

    #[test]
    fn it_keeps_the_contract_and_remembers_each_call_once() {
        let backend = Recorded::new(Arc::new(MemoryBackend::new()));
        conformance::check(&backend);
        let _ = backend.take();

        let _ = backend.list(Folder::Keys).unwrap();

        let expected = Call { verb: "list", what: "keys".to_owned(), bytes: 0 };
        assert_eq!((backend.take(), backend.take()), (vec![expected], vec![]));
    }
}
