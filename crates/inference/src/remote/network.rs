//! Where a model server may stand: the admin's internal networks, the address of a server, and the addresses that its
//! name resolves to now. Opens no connection to a server; `client` connects to the addresses checked here alone.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use url::{Host, Url};

const MAX_URL: usize = 500;
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Networks wider than these prefixes are no body's own.
const WIDEST_V4: u8 = 8;
const WIDEST_V6: u8 = 16;

/// Why a model server's address cannot be used. Messages are Korean, for the admin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    #[error("내부망 ‘{0}’을(를) 읽을 수 없습니다. 10.0.0.0/8처럼 적어 주세요.")]
    Network(String),
    #[error("내부망 ‘{0}’은(는) 너무 넓습니다. 모델 서버가 있는 망만 적어 주세요.")]
    TooWide(String),
    #[error("모델 서버 주소를 읽을 수 없습니다. http://10.1.2.3:8000/v1처럼 적어 주세요.")]
    Malformed,
    #[error("모델 서버 주소에 사용자 이름이나 비밀번호, ?나 #가 붙은 부분을 넣을 수 없습니다.")]
    Extra,
    #[error(
        "{0}은(는) 운영자가 정한 내부망에 들지 않아 연결하지 않습니다. 내부망 목록이나 모델 서버 주소를 고쳐 주세요."
    )]
    Outside(IpAddr),
    #[error("모델 서버의 이름 {0}을(를) 찾지 못했습니다. 이름과 네트워크를 확인해 주세요.")]
    Unresolved(String),
}

/// The admin's list of networks that belong to the body. Nothing is inside an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InternalNetworks(Vec<IpNet>);

impl InternalNetworks {
    /// Reads networks in CIDR form (`10.0.0.0/8`, `fd00:1::/32`); a bare address stands for itself.
    ///
    /// # Errors
    /// The first entry that is no network, or wider than /8 (IPv4) or /16 (IPv6).
    pub fn parse<S: AsRef<str>>(networks: impl IntoIterator<Item = S>) -> Result<Self, NetworkError> {
        networks.into_iter().map(|n| parse_network(n.as_ref().trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Does the address belong to the body? Link-local addresses, where clouds keep their metadata, and other special
    /// addresses never do, whatever the list says.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        !is_special(address) && self.0.iter().any(|n| n.contains(&address))
    }

    /// The networks, for those who keep their own line to a server inside.
    pub fn all(&self) -> &[IpNet] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn check(&self, address: IpAddr) -> Result<(), NetworkError> {
        if self.contains(address) { Ok(()) } else { Err(NetworkError::Outside(address.to_canonical())) }
    }
}

fn parse_network(text: &str) -> Result<IpNet, NetworkError> {
    let bare = || text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    let net = text.parse::<IpNet>().or_else(|_| bare()).map_err(|_| NetworkError::Network(text.to_owned()))?;
    let widest = if net.addr().is_ipv4() { WIDEST_V4 } else { WIDEST_V6 };
    if net.prefix_len() < widest { Err(NetworkError::TooWide(text.to_owned())) } else { Ok(net.trunc()) }
}

/// Addresses that no server of a body answers at: unspecified, multicast, broadcast, link-local (169.254.0.0/16 and
/// fe80::/10, RFC 3927 and 4291), the IPv6 metadata address of clouds, and IPv6 forms that hold an IPv4 address.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local() || ip.octets()[0] == 0
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() || holds_v4(ip) || is_metadata(ip)
        }
    }
}

/// NAT64 (64:ff9b::/96, 64:ff9b:1::/48), 6to4, Teredo and IPv4-compatible addresses; ::1 is loopback and stays.
fn holds_v4(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, ..] => !ip.is_loopback(),
        [0x64, 0xff9b, ..] | [0x2002, ..] | [0x2001, 0, ..] => true,
        _ => false,
    }
}

/// fd00:ec2::254, where one large cloud serves credentials over IPv6.
fn is_metadata(ip: Ipv6Addr) -> bool {
    ip.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
}

/// The base URL of a server that passed every check which needs no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerAddress {
    base: Url,
    host: String,
    address: Option<IpAddr>,
    port: u16,
}

impl ServerAddress {
    /// Parses the base URL of the OpenAI-compatible routes, such as `http://10.1.2.3:8000/v1`.
    ///
    /// # Errors
    /// Anything but http or https to a name or an address inside, without user info, query or fragment.
    pub fn parse(url: &str, networks: &InternalNetworks) -> Result<Self, NetworkError> {
        let trimmed = url.trim();
        if trimmed.len() > MAX_URL || trimmed.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(NetworkError::Malformed);
        }
        let mut base = Url::parse(trimmed).map_err(|_| NetworkError::Malformed)?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(NetworkError::Malformed);
        }
        let extra = base.query().is_some() || base.fragment().is_some() || trimmed.contains('@');
        if extra || !base.username().is_empty() || base.password().is_some() {
            return Err(NetworkError::Extra);
        }
        let (host, address) = match base.host().ok_or(NetworkError::Malformed)? {
            Host::Domain(name) => (name.to_owned(), None),
            Host::Ipv4(ip) => (ip.to_string(), Some(IpAddr::V4(ip))),
            Host::Ipv6(ip) => (ip.to_string(), Some(IpAddr::V6(ip))),
        };
        if let Some(ip) = address {
            networks.check(ip)?;
        }
        let port = base.port_or_known_default().ok_or(NetworkError::Malformed)?;
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        Ok(Self { base, host, address, port })
    }

    /// A route below the base: `chat/completions`.
    pub fn route(&self, path: &str) -> String {
        format!("{}/{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// A route of the server itself, beside the base: `health`.
    pub fn root_route(&self, path: &str) -> String {
        let mut url = self.base.clone();
        url.set_path(path);
        url.into()
    }

    /// The name or address, for screens and for pinning.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// Resolves the name now and checks every address: one outside is a trap, whatever the others are.
    ///
    /// # Errors
    /// [`NetworkError::Outside`], [`NetworkError::Unresolved`].
    pub async fn resolve(&self, networks: &InternalNetworks) -> Result<Vec<SocketAddr>, NetworkError> {
        if let Some(ip) = self.address {
            networks.check(ip)?;
            return Ok(vec![SocketAddr::new(ip, self.port)]);
        }
        let unresolved = || NetworkError::Unresolved(self.host.clone());
        let lookup = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await.map_err(|_| unresolved())?;
        let mut addresses: Vec<SocketAddr> = found.map_err(|_| unresolved())?.collect();
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err(unresolved());
        }
        addresses.iter().try_for_each(|a| networks.check(a.ip()))?;
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> InternalNetworks {
        InternalNetworks::parse(list).expect("networks")
    }

    #[test]
    fn lists_are_read_strictly() {
        assert!(networks(&["10.0.0.0/8", "192.168.3.7", "fd00:1::/32"]).contains("192.168.3.7".parse().unwrap()));
        for (wrong, error) in [
            ("10.0.0", NetworkError::Network("10.0.0".into())),
            ("inside", NetworkError::Network("inside".into())),
            ("0.0.0.0/0", NetworkError::TooWide("0.0.0.0/0".into())),
            ("::/0", NetworkError::TooWide("::/0".into())),
        ] {
            assert_eq!(InternalNetworks::parse([wrong]), Err(error));
        }
        assert!(!InternalNetworks::default().contains("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn addresses_are_compared_in_their_plain_form() {
        let inside = networks(&["10.1.0.0/16", "127.0.0.0/8", "::1", "169.254.0.0/16", "fe80::/16", "fd00:ec2::/32"]);
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("::1", true),
            ("10.2.0.1", false),
            ("::ffff:10.2.0.1", false),
            ("::10.1.2.3", false),
            ("64:ff9b::a01:203", false),
            ("2002:a01:203::1", false),
            ("8.8.8.8", false),
            // Listed by mistake, refused all the same.
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("fd00:ec2::254", false),
            ("0.0.0.0", false),
        ] {
            assert_eq!(inside.contains(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn server_addresses() {
        let inside = networks(&["10.0.0.0/8"]);
        let parse = |url: &str| ServerAddress::parse(url, &inside);
        let server = parse(" http://10.1.2.3:8000/v1/ ").unwrap();
        assert_eq!(server.route("models"), "http://10.1.2.3:8000/v1/models");
        assert_eq!(server.root_route("health"), "http://10.1.2.3:8000/health");
        assert!(server.is_plain() && !parse("https://llm.body.example").unwrap().is_plain());
        for (url, error) in [
            ("http://8.8.8.8/v1", NetworkError::Outside("8.8.8.8".parse().unwrap())),
            ("http://167772161:80\\@x", NetworkError::Malformed),
            ("http://134744072/v1", NetworkError::Outside("8.8.8.8".parse().unwrap())),
            ("ftp://10.0.0.1", NetworkError::Malformed),
            ("http://u:p@10.0.0.1/v1", NetworkError::Extra),
            ("http://10.0.0.1/v1?x", NetworkError::Extra),
            ("10.0.0.1:8000", NetworkError::Malformed),
        ] {
            assert_eq!(parse(url), Err(error), "{url}");
        }
    }

    #[tokio::test]
    async fn a_name_is_checked_by_every_address_it_has() {
        let server = ServerAddress::parse("http://localhost:9/v1", &networks(&["10.0.0.0/8"])).unwrap();
        assert!(matches!(server.resolve(&networks(&["10.0.0.0/8"])).await, Err(NetworkError::Outside(_))));
        let found = server.resolve(&networks(&["127.0.0.0/8", "::1"])).await.unwrap();
        assert!(found.iter().all(|a| a.ip().is_loopback() && a.port() == 9), "{found:?}");
    }
}
