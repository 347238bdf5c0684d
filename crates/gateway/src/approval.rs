//! What an approval is bound to: the very bytes, where they go, which model reads them, and until when.
//! Who may approve is decided elsewhere.

use crate::seal::MasterKey;
use jiff::Timestamp;
use subtle::ConstantTimeEq;

/// Why an approval does not cover what would be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalFault {
    #[error("승인 기한이 지났습니다. 다시 승인을 받아 주세요.")]
    Expired,
    #[error("승인받은 내용, 보낼 곳, 모델 가운데 달라진 것이 있습니다. 다시 승인을 받아 주세요.")]
    Altered,
}

/// HMAC over the outgoing bytes, the endpoint, the model and the expiry (whole seconds), as hex: kept with the
/// approval. `destination` is [`crate::Destination::endpoint`].
pub fn approval_binding(key: &MasterKey, body: &[u8], destination: &str, model: &str, expires_at: Timestamp) -> String {
    let expiry = expires_at.as_second().to_be_bytes();
    hex::encode(key.bind(b"madang.approval.v1", &[body, destination.as_bytes(), model.as_bytes(), &expiry]))
}

/// Checks at the moment of sending that the approval covers exactly this and has not expired.
///
/// # Errors
/// [`ApprovalFault::Altered`] when any part differs, [`ApprovalFault::Expired`] at and after the expiry.
pub fn approval_holds(
    key: &MasterKey,
    binding: &str,
    body: &[u8],
    destination: &str,
    model: &str,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), ApprovalFault> {
    let expected = approval_binding(key, body, destination, model, expires_at);
    if !bool::from(expected.as_bytes().ct_eq(binding.as_bytes())) {
        return Err(ApprovalFault::Altered);
    }
    if now.as_second() >= expires_at.as_second() {
        return Err(ApprovalFault::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_edit_and_the_expiry_void_it() {
        let key = MasterKey::from_bytes([1; 32]);
        let at = |second| Timestamp::from_second(second).unwrap();
        let binding = approval_binding(&key, b"{}", "https://a.example/v1", "m", at(100));
        let check = |body: &[u8], destination, model, expires, now| {
            approval_holds(&key, &binding, body, destination, model, at(expires), at(now))
        };
        assert_eq!(check(b"{}", "https://a.example/v1", "m", 100, 99), Ok(()));
        assert_eq!(check(b"{}", "https://a.example/v1", "m", 100, 100), Err(ApprovalFault::Expired));
        for altered in [
            check(b"{ }", "https://a.example/v1", "m", 100, 99),
            check(b"{}", "https://b.example/v1", "m", 100, 99),
            check(b"{}", "https://a.example/v1", "n", 100, 99),
            check(b"{}", "https://a.example/v1", "m", 200, 99),
            check(b"{}", "https://a.example/v1m", "", 100, 99),
        ] {
            assert_eq!(altered, Err(ApprovalFault::Altered));
        }
        let other = MasterKey::from_bytes([2; 32]);
        assert!(approval_holds(&other, &binding, b"{}", "https://a.example/v1", "m", at(100), at(99)).is_err());
    }
}
