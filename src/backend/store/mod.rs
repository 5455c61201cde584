//! Objects in a bucket: S3 and whatever speaks its language, Google Cloud Storage, Azure.
//!
//! Names become keys below a prefix. A small object is one request that the store refuses if the
//! key is taken; a large one goes up in parts, and an upload that was cut goes on with the part it
//! was at. Every upload is compared with what was sent. Nothing is tried twice here: that is for
//! the layer above, which knows how often and when.

mod account;
mod answer;
mod journal;
mod prove;
mod upload;
mod watch;

use std::{
    fmt,
    future::Future,
    io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use futures_util::TryStreamExt;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, multipart::MultipartStore,
    path::Path,
};
use tokio::runtime::Runtime;

pub use account::{Account, Provider};
pub use journal::{Journal, ProcessJournal, Session, StateJournal};
use watch::Answer;

use super::{
    Backend, Capabilities, Error, Folder, Listed, Listing, ObjectName, Receipt,
    layer::pace::UploadLimit,
};
use crate::clock::Entropy;

/// A bucket, or the part of it below a prefix.
pub struct StoreBackend {
    store: Arc<dyn Bucket>,
    prefix: Path,
    place: String,
    runtime: Runtime,
    entropy: Arc<dyn Entropy>,
    journal: Arc<dyn Journal>,
    upload_limit: Option<Arc<UploadLimit>>,
    creating: AtomicU8,
}

/// What the three providers have in common.
trait Bucket: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Bucket for T {}

/// How a name is kept from being taken twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Creating {
    /// The store refuses.
    Conditional = 0,
    /// The store does not know how to: we look before we write.
    Looking = 1,
}

impl StoreBackend {
    /// Connects to nothing yet: an account that is wrong shows at the first request.
    pub fn new(
        account: &Account,
        entropy: Arc<dyn Entropy>,
        journal: Arc<dyn Journal>,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("store")
            .enable_all()
            .build()
            .map_err(|source| Error::Unreachable { place: account.place.clone(), source })?;
        Ok(Self {
            store: account.open()?,
            prefix: Path::from(account.prefix.as_str()),
            place: account.place.clone(),
            runtime,
            entropy,
            journal,
            upload_limit: None,
            creating: AtomicU8::new(Creating::Conditional as u8),
        })
    }

    /// Says what an earlier [`prove`](Backend::prove) found.
    #[must_use]
    pub fn with_known(self, known: Capabilities) -> Self {
        if !known.conditional_create {
            self.look_before_writing();
        }
        self
    }

    /// Sends no more bytes than this allows.
    #[must_use]
    pub fn with_upload_limit(mut self, limit: Arc<UploadLimit>) -> Self {
        self.upload_limit = Some(limit);
        self
    }

    fn pay(&self, bytes: u64) {
        if let Some(limit) = &self.upload_limit {
            limit.pay(bytes);
        }
    }

    fn creating(&self) -> Creating {
        match self.creating.load(Ordering::Relaxed) {
            0 => Creating::Conditional,
            _ => Creating::Looking,
        }
    }

    fn look_before_writing(&self) {
        self.creating.store(Creating::Looking as u8, Ordering::Relaxed);
    }

    fn key(&self, name: &ObjectName) -> Path {
        let folder = self.prefix.clone().join(name.folder().as_str());
        folder.join(name.file_name())
    }

    /// Makes one call of the store, and puts its failure into our words.
    fn call<T>(
        &self,
        action: &'static str,
        what: &dyn fmt::Display,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        self.runtime.block_on(self.called(action, what, call))
    }

    /// As [`call`](Self::call), for somebody who makes several at once.
    async fn called<T>(
        &self,
        action: &'static str,
        what: &dyn fmt::Display,
        call: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Failure> {
        let (result, answer) = watch::watched(call).await;
        result.map_err(|error| Failure {
            error: Box::new(error),
            answer,
            action,
            what: what.to_string(),
        })
    }

    fn explain(&self, failure: Failure) -> Error {
        answer::explain(&self.place, failure)
    }

    /// As [`explain`](Self::explain), where the failure may be that the object is not there.
    fn explain_of(&self, name: &ObjectName, failure: Failure) -> Error {
        if failure.is_absent() {
            return Error::Missing { name: name.clone(), place: self.place.clone() };
        }
        self.explain(failure)
    }

    fn head(&self, name: &ObjectName) -> Result<ObjectMeta, Error> {
        let key = self.key(name);
        let meta = self
            .call("look at", name, self.store.head(&key))
            .map_err(|failure| self.explain_of(name, failure))?;
        match meta.size {
            0 => Err(Error::Missing { name: name.clone(), place: self.place.clone() }),
            _ => Ok(meta),
        }
    }

    /// Reads a whole object, or a range of it, with its full size.
    fn read(
        &self,
        name: &ObjectName,
        range: Option<Range<u64>>,
        bytes_max: u64,
    ) -> Result<(Vec<u8>, u64), Failed> {
        let key = self.key(name);
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let read = async {
            let result = self.store.get_opts(&key, options).await?;
            let (size, length) = (result.meta.size, result.range.end - result.range.start);
            if length > bytes_max {
                return Ok((Vec::new(), size, length));
            }
            Ok((result.bytes().await?.to_vec(), size, length))
        };
        let read = self.call("read", name, read).map_err(Failed::Call)?;
        let (bytes, size, length) = read;
        if length > bytes_max {
            return Err(Failed::TooLong { bytes: size });
        }
        if bytes.len() as u64 != length {
            let why = format!("{} of {length} bytes of {name} came", bytes.len());
            return Err(Failed::Cut(Error::BadAnswer { place: self.place.clone(), why }));
        }
        Ok((bytes, size))
    }

    fn list_below(&self, prefix: &Path) -> Result<Vec<(String, u64)>, Error> {
        let listed = self
            .call("list", prefix, self.store.list(Some(prefix)).try_collect::<Vec<_>>())
            .map_err(|failure| self.explain_listing(failure))?;
        let mut names: Vec<_> = listed
            .into_iter()
            .filter_map(|meta| {
                let rest = meta.location.as_ref().strip_prefix(prefix.as_ref())?;
                Some((rest.trim_start_matches('/').to_owned(), meta.size))
            })
            .collect();
        // A store that repeats itself lists every object all the same.
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    /// A listing finds nothing missing but the bucket.
    fn explain_listing(&self, failure: Failure) -> Error {
        if failure.is_absent() {
            let why = "there is no such bucket, or this account cannot see it".to_owned();
            return Error::WrongPlace { place: self.place.clone(), why };
        }
        self.explain(failure)
    }
}

/// A call of the store that failed.
struct Failure {
    error: Box<object_store::Error>,
    /// The last answer of the server, if there was one.
    answer: Option<Answer>,
    action: &'static str,
    what: String,
}

impl Failure {
    fn is_absent(&self) -> bool {
        matches!(*self.error, object_store::Error::NotFound { .. })
    }
}

/// Why an object could not be read.
enum Failed {
    Call(Failure),
    TooLong { bytes: u64 },
    Cut(Error),
}

impl Backend for StoreBackend {
    fn put_new(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<(), Error> {
        self.upload(name, pieces).map(drop)
    }

    fn upload(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        upload::upload(self, name, pieces)
    }

    fn verify(&self, name: &ObjectName, pieces: &[&[u8]]) -> Result<Receipt, Error> {
        upload::verify(self, name, pieces)
    }

    fn get(&self, name: &ObjectName, bytes_max: u64) -> Result<Vec<u8>, Error> {
        match self.read(name, None, bytes_max) {
            Ok((bytes, _)) if bytes.is_empty() => {
                Err(Error::Missing { name: name.clone(), place: self.place.clone() })
            }
            Ok((bytes, _)) => Ok(bytes),
            Err(Failed::TooLong { bytes }) => {
                Err(Error::OutOfRange { name: name.clone(), bytes, wanted: bytes_max })
            }
            Err(Failed::Call(failure)) => Err(self.explain_of(name, failure)),
            Err(Failed::Cut(error)) => Err(error),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let out_of_range =
            |bytes| Error::OutOfRange { name: name.clone(), bytes, wanted: range.end };
        let wanted = range.end.saturating_sub(range.start);
        if wanted == 0 {
            let bytes = self.head(name)?.size;
            return if range.start <= bytes { Ok(Vec::new()) } else { Err(out_of_range(bytes)) };
        }
        match self.read(name, Some(range.clone()), wanted) {
            Ok((bytes, _)) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok((_, size)) => Err(out_of_range(size)),
            Err(Failed::TooLong { bytes }) => Err(out_of_range(bytes)),
            Err(Failed::Cut(error)) => Err(error),
            // A range that begins behind the end; stores word it in many ways.
            Err(Failed::Call(failure)) if answer::is_behind_the_end(&failure) => {
                Err(out_of_range(self.head(name)?.size))
            }
            Err(Failed::Call(failure)) => Err(self.explain_of(name, failure)),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64, Error> {
        self.head(name).map(|meta| meta.size)
    }

    fn list(&self, folder: Folder) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        for (name, bytes) in self.list_below(&self.prefix.clone().join(folder.as_str()))? {
            add(&mut listing, folder, &name, bytes);
        }
        Ok(listing)
    }

    fn list_all(&self) -> Result<Vec<(Folder, Listing)>, Error> {
        let mut listings = Folder::ALL.map(|folder| (folder, Listing::default()));
        for (name, bytes) in self.list_below(&self.prefix)? {
            let Some((folder, name)) = name.split_once('/') else { continue };
            let listing = listings.iter_mut().find(|(known, _)| known.as_str() == folder);
            if let Some((folder, listing)) = listing {
                add(listing, *folder, name, bytes);
            }
        }
        Ok(listings.into())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), Error> {
        let key = self.key(name);
        match self.call("delete", name, self.store.delete(&key)) {
            Err(failure) if failure.is_absent() => Ok(()),
            deleted => deleted.map_err(|failure| self.explain(failure)),
        }
    }

    fn free_bytes(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    fn place(&self) -> String {
        self.place.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            conditional_create: self.creating() == Creating::Conditional,
            strong_listing: true,
            is_remote: true,
        }
    }

    fn prove(&self) -> Result<Capabilities, Error> {
        prove::prove(self)
    }
}

fn add(listing: &mut Listing, folder: Folder, name: &str, bytes: u64) {
    match ObjectName::parse(folder, name) {
        Some(name) => listing.objects.push(Listed { name, bytes }),
        None => listing.foreign.push(name.to_owned()),
    }
}

fn empty_is_refused(name: &ObjectName, place: &str) -> Error {
    let source = io::Error::new(io::ErrorKind::InvalidInput, "an object has at least one byte");
    Error::Io { action: "write", what: name.to_string(), place: place.to_owned(), source }
}

impl fmt::Debug for StoreBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoreBackend").field(&self.place).finish()
    }
}

#[cfg(test)]
mod tests;
