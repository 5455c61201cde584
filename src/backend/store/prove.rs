//! The test of a new place: there are stores that keep the framing of a request inside the object,
//! answer from a stale cache, or take a name twice. Better to know before the first backup.

use object_store::{ObjectStoreExt, PutMode, PutPayload, path::Path};

use super::{Bucket, StoreBackend, answer};
use crate::backend::{Backend, Capabilities, Error};

/// Long enough to be sent in several pieces.
const CANARY_BYTES: usize = 300 << 10;
/// A range in the middle of it.
const RANGE: std::ops::Range<u64> = 100_000..101_000;

/// Writes, reads back, compares and deletes.
pub fn prove(backend: &StoreBackend) -> Result<Capabilities, Error> {
    let mut content = vec![0; CANARY_BYTES];
    backend.entropy.fill(&mut content);
    let folder = backend.prefix.clone().join("canary");
    let name = content[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let key = folder.clone().join(name);
    let canary = Canary { backend, store: &*backend.store, key: &key, content: &content };
    canary.write()?;
    let proven = canary.compare(&folder);
    // Even a place that failed is left as it was found.
    let removed = canary.call("delete", backend.store.delete(&key));
    proven?;
    removed?;
    Ok(backend.capabilities())
}

struct Canary<'a> {
    backend: &'a StoreBackend,
    store: &'a dyn Bucket,
    key: &'a Path,
    content: &'a [u8],
}

impl Canary<'_> {
    fn call<T>(
        &self,
        action: &'static str,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        self.backend.call(action, self.key, call).map_err(|f| self.backend.explain_listing(f))
    }

    fn payload(&self) -> PutPayload {
        PutPayload::from(self.content.to_vec())
    }

    /// Writes it, by the way that the store knows.
    fn write(&self) -> Result<(), Error> {
        let create = self.store.put_opts(self.key, self.payload(), PutMode::Create.into());
        match self.backend.call("write", self.key, create) {
            Ok(_) => Ok(()),
            Err(failure) if answer::is_not_implemented(&failure) => {
                self.backend.look_before_writing();
                self.call("write", self.store.put(self.key, self.payload())).map(drop)
            }
            Err(failure) => Err(self.backend.explain_listing(failure)),
        }
    }

    fn compare(&self, folder: &Path) -> Result<(), Error> {
        let read = async { self.store.get(self.key).await?.bytes().await };
        if self.call("read", read)? != self.content {
            return Err(self.unproven("what was read back is not what was written"));
        }
        let range = self.call("read", self.store.get_range(self.key, RANGE))?;
        if range != self.content[RANGE.start as usize..RANGE.end as usize] {
            return Err(self.unproven("a part that was read is not the part that was asked for"));
        }
        if !self.backend.list_below(folder)?.iter().any(|(name, bytes)| {
            self.key.as_ref().ends_with(name.as_str()) && *bytes == self.content.len() as u64
        }) {
            return Err(self.unproven("what was written is not listed"));
        }
        self.try_again()
    }

    /// A store that takes the name a second time does not know conditions: we look instead.
    fn try_again(&self) -> Result<(), Error> {
        let create = self.store.put_opts(self.key, self.payload(), PutMode::Create.into());
        match self.backend.call("write", self.key, create) {
            Err(failure) if answer::is_taken(&failure) => Ok(()),
            Err(failure) if !answer::is_not_implemented(&failure) => {
                Err(self.backend.explain(failure))
            }
            _ => {
                self.backend.look_before_writing();
                Ok(())
            }
        }
    }

    fn unproven(&self, why: &str) -> Error {
        Error::Unproven { place: self.backend.place(), why: why.to_owned() }
    }
}
