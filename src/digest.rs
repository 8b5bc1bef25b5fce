//! Names of exact bytes: SHA-256, whole or short, and with a key.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 12 digits of [`sha256`]: enough to tell versions apart, short enough for a header.
#[must_use]
pub fn short(bytes: &[u8]) -> String {
    sha256(bytes).chars().take(12).collect()
}

/// HMAC-SHA-256 (RFC 2104) of `parts`, one after the other: what nobody can compute without the key.
#[must_use]
pub fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    // A key is a block of 64 bytes, filled up with zeros.
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_the_standard_is_met() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(short(b"abc"), "ba7816bf8f01");
    }

    #[test]
    fn the_keyed_digest_of_the_standard_is_met() {
        // RFC 4231, test case 2: the key "Jefe", which HMAC fills up with zeros.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let shown: String =
            hmac(&key, &[b"what do ya want ", b"for nothing?"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
