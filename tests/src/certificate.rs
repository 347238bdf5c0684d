//! A throw-away certificate authority: X.509 version 3, P-256, written by hand so that the tests need neither another
//! crate nor a program of the machine.

use anyhow::{Context, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const ECDSA_WITH_SHA256: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02];
const EC_PUBLIC_KEY: [u8; 7] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01];
const P256: [u8; 8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1D, 0x11];
const BASIC_CONSTRAINTS: [u8; 3] = [0x55, 0x1D, 0x13];

/// An authority that nobody but the test trusts.
pub struct Authority {
    key: Key,
    der: Vec<u8>,
}

/// A certificate of its for this machine, with the key (PKCS#8).
pub struct Leaf {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
}

struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
}

impl Key {
    fn new() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let fault = |_| anyhow!("no key could be made");
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(fault)?;
        let pkcs8 = made.as_ref().to_vec();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &pkcs8, &random);
        Ok(Self { pair: pair.map_err(|e| anyhow!("{e}"))?, pkcs8 })
    }

    fn public(&self) -> Vec<u8> {
        let algorithm = tlv(SEQUENCE, &[tlv(OID, &EC_PUBLIC_KEY), tlv(OID, &P256)].concat());
        tlv(SEQUENCE, &[algorithm, bits(self.pair.public_key().as_ref())].concat())
    }
}

impl Authority {
    /// # Errors
    /// No key could be made.
    pub fn new() -> anyhow::Result<Self> {
        let key = Key::new()?;
        let is_authority = tlv(SEQUENCE, &[0x01, 0x01, 0xFF]);
        let der = certificate("madang test authority", &key, &key, &extension(&BASIC_CONSTRAINTS, &is_authority))?;
        Ok(Self { key, der })
    }

    /// For `--ca`.
    pub fn pem(&self) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&self.der))
    }

    /// A certificate for 127.0.0.1 and localhost.
    ///
    /// # Errors
    /// No key could be made.
    pub fn leaf(&self) -> anyhow::Result<Leaf> {
        let key = Key::new()?;
        let names = tlv(SEQUENCE, &[tlv(0x87, &[127, 0, 0, 1]), tlv(0x82, b"localhost")].concat());
        let certificate = certificate("localhost", &key, &self.key, &extension(&SUBJECT_ALT_NAME, &names))?;
        Ok(Leaf { certificate, key: key.pkcs8 })
    }
}

fn certificate(subject: &str, key: &Key, signer: &Key, extensions: &[u8]) -> anyhow::Result<Vec<u8>> {
    let algorithm = tlv(SEQUENCE, &tlv(OID, &ECDSA_WITH_SHA256));
    let valid = tlv(SEQUENCE, &[tlv(0x17, b"200101000000Z"), tlv(0x17, b"491231235959Z")].concat());
    let body = [
        tlv(0xA0, &tlv(0x02, &[2])),
        tlv(0x02, &[1]),
        algorithm.clone(),
        name("madang test authority"),
        valid,
        name(subject),
        key.public(),
        tlv(0xA3, &tlv(SEQUENCE, extensions)),
    ];
    let signed = tlv(SEQUENCE, &body.concat());
    let signature = signer.pair.sign(&SystemRandom::new(), &signed).ok().context("signature")?;
    Ok(tlv(SEQUENCE, &[signed, algorithm, bits(signature.as_ref())].concat()))
}

fn name(common: &str) -> Vec<u8> {
    let pair = tlv(SEQUENCE, &[tlv(OID, &COMMON_NAME), tlv(0x0C, common.as_bytes())].concat());
    tlv(SEQUENCE, &tlv(SET, &pair))
}

/// Critical, so that a reader who does not know it says so.
fn extension(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[tlv(OID, oid), vec![0x01, 0x01, 0xFF], tlv(0x04, value)].concat())
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

/// Tag, length, value.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = value.len().to_be_bytes();
    let short = match value.len() {
        0..=0x7F => length.get(7..),
        0x80..=0xFF => length.get(7..),
        _ => length.get(6..),
    };
    let short = short.unwrap_or_default();
    let mut out = vec![tag];
    if value.len() > 0x7F {
        out.push(0x80 | u8::try_from(short.len()).unwrap_or_default());
    }
    [out, short.to_vec(), value.to_vec()].concat()
}
