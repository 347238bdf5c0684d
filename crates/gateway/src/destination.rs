//! Where a request may go: the base URL of a provider or the URL of a file, parsed once, and the addresses that it may
//! resolve to.
//! Opens no connection; the name is resolved here and the connection made in `transport` to these addresses alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

const MAX_URL: usize = 500;
/// Content hosts are redirected to with signatures in the query.
const MAX_FILE_URL: usize = 8192;
const HTTPS_PORT: u16 = 443;
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the installation allows beyond public https.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Loopback addresses, over http too: for development and tests, never in service.
    pub allow_loopback: bool,
    /// Addresses of the body's own networks (private, loopback), over https: for a mirror that somebody named as such.
    pub allow_inside: bool,
}

/// Why a provider's address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("제공자 주소를 읽을 수 없습니다. https://로 시작하는 주소를 적어 주세요.")]
    Malformed,
    #[error("제공자 주소는 https://로 시작해야 합니다.")]
    NotHttps,
    #[error("제공자 주소에 사용자 이름이나 비밀번호를 넣을 수 없습니다.")]
    UserInfo,
    #[error("제공자 주소에 ?나 #가 붙은 부분을 넣을 수 없습니다.")]
    Extra,
    #[error("{0}은(는) 기관 내부나 특수 용도의 주소라서 외부 제공자로 쓸 수 없습니다.")]
    Forbidden(IpAddr),
    #[error("제공자의 이름 {0}을(를) 찾지 못했습니다. 이름과 네트워크를 확인해 주세요.")]
    Unresolved(String),
}

/// A provider's base URL that passed every check which needs no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    base: Url,
    host: String,
    address: Option<IpAddr>,
    port: u16,
    policy: Policy,
}

impl Destination {
    /// Parses the base URL, such as `https://api.example.com/v1`.
    ///
    /// # Errors
    /// Anything but https to a public name or address, with no user info, query or fragment.
    pub fn parse(base_url: &str, policy: Policy) -> Result<Self, DestinationError> {
        let mut parsed = Self::read(base_url, MAX_URL, |_| policy)?;
        if base_url.contains('@') {
            return Err(DestinationError::UserInfo);
        }
        if parsed.base.query().is_some() {
            return Err(DestinationError::Extra);
        }
        let path = parsed.base.path().trim_end_matches('/').to_string();
        parsed.base.set_path(&path);
        Ok(parsed)
    }

    /// Parses the URL of a file, which may carry a query. The policy may depend on the authority.
    ///
    /// # Errors
    /// Anything but https to a name or address that the policy allows, with no user info or fragment.
    pub fn file(url: &str, policy: impl FnOnce(&str) -> Policy) -> Result<Self, DestinationError> {
        let parsed = Self::read(url, MAX_FILE_URL, policy)?;
        if parsed.is_plain() { Err(DestinationError::NotHttps) } else { Ok(parsed) }
    }

    fn read(text: &str, most: usize, policy: impl FnOnce(&str) -> Policy) -> Result<Self, DestinationError> {
        let trimmed = text.trim();
        if trimmed.len() > most || trimmed.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(DestinationError::Malformed);
        }
        let base = Url::parse(trimmed).map_err(|_| DestinationError::Malformed)?;
        if !base.username().is_empty() || base.password().is_some() || authority_part(trimmed).contains('@') {
            return Err(DestinationError::UserInfo);
        }
        if base.fragment().is_some() {
            return Err(DestinationError::Extra);
        }
        let (host, address) = match base.host().ok_or(DestinationError::Malformed)? {
            Host::Domain(name) => (name.to_string(), None),
            Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(ip))),
        };
        // The root's dot makes another name of the same host for whoever compares names.
        if host.ends_with('.') {
            return Err(DestinationError::Malformed);
        }
        let port = base.port_or_known_default().ok_or(DestinationError::Malformed)?;
        let policy = policy(&authority(&base, port));
        let local = address.map_or(host == "localhost", |ip| ip.is_loopback());
        match base.scheme() {
            "https" => {}
            "http" if policy.allow_loopback && local => {}
            _ => return Err(DestinationError::NotHttps),
        }
        if let Some(ip) = address {
            check_address(ip, policy)?;
        }
        Ok(Destination { base, host, address, port, policy })
    }

    /// Where requests are posted: the base and what the provider's form adds to it ([`crate::wire::path`]). Approvals
    /// are bound to this.
    pub fn endpoint(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// The host, for records and screens.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The whole URL of a file.
    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// The host, with its port where that is not 443: what a list of allowed hosts names.
    pub fn authority(&self) -> String {
        authority(&self.base, self.port)
    }

    /// Plain http: loopback in development alone.
    pub(crate) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Resolves the name now. The connection goes to these addresses and is not resolved again.
    ///
    /// # Errors
    /// [`DestinationError::Forbidden`] when any of the addresses is not public, since a name that mixes both is a trap.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, DestinationError> {
        if let Some(ip) = self.address {
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let unresolved = || DestinationError::Unresolved(self.host.clone());
        let looked_up =
            tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((self.host.as_str(), self.port))).await;
        let addresses: Vec<SocketAddr> = looked_up.map_err(|_| unresolved())?.map_err(|_| unresolved())?.collect();
        if addresses.is_empty() {
            return Err(unresolved());
        }
        addresses.iter().try_for_each(|a| self.check(a.ip()))?;
        let first_inside = addresses.iter().map(SocketAddr::ip).find(|ip| !is_public(*ip));
        match first_inside {
            Some(ip) if addresses.iter().any(|a| is_public(a.ip())) => Err(DestinationError::Forbidden(ip)),
            _ => Ok(addresses),
        }
    }

    fn check(&self, ip: IpAddr) -> Result<(), DestinationError> {
        if self.is_plain() && !ip.is_loopback() {
            return Err(DestinationError::NotHttps);
        }
        check_address(ip, self.policy)
    }
}

fn check_address(ip: IpAddr, policy: Policy) -> Result<(), DestinationError> {
    let allowed = policy.allow_loopback && ip.is_loopback() || policy.allow_inside && is_inside(ip) || is_public(ip);
    if allowed { Ok(()) } else { Err(DestinationError::Forbidden(ip)) }
}

/// What stands between the scheme and the path, as it was written.
fn authority_part(url: &str) -> &str {
    let rest = url.split_once("//").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn authority(url: &Url, port: u16) -> String {
    let host = url.host_str().unwrap_or_default();
    if port == HTTPS_PORT { host.to_owned() } else { format!("{host}:{port}") }
}

/// An address of the body's own networks or of this machine. Link-local ones, where clouds keep their secrets, and
/// IPv4 addresses inside IPv6 ones are none.
pub(crate) fn is_inside(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    }
}

/// A global unicast address that stands for itself (IANA special-purpose registries, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    !matches!(
        ip.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..] // carrier-grade NAT
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _] // protocol assignments, documentation
            | [192, 88, 99, _] // 6to4 relay
            | [198, 18 | 19, ..] // benchmarks
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    )
}

/// Only 2000::/3 is handed out; IPv4-mapped, IPv4-compatible, NAT64, unique local, link-local and multicast lie outside.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0..=0x1FF, ..] => false, // protocol assignments, Teredo among them
        [0x2001, 0xDB8, ..] => false,     // documentation
        [0x2002, ..] => false,            // 6to4: an IPv4 address inside
        [0x3FFF, 0..=0xFFF, ..] => false, // documentation
        // ISATAP: an IPv4 address in the last half.
        [_, _, _, _, 0 | 0x200, 0x5EFE, ..] => false,
        [first, ..] => first & 0xE000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Destination, DestinationError> {
        Destination::parse(url, Policy::default())
    }

    #[test]
    fn public_https_is_taken() {
        let d = parse(" https://api.example.com/v1/ ").unwrap();
        assert_eq!(
            (d.endpoint("/chat/completions").as_str(), d.host()),
            ("https://api.example.com/v1/chat/completions", "api.example.com")
        );
        assert_eq!(parse("https://api.example.com").unwrap().endpoint("/a?b=c"), "https://api.example.com/a?b=c");
        assert!(parse("https://8.8.8.8:8443/v1").is_ok() && parse("https://[2606:4700::1111]/v1").is_ok());
    }

    #[test]
    fn other_urls_are_refused() {
        for (url, error) in [
            ("http://api.example.com/v1", DestinationError::NotHttps),
            ("ftp://api.example.com", DestinationError::NotHttps),
            ("file:///etc/passwd", DestinationError::Malformed),
            ("https://user:pw@api.example.com", DestinationError::UserInfo),
            ("https://@api.example.com", DestinationError::UserInfo),
            ("https://api.example.com/v1?x=1", DestinationError::Extra),
            ("https://api.example.com/v1#x", DestinationError::Extra),
            ("https://api.example.com\\@evil.example", DestinationError::Malformed),
            ("https://api.exa mple.com", DestinationError::Malformed),
            ("api.example.com", DestinationError::Malformed),
            ("", DestinationError::Malformed),
            ("http://localhost:8080", DestinationError::NotHttps),
            ("https://api.example.com./v1", DestinationError::Malformed),
            ("https://localhost./v1", DestinationError::Malformed),
            ("https://user@api.example.com", DestinationError::UserInfo),
            ("https://:pw@api.example.com", DestinationError::UserInfo),
            ("https://127.0.0.1:1@api.example.com", DestinationError::UserInfo),
            ("https://api.example.com%40evil.example/", DestinationError::Malformed),
            ("https:///api.example.com@evil.example", DestinationError::UserInfo),
            ("https://api.example.com:99999/", DestinationError::Malformed),
            ("https://[::ffff:10.0.0.1/", DestinationError::Malformed),
            ("https://1.2.3.4.5/", DestinationError::Malformed),
            ("https://0300.0250.1.1./v1", DestinationError::Forbidden(IpAddr::V4(Ipv4Addr::new(192, 168, 1, 1)))),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }

    #[test]
    fn addresses_inside_and_for_special_use_are_refused() {
        for host in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "192.88.99.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            // Other spellings of 127.0.0.1 and 10.0.0.1.
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "127.1",
            "0xa.0.0.1",
            "0x7f.1",
            "017700000001",
            "3232235777",
            "0300.0250.1.1",
            "10.1.257",
            // Digits and dots that Unicode folds to those.
            "１２７.0.0.1",
            "１９２。１６８。1.1",
            "①27.0.0.1",
            "[::]",
            "[::1]",
            "[::ffff:10.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[::127.0.0.1]",
            "[::ffff:a00:1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[64:ff9b::a00:1]",
            "[64:ff9b::10.0.0.1]",
            "[64:ff9b::8.8.8.8]",
            "[64:ff9b:1::1]",
            "[2002:a00:1::1]",
            "[2002:c0a8:101::c0a8:101]",
            "[2001:0:1::1]",
            "[2001:db8::1]",
            "[fc00::1]",
            "[fd12::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2606:4700::5efe:a00:1]",
        ] {
            let refused = parse(&format!("https://{host}/v1"));
            assert!(matches!(refused, Err(DestinationError::Forbidden(_))), "{host}: {refused:?}");
        }
    }

    #[test]
    fn a_name_is_shown_as_it_is_looked_up() {
        // The first letter is Cyrillic: on screen and in the record it does not pass for the Latin one.
        assert_eq!(parse("https://\u{430}pi.example.com/v1").unwrap().host(), "xn--pi-6kc.example.com");
        assert_eq!(parse("https://API.Example.COM/v1").unwrap().host(), "api.example.com");
        assert_eq!(parse("https://api\u{ad}.example.com").unwrap().host(), "api.example.com");
    }

    #[tokio::test]
    async fn a_name_of_an_inside_address_is_refused_when_resolved() {
        let d = parse("https://localhost/v1").unwrap();
        assert!(matches!(d.resolve().await, Err(DestinationError::Forbidden(ip)) if ip.is_loopback()));
        let literal = parse("https://8.8.8.8:8443").unwrap();
        assert_eq!(literal.resolve().await, Ok(vec!["8.8.8.8:8443".parse().unwrap()]));
    }

    #[tokio::test]
    async fn a_mirror_may_stand_inside_and_nowhere_special() {
        let mirror = |url: &str| Destination::file(url, |_| Policy { allow_inside: true, ..Policy::default() });
        for url in
            ["https://10.0.0.1/x", "https://192.168.7.7:8443/x?y=a@b", "https://[fd12::1]/x", "https://8.8.8.8/x"]
        {
            assert!(mirror(url).is_ok(), "{url}");
        }
        assert!(mirror("https://localhost:1/x").unwrap().resolve().await.is_ok());
        for host in [
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::a00:1]",
            "[fe80::1]",
        ] {
            let refused = mirror(&format!("https://{host}/x"));
            assert!(matches!(refused, Err(DestinationError::Forbidden(_))), "{host}: {refused:?}");
        }
        assert_eq!(mirror("http://10.0.0.1/x"), Err(DestinationError::NotHttps));
        assert_eq!(mirror("https://a:b@10.0.0.1/x"), Err(DestinationError::UserInfo));
        assert_eq!(mirror("https://@10.0.0.1/x"), Err(DestinationError::UserInfo));
        assert_eq!(mirror("https://10.0.0.1/x#y"), Err(DestinationError::Extra));
    }

    #[test]
    fn an_authority_names_the_port_unless_it_is_the_usual_one() {
        let authority = |url: &str| Destination::file(url, |_| Policy::default()).unwrap().authority();
        assert_eq!(authority("https://Hub.Example:443/a"), "hub.example");
        assert_eq!(authority("https://hub.example:8443/a"), "hub.example:8443");
        assert_eq!(authority("https://[2606:4700::1111]/a"), "[2606:4700::1111]");
    }

    #[test]
    fn loopback_needs_its_setting_and_http_needs_loopback() {
        let policy = Policy { allow_loopback: true, ..Policy::default() };
        assert!(Destination::parse("http://127.0.0.1:9/v1", policy).is_ok());
        assert!(Destination::parse("http://[::1]:9/v1", policy).is_ok());
        assert_eq!(Destination::parse("http://8.8.8.8/v1", policy), Err(DestinationError::NotHttps));
        assert!(matches!(Destination::parse("https://10.0.0.1", policy), Err(DestinationError::Forbidden(_))));
    }
}
