//! The hash of a document's content.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::address_group::AddressGroupSpec;
use crate::node_rule_set::NodeRuleSetSpec;
use crate::pod_slice::PodSliceSpec;
use crate::policy_slice::PolicySliceSpec;

macro_rules! content_hash {
    ($spec:ident) => {
        impl $spec {
            /// The hash of what the document says, its revision and its own hash left out.
            ///
            /// It is taken over the fields that this version knows. A document of a later version with further fields
            /// has another hash and is refused, rather than enforced without what they say.
            pub fn content_hash(&self) -> String {
                digest(&Self {
                    revision: 0,
                    hash: String::new(),
                    ..self.clone()
                })
            }
        }
    };
}

content_hash!(NodeRuleSetSpec);
content_hash!(PodSliceSpec);
content_hash!(PolicySliceSpec);
content_hash!(AddressGroupSpec);

/// The first 128 bits of the SHA-256 of a value's compact JSON, which is canonical: fields in the order of their
/// declaration, maps sorted.
pub(crate) fn digest(content: &impl Serialize) -> String {
    let mut hasher = Sha256::new();
    // Hashing what was written so far is still a function of the content; and neither a map with keys that are no
    // strings nor a failing writer exists here.
    if let Err(error) = serde_json::to_writer(HashWriter(&mut hasher), content) {
        hasher.update(error.to_string().as_bytes());
    }
    let bits = hasher.finalize();
    let half = bits
        .iter()
        .take(16)
        .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    format!("{half:032x}")
}

/// Feeds a digest with what is written.
struct HashWriter<'a>(&'a mut Sha256);

impl std::io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
