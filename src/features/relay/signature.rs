//! Standard Webhooks: the headers by which a target verifies the sender, and recognizes a retry.
//!
//! Source: standard-webhooks/standard-webhooks, spec, "Signature scheme": HMAC-SHA256 of `id.timestamp.body`, in base64 after `v1,`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Signs under one secret.
pub struct Signer(Hmac<Sha256>);

impl Signer {
    /// `None` when `encoded` is not base64.
    pub fn new(encoded: &str) -> Option<Self> {
        let key = BASE64_STANDARD.decode(encoded).ok()?;
        Hmac::new_from_slice(&key).ok().map(Self)
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let mut mac = self.0.clone();
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn the_signature_is_the_one_of_the_reference() {
        let signer = Signer::new("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = signer.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
