//! The opened key ring: every key of a repository, by purpose. Spec: `format-spec/25-keys.md`, "Key
//! ring".

use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard,
    atomic::{AtomicBool, Ordering},
};

use crate::{
    clock::Entropy,
    crypto::{
        Error,
        page_hash::{PageHasher, page_hash},
        secret::Secret32,
    },
    format::ring::Ring,
    id::{ChunkId, ImageIdentity, RepositoryId},
};

/// The epoch of the first ring.
const FIRST_EPOCH: u32 = 1;
/// What the cut key is asked for to give the gear table.
const GEAR_INPUT: &[u8] = b"gear";

/// Draws the first key ring of a repository, all keys random.
pub fn first_ring(entropy: &dyn Entropy, descriptor_hash: [u8; 32]) -> Ring {
    Ring {
        generation: 1,
        chunk: entropy.bytes32(),
        cut: entropy.bytes32(),
        page: entropy.bytes32(),
        identity: entropy.bytes32(),
        epochs: vec![(FIRST_EPOCH, entropy.bytes32())],
        descriptor_hash,
    }
}

const LOCAL_SECRETS_CONTEXT: &str = "stillpoint 2026 v1 local secrets";
/// Context of the key that seals the results of drills.
const CERTIFICATE_CONTEXT: &str = "stillpoint 2026 v1 drill certificates";

/// All keys of an opened repository.
///
/// Clones share their epochs, so that those of a rotation elsewhere reach every reader.
#[derive(Debug, Clone)]
pub struct Keys {
    pub repository: RepositoryId,
    pub(crate) chunk: Secret32,
    pub(crate) cut: Secret32,
    pub(crate) page: Secret32,
    pub(crate) identity: Secret32,
    pub(crate) epochs: Arc<Epochs>,
}

/// The keys that objects are sealed under.
#[derive(Debug)]
pub(crate) struct Epochs {
    /// Ascending; new objects use the last.
    keys: RwLock<Vec<(u32, Secret32)>>,
    /// An object of an epoch that is not among them was met.
    missed: AtomicBool,
}

impl Epochs {
    pub(crate) fn new(keys: Vec<(u32, Secret32)>) -> Arc<Self> {
        Arc::new(Self { keys: RwLock::new(keys), missed: AtomicBool::new(false) })
    }
}

impl Keys {
    /// Takes the keys from an opened ring.
    pub fn from_ring(repository: RepositoryId, ring: &Ring) -> Self {
        Self {
            repository,
            chunk: Secret32::new(ring.chunk),
            cut: Secret32::new(ring.cut),
            page: Secret32::new(ring.page),
            identity: Secret32::new(ring.identity),
            epochs: Epochs::new(epochs_of(ring)),
        }
    }

    /// Takes over what a newer ring has more.
    pub fn add_epochs(&self, ring: &Ring) {
        let mut epochs = epochs_of(ring);
        let mut keys = self.epochs.keys.write().unwrap_or_else(PoisonError::into_inner);
        epochs.retain(|(number, _)| keys.iter().all(|(known, _)| known != number));
        keys.append(&mut epochs);
        keys.sort_by_key(|(number, _)| *number);
    }

    /// Whether an object of an unknown epoch was met since this was asked last.
    pub fn missed_an_epoch(&self) -> bool {
        self.epochs.missed.swap(false, Ordering::Relaxed)
    }

    /// Puts the keys into a ring of the next generation.
    pub fn to_ring(&self, generation: u32, descriptor_hash: [u8; 32]) -> Ring {
        Ring {
            generation,
            chunk: *self.chunk.expose(),
            cut: *self.cut.expose(),
            page: *self.page.expose(),
            identity: *self.identity.expose(),
            epochs: self
                .read_epochs()
                .iter()
                .map(|(number, key)| (*number, *key.expose()))
                .collect(),
            descriptor_hash,
        }
    }

    /// Names a chunk.
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(self.chunk.expose(), plain).as_bytes())
    }

    /// Hashes one database page.
    pub fn page_hash(&self, page: &[u8]) -> [u8; 16] {
        page_hash(&self.page, page)
    }

    /// Hashes many.
    pub fn page_hasher(&self) -> PageHasher {
        PageHasher::new(&self.page)
    }

    /// Shows the page key, for the capture process.
    pub const fn page_key(&self) -> &Secret32 {
        &self.page
    }

    /// Begins the identity of an image; feed it the page hashes in order, then call
    /// [`IdentityHasher::finish`].
    pub fn image_identity(&self, page_bytes: u32, page_count: u32) -> IdentityHasher {
        let mut hasher = blake3::Hasher::new_keyed(self.identity.expose());
        let _ = hasher.update(&page_bytes.to_le_bytes()).update(&page_count.to_le_bytes());
        IdentityHasher(hasher)
    }

    /// Returns the key for secrets that stay on this machine; see [`crate::crypto::local`].
    ///
    /// It comes from a key that is never rotated, so that a rotation signs nobody out.
    pub fn local_secrets(&self) -> Secret32 {
        let key = blake3::derive_key(LOCAL_SECRETS_CONTEXT, self.identity.expose());
        Secret32::new(key)
    }

    /// Returns the seal of a result that stays on this machine.
    pub fn certificate_mac(&self, result: &[u8]) -> [u8; 32] {
        let key = blake3::derive_key(CERTIFICATE_CONTEXT, self.identity.expose());
        *blake3::keyed_hash(&key, result).as_bytes()
    }

    /// The epoch that seals new objects.
    pub fn epoch_now(&self) -> u32 {
        self.newest_epoch().0
    }

    /// Returns the key of an epoch.
    ///
    /// # Errors
    /// [`Error::UnknownEpoch`]
    pub fn epoch_key(&self, epoch: u32) -> Result<Secret32, Error> {
        let epochs = self.read_epochs();
        match epochs.iter().find(|(number, _)| *number == epoch) {
            Some((_, key)) => Ok(key.clone()),
            None => {
                self.epochs.missed.store(true, Ordering::Relaxed);
                Err(Error::UnknownEpoch(epoch))
            }
        }
    }

    /// Returns the gear table for cutting files, which the cut key decides.
    pub fn gear_table(&self) -> Box<[u64; 256]> {
        let mut bytes = zeroize::Zeroizing::new([0; 256 * 8]);
        blake3::Hasher::new_keyed(self.cut.expose())
            .update(GEAR_INPUT)
            .finalize_xof()
            .fill(&mut bytes[..]);
        let mut table = Box::new([0; 256]);
        for (entry, bytes) in table.iter_mut().zip(bytes.as_chunks().0) {
            *entry = u64::from_le_bytes(*bytes);
        }
        table
    }

    /// Hashes the name of a folder entry, which decides whether a chunk of the node ends there.
    pub fn node_cut_hash(&self, name: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(self.cut.expose(), name);
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(super) fn newest_epoch(&self) -> (u32, Secret32) {
        let epochs = self.read_epochs();
        epochs.last().expect("a key ring holds at least one epoch").clone()
    }

    fn read_epochs(&self) -> RwLockReadGuard<'_, Vec<(u32, Secret32)>> {
        self.epochs.keys.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn epochs_of(ring: &Ring) -> Vec<(u32, Secret32)> {
    ring.epochs.iter().map(|(number, key)| (*number, Secret32::new(*key))).collect()
}

/// The identity of an image in the making.
#[derive(Debug, Clone)]
pub struct IdentityHasher(blake3::Hasher);

impl IdentityHasher {
    /// Adds page hashes, 16 bytes each, in page order.
    pub fn update(&mut self, page_hashes: &[u8]) {
        let _ = self.0.update(page_hashes);
    }

    /// Returns the identity.
    pub fn finish(&self) -> ImageIdentity {
        ImageIdentity(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    pub(crate) fn ring() -> Ring {
        Ring {
            generation: 1,
            chunk: [1; 32],
            cut: [2; 32],
            page: [3; 32],
            identity: [4; 32],
            epochs: vec![(1, [5; 32]), (2, [6; 32])],
            descriptor_hash: [7; 32],
        }
    }

    pub(crate) fn keys() -> Keys {
        Keys::from_ring(RepositoryId([0xaa; 32]), &ring())
    }

    #[test]
    fn keys_go_into_a_ring_and_come_back() {
        assert_eq!(keys().to_ring(1, [7; 32]), ring());
    }

    #[test]
    fn the_newest_epoch_seals_and_the_older_ones_still_open() {
        assert_eq!(keys().epoch_now(), 2);
        assert_eq!(keys().epoch_key(1).map(|key| *key.expose()), Ok([5; 32]));
        assert_eq!(keys().epoch_key(3).map(|_| ()), Err(Error::UnknownEpoch(3)));
    }

    #[test]
    fn epochs_of_a_newer_ring_reach_every_clone_and_replace_none() {
        let (keys, mut newer) = (keys(), ring());
        let clone = keys.clone();
        newer.epochs = vec![(1, [9; 32]), (7, [8; 32])];
        assert!(clone.epoch_key(7).is_err() && keys.missed_an_epoch() && !keys.missed_an_epoch());

        keys.add_epochs(&newer);

        assert_eq!(clone.epoch_now(), 7);
        assert_eq!(clone.epoch_key(1).map(|key| *key.expose()), Ok([5; 32]));
        assert_eq!(clone.epoch_key(2).map(|key| *key.expose()), Ok([6; 32]));
    }

    #[test]
    fn the_first_ring_repeats_no_key() {
        let ring = first_ring(&SystemEntropy, [7; 32]);

        let mut all = [ring.chunk, ring.cut, ring.page, ring.identity, ring.epochs[0].1];
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!((ring.generation, ring.epochs[0].0), (1, 1));
    }

    #[test]
    fn the_gear_table_is_the_cut_keys_own() {
        let mut bytes = [0; 2048];
        blake3::Hasher::new_keyed(&[2; 32]).update(b"gear").finalize_xof().fill(&mut bytes);

        let table = keys().gear_table();
        assert_eq!(table[0].to_le_bytes(), bytes[..8]);
        assert_eq!(table[255].to_le_bytes(), bytes[2040..]);
    }

    #[test]
    fn purposes_do_not_share_keys() {
        let page = [9; 512];
        let id = keys().chunk_id(&page);

        assert_eq!(id.0, *blake3::keyed_hash(&[1; 32], &page).as_bytes());
        assert_eq!(keys().page_hash(&page), blake3::keyed_hash(&[3; 32], &page).as_bytes()[..16]);
        let mut identity = keys().image_identity(512, 1);
        identity.update(&keys().page_hash(&page));
        let input = [&[0, 2, 0, 0, 1, 0, 0, 0], &keys().page_hash(&page)[..]].concat();
        assert_eq!(identity.finish().0, *blake3::keyed_hash(&[4; 32], &input).as_bytes());
    }
}
