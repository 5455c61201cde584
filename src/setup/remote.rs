//! Places elsewhere, with the layers that make them fit to rely on.

use std::{path::Path, sync::Arc};

use crate::{
    backend::{
        self, Backend, Capabilities,
        layer::{
            cache::Cached,
            pace::{Pace, Paced, UploadLimit},
            retry::{Retrying, Waits},
        },
        store::{Account, Journal, ProcessJournal, Provider, StoreBackend},
    },
    config::{Bucket, Place},
    repo,
    setup::Machine,
};

/// Requests of a store that may follow each other at once.
const BURST: u32 = 32;

/// What is known of a place besides its address.
#[derive(Debug, Clone)]
pub struct Means {
    /// Bytes per second that may go up.
    pub limit_upload: Option<u64>,
    /// Remembers uploads that are under way.
    pub journal: Arc<dyn Journal>,
    /// What a test of the place found.
    pub capabilities: Option<Capabilities>,
}

impl Default for Means {
    fn default() -> Self {
        let journal = Arc::new(ProcessJournal::default());
        Self { limit_upload: None, journal, capabilities: None }
    }
}

impl Machine {
    /// Opens a place elsewhere; nothing is asked of it yet.
    pub(super) fn remote(
        &self,
        place: &Place,
        means: &Means,
    ) -> Result<Arc<dyn Backend>, backend::Error> {
        let provider = match place {
            Place::S3(bucket) => (Provider::S3, bucket),
            Place::Gcs(bucket) => (Provider::Gcs, bucket),
            Place::Azure(bucket) => (Provider::Azure, bucket),
            Place::Folder(_) | Place::Drive(_) => {
                let why = "this version cannot store there".to_owned();
                return Err(backend::Error::WrongPlace { place: place.to_string(), why });
            }
        };
        let store = self.store(provider, place, means)?;
        Ok(Arc::new(self.lasting(Arc::new(store))))
    }

    /// Has this machine remember what it reads there.
    pub(super) fn remembered(
        &self,
        inner: Arc<dyn Backend>,
        state_root: &Path,
    ) -> Result<Arc<dyn Backend>, repo::Error> {
        let path = state_root.join("objects");
        let dir = self.disk.create_root(&path, 0o700).map_err(|source| repo::Error::State {
            action: "create",
            what: "the folder for what is read from afar".to_owned(),
            path,
            source,
        })?;
        let disk = Arc::clone(&self.disk);
        Ok(Arc::new(Cached::new(inner, Arc::clone(&self.clock), (disk, dir))))
    }

    fn store(
        &self,
        (provider, bucket): (Provider, &Bucket),
        place: &Place,
        means: &Means,
    ) -> Result<StoreBackend, backend::Error> {
        let account = Account {
            provider,
            bucket: bucket.name.clone(),
            prefix: bucket.prefix.clone(),
            endpoint: bucket.endpoint.clone(),
            region: bucket.region.clone(),
            name: bucket.account.clone(),
            credentials_file: bucket.credentials_file.clone(),
            profile: bucket.profile.clone(),
            place: place.to_string(),
        };
        let journal = Arc::clone(&means.journal);
        let mut store = StoreBackend::new(&account, Arc::clone(&self.entropy), journal)?;
        if let Some(known) = means.capabilities {
            store = store.with_known(known);
        }
        Ok(match means.limit_upload {
            Some(bytes_per_second) => {
                let clock = Arc::clone(&self.clock);
                store.with_upload_limit(Arc::new(UploadLimit::new(clock, bytes_per_second)))
            }
            None => store,
        })
    }

    /// A backend whose refusals to hurry and passing failures are dealt with.
    pub(super) fn lasting(&self, inner: Arc<dyn Backend>) -> Retrying {
        let pace = Pace::new(Arc::clone(&self.clock), std::time::Duration::ZERO, BURST);
        let waits = Waits {
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            stop: Arc::clone(&self.stop),
            patience: self.patience,
        };
        Retrying::new(Arc::new(Paced::new(inner, Arc::new(pace))), waits)
    }
}
