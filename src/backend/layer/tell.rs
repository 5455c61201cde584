//! Tells somebody of every object that was stored, as soon as it is durable.

use std::{fmt, ops::Range, sync::Arc};

use crate::backend::{Backend, Capabilities, Error, Folder, Listing, ObjectName, Receipt};

/// Is told of an object and its size, on the thread that stored it. Must be quick.
pub type Tell = Arc<dyn Fn(&ObjectName, u64) + Send + Sync>;

/// A backend that tells what it stores.
pub struct Telling {
    inner: Arc<dyn Backend>,
    tell: Tell,
}

impl Telling {
    /// Wraps a backend.
    pub fn new(inner: Arc<dyn Backend>, tell: Tell) -> Self {
        Self { inner, tell }
    }
}

impl Backend for Telling {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.inner.put_new(name, pieces)?;
        (self.tell)(name, pieces.iter().map(|piece| piece.len() as u64).sum());
        Ok(())
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        let receipt = self.inner.upload(name, pieces)?;
        (self.tell)(name, receipt.bytes);
        Ok(receipt)
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        self.inner.verify(name, pieces)
    }

    fn distrust(&self, name: &ObjectName) {
        self.inner.distrust(name);
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        self.inner.get(name, bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        self.inner.get_range(name, range)
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.inner.size(name)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        self.inner.list(folder)
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        self.inner.list_all()
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        self.inner.delete(name)
    }

    fn delete_all(&self, names: &[ObjectName]) -> Result<(), Error> {
        self.inner.delete_all(names)
    }

    fn set_aside(&self, name: &ObjectName) -> Result<Option<ObjectName>, Error> {
        self.inner.set_aside(name)
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<Option<ObjectName>, Error> {
        self.inner.replace(name, bytes)
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        self.inner.free_bytes()
    }

    fn place(&self) -> String {
        self.inner.place()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        self.inner.prove()
    }
}

impl fmt::Debug for Telling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Telling").field(&self.inner).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::{
        backend::{conformance, memory::MemoryBackend},
        id::PackId,
    };

    #[test]
    fn it_keeps_the_contract() {
        let inner = Arc::new(MemoryBackend::new());

        conformance::check(&Telling::new(inner, Arc::new(|_, _| {})));
    }

    #[test]
    fn it_tells_what_was_stored_and_nothing_else() {
        let told: Arc<Mutex<Vec<(ObjectName, u64)>>> = Arc::default();
        let hears = Arc::clone(&told);
        let tell: Tell = Arc::new(move |name, bytes| {
            hears.lock().unwrap().push((name.clone(), bytes));
        });
        let backend = Telling::new(Arc::new(MemoryBackend::new()), tell);
        let name = ObjectName::Pack(PackId([1; 32]));

        backend.put_new(&name, &[b"ab", b"c"]).unwrap();
        let taken = backend.put_new(&name, &[b"x"]);

        assert!(matches!(taken, Err(Error::Exists { .. })));
        assert_eq!(*told.lock().unwrap(), [(name, 3)]);
    }
}
