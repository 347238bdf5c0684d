//! What an entry is in the tree: the bytes of its hash.
//!
//! The leaf is the 32 bytes of [`Entry::hash`] rather than the entry's text, because the hash binds everything in the
//! entry and the one before it already; because it stays far below the 64 KiB of C2SP's bundles however long a payload
//! is; because an entry's place can be proven without showing what it says; and because the form in which entries are
//! exported may change while the tree stays. This does not change any more: every signed root depends on it.

use crate::chain::{self, Entry};
use crate::tree::{Hash, leaf_hash};

impl Entry {
    /// Hash of the entry's leaf in the tree, `SHA-256(0x00 ‖ 32 bytes of its hash)`: the entry with number `seq` is
    /// leaf `seq - 1`. `None` where [`Entry::hash`] is not 64 lower-case hex digits. Believes the hash: see
    /// [`Entry::holds`].
    pub fn leaf(&self) -> Option<Hash> {
        let mut bytes = [0; 32];
        let lower = !self.hash.bytes().any(|b| b.is_ascii_uppercase());
        (lower && hex::decode_to_slice(&self.hash, &mut bytes).is_ok()).then(|| leaf_hash(&bytes))
    }

    /// The entry by itself is sound: number, form, and a hash of exactly what it says. Says nothing of its place.
    ///
    /// # Errors
    /// What is wrong, in Korean.
    pub fn holds(&self) -> Result<(), String> {
        chain::check_entry(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::tree::Frontier;
    use crate::{Entry, Head, chain};

    /// Signed roots depend on these: neither the hash of an entry nor its leaf may ever change.
    #[test]
    fn leaves_and_roots_are_frozen() {
        let mut head = Head::genesis();
        let mut tree = Frontier::new();
        for (payload, hash, leaf, root) in FROZEN {
            let entry = chain(&head, "2026-11-22T06:20:00.000Z", payload).unwrap();
            tree.push(entry.leaf().unwrap()).unwrap();
            let found = [entry.hash.clone(), entry.leaf().unwrap().to_string(), tree.root().to_string()];
            assert_eq!(found, [hash, leaf, root]);
            head = Head::from(&entry);
        }
    }

    const FROZEN: [(&str, &str, &str, &str); 3] = [
        (
            r#"{"action":"sign_in"}"#,
            "56584d2cc17c061e368825f5db2dea166db109a8fdaed7387cb693d96ec6a2dc",
            "aHS30XedhaZ8euH2pklWcPSGn26zoPo1uI7MZZaJi94=",
            "aHS30XedhaZ8euH2pklWcPSGn26zoPo1uI7MZZaJi94=",
        ),
        (
            r#"{"action":"등급 변경","n":1}"#,
            "6891a4355523eb71dc5f4def1fecb23eba5e83f0f2168eb688e745e7ff813446",
            "KMQzxZ8WhcaOduxw95kh3EndD0/j4THdcg2Ezrff89s=",
            "QB/jdD7Upj9pP1UFCqfrb8u5iqo44Cup2lFWmMakNN0=",
        ),
        (
            r#"{}"#,
            "e804700b9291afdbc298e732ea0baa43a0f36a4f8484aed2f6e23e62148b2ccd",
            "0HfEeG6iiB1V4g5eniPS6NrakQk5S/4chHxQGVwzwbs=",
            "RUWuOlDzpVTG2hCZb5ieiG0K4k1acEvcJbZpA54Z77I=",
        ),
    ];

    #[test]
    fn an_entry_without_a_hash_has_no_leaf() {
        let entry = chain(&Head::genesis(), "2026-11-22T06:20:00Z", "{}").unwrap();
        assert!(entry.holds().is_ok());
        for hash in ["".into(), entry.hash.to_uppercase(), entry.hash[1..].into(), format!("{}00", entry.hash)] {
            let bad = Entry { hash, ..entry.clone() };
            assert!(bad.leaf().is_none() && bad.holds().is_err());
        }
        assert!(Entry { seq: 0, ..entry.clone() }.holds().is_err());
        assert!(Entry { payload: "{ }".into(), ..entry }.holds().is_err());
    }
}
