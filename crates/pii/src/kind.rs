//! What kinds of identifiers there are and what is done with each. No detection here.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What happens to a text that holds an identifier, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing personal: the text may leave as it is.
    #[default]
    Pass,
    /// Leaves with a token in place of the identifier.
    Mask,
    /// Does not leave.
    Block,
}

/// Kind of identifier, most protected first: of two findings over the same characters the earlier kind names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 주민등록번호.
    Rrn,
    /// 외국인등록번호.
    ForeignerRegistration,
    /// 운전면허번호.
    DriversLicense,
    /// 여권번호.
    Passport,
    /// Passwords, API keys, private keys, tokens, connection strings.
    Credential,
    /// 카드번호.
    Card,
    /// 계좌번호.
    Account,
    /// 건강보험증번호.
    HealthInsurance,
    /// 전화번호.
    Phone,
    /// 전자우편.
    Email,
    /// 차량번호.
    VehiclePlate,
    /// 주소 with its 동·호, a label or a name beside it.
    Address,
    /// 이름, found by its label or honorific.
    Name,
    /// IPv4 or IPv6 address.
    Ip,
    /// A word or pattern of the body's own dictionary; its rule says what is done.
    Custom,
    /// 법인등록번호: of a body, not a person.
    CorporateNumber,
    /// 사업자등록번호: of a body, not a person.
    BusinessNumber,
    /// A telephone number that its label says is an office's.
    AgencyPhone,
}

impl Kind {
    /// Every kind, most protected first.
    pub const ALL: [Kind; 18] = [
        Kind::Rrn,
        Kind::ForeignerRegistration,
        Kind::DriversLicense,
        Kind::Passport,
        Kind::Credential,
        Kind::Card,
        Kind::Account,
        Kind::HealthInsurance,
        Kind::Phone,
        Kind::Email,
        Kind::VehiclePlate,
        Kind::Address,
        Kind::Name,
        Kind::Ip,
        Kind::Custom,
        Kind::CorporateNumber,
        Kind::BusinessNumber,
        Kind::AgencyPhone,
    ];

    /// Unique identifiers under the law (고유식별정보) block; other personal data is masked; data of bodies passes.
    pub fn action(self) -> Action {
        match self {
            Kind::Rrn | Kind::ForeignerRegistration | Kind::DriversLicense | Kind::Passport => Action::Block,
            Kind::CorporateNumber | Kind::BusinessNumber | Kind::AgencyPhone => Action::Pass,
            _ => Action::Mask,
        }
    }

    /// Stored name, the same as in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Rrn => "rrn",
            Kind::ForeignerRegistration => "foreigner_registration",
            Kind::DriversLicense => "drivers_license",
            Kind::Passport => "passport",
            Kind::Credential => "credential",
            Kind::Card => "card",
            Kind::Account => "account",
            Kind::HealthInsurance => "health_insurance",
            Kind::Phone => "phone",
            Kind::Email => "email",
            Kind::VehiclePlate => "vehicle_plate",
            Kind::Address => "address",
            Kind::Name => "name",
            Kind::Ip => "ip",
            Kind::Custom => "custom",
            Kind::CorporateNumber => "corporate_number",
            Kind::BusinessNumber => "business_number",
            Kind::AgencyPhone => "agency_phone",
        }
    }

    /// Korean name, on screens and inside tokens.
    pub fn korean(self) -> &'static str {
        match self {
            Kind::Rrn => "주민등록번호",
            Kind::ForeignerRegistration => "외국인등록번호",
            Kind::DriversLicense => "운전면허번호",
            Kind::Passport => "여권번호",
            Kind::Credential => "인증정보",
            Kind::Card => "카드번호",
            Kind::Account => "계좌번호",
            Kind::HealthInsurance => "건강보험증번호",
            Kind::Phone => "전화번호",
            Kind::Email => "전자우편",
            Kind::VehiclePlate => "차량번호",
            Kind::Address => "주소",
            Kind::Name => "이름",
            Kind::Ip => "IP주소",
            Kind::Custom => "등록어",
            Kind::CorporateNumber => "법인등록번호",
            Kind::BusinessNumber => "사업자등록번호",
            Kind::AgencyPhone => "기관전화번호",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_name_is_the_json_name_and_order_is_protection() {
        for pair in Kind::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].action() >= pair[1].action(), "{pair:?}");
        }
    }
}
