//! Whole objects: sealed by the program, opened by the primitives that the spec names.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};
use serde_json::{Value, json};
use stillpoint::{
    crypto::{
        object::{open_object, open_ring},
        recovery::{RECOVERY_BYTES, written_groups},
        seal::{ObjectKey, Role},
        secret::{Credential, Secret32},
        slot::{NewSlot, unwrap},
    },
    format::{
        envelope::{HEADER_BYTES, Header, Kind},
        frame,
        table::{TRAILER_BYTES, TableBuilder, Trailer},
    },
    id::ObjectId,
};

use super::{
    derivations::derive_object_key,
    encodings::index_frame,
    hex,
    samples::{EPOCH, EPOCH_KEY, MASTER, REPOSITORY, counting, descriptor, keys, record, ring},
    unhex,
};

const ID: [u8; 32] = counting(0xd0);
const PASSPHRASE: &str = "correct horse battery staple";
const KEY_FILE: [u8; 32] = counting(0xe8);
const RECOVERY: [u8; RECOVERY_BYTES] = *b"stillpoint paper";
const TAG_BYTES: usize = 16;

pub fn all() -> Vec<Value> {
    let record = record().encode().unwrap();
    vec![
        json!({ "name": "descriptor", "bytes": hex(&descriptor()), "sealed": [] }),
        slot("key slot, passphrase", &Credential::Passphrase(PASSPHRASE.into())),
        slot("key slot, key file", &Credential::KeyFile(KEY_FILE)),
        slot("key slot, recovery sheet", &Credential::Recovery(RECOVERY)),
        single("key ring", Kind::Ring, &ring().encode()),
        single("pending record", Kind::Pending, &record),
        single("snapshot record", Kind::Snapshot, &record),
        pack(),
        index_object(),
    ]
}

/// Opens the object of a case from the primitives, and with the program.
pub fn check(case: &Value) {
    let object = unhex(&case["bytes"]);
    if case["credential"].is_object() {
        return check_slot(case, &object);
    }
    let header = &object[..HEADER_BYTES];
    for part in case["sealed"].as_array().unwrap() {
        let number = part["number"].as_u64().unwrap();
        let role = part["role"].as_u64().unwrap() as u32;
        let start = part["offset"].as_u64().unwrap() as usize;
        let sealed = &object[start..][..part["bytes"].as_u64().unwrap() as usize];
        let nonce = [&number.to_le_bytes()[..], &role.to_le_bytes()].concat();
        let key = unhex(&case["object key"]);
        assert_eq!(open(&key, &nonce, header, sealed), unhex(&part["plain"]), "{case}");
    }
    let kind = Header::decode(&object).unwrap().kind;
    match kind {
        Kind::Ring => {
            let opened = open_ring(&Secret32::new(MASTER), &REPOSITORY, &ID, object).unwrap();
            assert_eq!(opened, ring());
        }
        Kind::Pending | Kind::Snapshot => {
            let plain = open_object(&keys(), kind, &ID, object).unwrap();
            assert_eq!(plain, record().encode().unwrap());
        }
        _ => {}
    }
}

fn check_slot(case: &Value, object: &[u8]) {
    let credential = match &case["credential"]["passphrase"] {
        Value::String(passphrase) => Credential::Passphrase(passphrase.clone().into_bytes()),
        _ if case["credential"]["recovery key"].is_string() => Credential::Recovery(RECOVERY),
        _ => Credential::KeyFile(KEY_FILE),
    };
    let (bound, sealed_master) = (&object[..HEADER_BYTES + 88], &object[HEADER_BYTES + 120..]);
    let opened = unwrap(object, &REPOSITORY, &ObjectId(ID), &credential).unwrap();

    assert_eq!(hex(opened.master.expose()), case["master key"]);
    assert_eq!(opened.label.as_deref(), case["label"].as_str());
    let label = [&b"owner"[..], &[0; 11]].concat();
    let (clear, sealed_label) = (bound, &object[HEADER_BYTES + 88..][..32]);
    let bound_too = [clear, sealed_master].concat();
    assert_eq!(open(&unhex(&case["label key"]), &[0; 12], &bound_too, sealed_label), label);
    assert_eq!(open(&unhex(&case["slot key"]), &[0; 12], bound, sealed_master), MASTER);
}

/// ChaCha20-Poly1305 as RFC 8439 has it.
fn open(key: &[u8], nonce: &[u8], bound: &[u8], sealed: &[u8]) -> Vec<u8> {
    let key: [u8; 32] = key.try_into().unwrap();
    let nonce: [u8; 12] = nonce.try_into().unwrap();
    let mut plain = sealed.to_vec();
    ChaCha20Poly1305::new(&key.into()).decrypt_in_place(&nonce.into(), bound, &mut plain).unwrap();
    plain
}

fn slot(name: &str, credential: &Credential) -> Value {
    let salt = counting(0xf0);
    let new = NewSlot {
        repository: REPOSITORY,
        id: ObjectId(ID),
        label: "owner",
        created: 1_763_600_000_000_000_000,
        salt,
    };
    let object = new.wrap(credential, &Secret32::new(MASTER)).unwrap();
    let (shown, secret) = match credential {
        Credential::Passphrase(passphrase) => {
            (json!({ "passphrase": PASSPHRASE }), stretch(passphrase, &salt))
        }
        Credential::KeyFile(key) => (json!({ "key file": hex(key) }), *key),
        Credential::Recovery(key) => (
            json!({
                "recovery key": hex(key),
                "written": written_groups(key).map(|group| group.to_string()).join("-"),
            }),
            blake3::derive_key("stillpoint 2026 v1 recovery key", key),
        ),
    };
    let slot_key = blake3::derive_key("stillpoint 2026 v1 key slot", &[secret, ID, salt].concat());
    let key_check = blake3::derive_key("stillpoint 2026 v1 slot check", &slot_key);
    let label_key =
        blake3::derive_key("stillpoint 2026 v1 slot label", &[MASTER, ID, salt].concat());
    assert_eq!(object[HEADER_BYTES + 56..][..32], key_check);
    json!({
        "name": name,
        "id": hex(&ID),
        "credential": shown,
        "secret": hex(&secret),
        "slot key": hex(&slot_key),
        "key check": hex(&key_check),
        "label key": hex(&label_key),
        "master key": hex(&MASTER),
        "label": "owner",
        "bytes": hex(&object),
    })
}

fn stretch(passphrase: &[u8], salt: &[u8]) -> [u8; 32] {
    let params = argon2::Params::new(65_536, 3, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut secret = [0; 32];
    argon2.hash_password_into(passphrase, salt, &mut secret).unwrap();
    secret
}

/// An object in the making: header, then sealed parts.
struct Draft {
    kind: Kind,
    base: [u8; 32],
    bytes: Vec<u8>,
    sealed: Vec<Value>,
}

impl Draft {
    fn begin(kind: Kind, body_bytes: usize) -> Self {
        let header = Header {
            kind,
            suite: kind.suite(),
            epoch: if kind.has_epoch() { EPOCH } else { 0 },
            repository: REPOSITORY,
            object: ID,
            body_bytes: body_bytes as u64,
        };
        let base = if kind.has_epoch() { EPOCH_KEY } else { MASTER };
        Self { kind, base, bytes: header.encode().to_vec(), sealed: Vec::new() }
    }

    fn put(&mut self, number: u64, role: Role, plain: &[u8]) {
        let key = ObjectKey::derive(&Secret32::new(self.base), self.kind, &ID);
        let header = self.bytes[..HEADER_BYTES].try_into().unwrap();
        let sealed = key.seal(number, role, &header, plain.to_vec());
        self.sealed.push(json!({
            "offset": self.bytes.len(),
            "bytes": sealed.len(),
            "number": number,
            "role": role as u32,
            "plain": hex(plain),
        }));
        self.bytes.extend_from_slice(&sealed);
    }

    fn finish(self, name: &str) -> Value {
        let key = derive_object_key(&self.base, self.kind as u8, &ID);
        json!({
            "name": name,
            "id": hex(&ID),
            "object key": hex(&key),
            "bytes": hex(&self.bytes),
            "sealed": self.sealed,
        })
    }
}

/// Frames are stored, since what zstd makes of a plaintext depends on its version.
fn stored(plain: &[u8]) -> Vec<u8> {
    let mut framed = Vec::new();
    frame::put_stored(&mut framed, plain);
    framed
}

fn single(name: &str, kind: Kind, plain: &[u8]) -> Value {
    let framed = stored(plain);
    let mut draft = Draft::begin(kind, framed.len() + TAG_BYTES);
    draft.put(0, Role::Body, &framed);
    draft.finish(name)
}

fn pack() -> Value {
    let blobs: [&[&[u8]]; 2] = [&[b"hello", b", world"], &[&[7; 300]]];
    let mut draft = Draft::begin(Kind::Pack, 0);
    let mut table = TableBuilder::default();
    for (number, chunks) in blobs.iter().enumerate() {
        let start = draft.bytes.len();
        draft.put(number as u64, Role::Blob, &stored(&chunks.concat()));
        let named: Vec<_> =
            chunks.iter().map(|plain| (keys().chunk_id(plain), plain.len() as u32)).collect();
        table.push_blob((draft.bytes.len() - start) as u32, &named);
    }
    let table_offset = draft.bytes.len() as u64;
    draft.put(0, Role::Table, &table.finish());
    let table_bytes = draft.bytes.len() as u64 - table_offset;
    draft.put(0, Role::Padding, &[0; 20]);
    let padding_bytes = 20 + TAG_BYTES as u64;
    let trailer = Trailer { table_offset, table_bytes, padding_bytes }.encode();
    draft.put(0, Role::Trailer, &trailer);
    let pack_bytes = draft.bytes.len() as u64;
    assert!(trailer.len() == TRAILER_BYTES && Trailer::decode(&trailer, pack_bytes).is_ok());
    draft.finish("pack of two blobs, padded")
}

fn index_object() -> Value {
    let mut draft = Draft::begin(Kind::Segment, 0);
    let covers = [&[2, 32][..], &counting(9)].concat();
    for (number, role, plain) in [(0, Role::Frame, index_frame()), (1, Role::LastFrame, covers)] {
        let framed = stored(&plain);
        let length = (framed.len() + TAG_BYTES) as u32;
        draft.bytes.extend_from_slice(&length.to_le_bytes());
        draft.put(number, role, &framed);
    }
    draft.finish("index segment of two frames")
}
