//! Where a file may come from: hosts that are on the list, public addresses, https, three redirects at most. A mirror
//! that somebody named may stand inside the body's networks, and only that one host and port.

use super::DownloadError;
use crate::destination::{Destination, Policy};

/// Redirects that are followed: model hubs send on to their content hosts.
pub const MOST_HOPS: usize = 3;

/// What one fetch may reach.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Allowed hosts as [`host_name`] writes them.
    pub hosts: Vec<String>,
    /// The one host that may stand inside the body's networks, as [`host_name`] writes it.
    pub mirror: Option<String>,
    /// Loopback addresses count as outside ones: for tests and trials on one machine.
    pub allow_loopback: bool,
}

impl Rules {
    /// The first address of a fetch.
    ///
    /// # Errors
    /// It is not https to an allowed host with an address that may be reached.
    pub fn first(&self, url: &str) -> Result<Destination, DownloadError> {
        let found = Destination::file(url, |authority| self.policy(authority)).map_err(DownloadError::address)?;
        let authority = found.authority();
        if self.hosts.contains(&authority) { Ok(found) } else { Err(DownloadError::NotAllowed(authority)) }
    }

    /// Where a host sends on to after `hops` redirects, checked like the first address.
    ///
    /// # Errors
    /// As [`Rules::first`], or one redirect too many.
    pub fn next(&self, from: &Destination, location: &str, hops: usize) -> Result<Destination, DownloadError> {
        if hops >= MOST_HOPS {
            return Err(DownloadError::TooManyHops);
        }
        // What a URL parser would quietly repair is not what was meant to be checked.
        if location.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err(DownloadError::Redirect("주소를 읽을 수 없습니다".to_owned()));
        }
        let joined = from.url().join(location).map_err(|e| DownloadError::Redirect(e.to_string()))?;
        self.first(joined.as_str())
    }

    fn policy(&self, authority: &str) -> Policy {
        let allow_inside = self.mirror.as_deref() == Some(authority);
        Policy { allow_loopback: self.allow_loopback, allow_inside }
    }
}

/// A host as the list holds it: lower case, with the port where that is not 443.
///
/// # Errors
/// [`DownloadError::HostName`] for anything but a name or address with an optional port.
pub fn host_name(text: &str) -> Result<String, DownloadError> {
    let text = text.trim();
    let fault = || DownloadError::HostName(text.to_owned());
    let any = |_: &str| Policy { allow_loopback: true, allow_inside: true };
    let found = Destination::file(&format!("https://{text}/"), any).map_err(|_| fault())?;
    let whole = !text.contains(['/', '?', '#', '*', '@', '%']) && found.url().path() == "/";
    if whole { Ok(found.authority()) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    use url::{Host, Url};

    fn rules(hosts: &[&str]) -> Rules {
        Rules { hosts: hosts.iter().map(|h| (*h).to_owned()).collect(), ..Rules::default() }
    }

    fn hub() -> (Rules, Destination) {
        let rules = rules(&["hub.example", "cdn.example"]);
        let from = rules.first("https://hub.example/a/b/model.gguf").unwrap();
        (rules, from)
    }

    #[test]
    fn a_redirect_is_checked_like_the_first_address() {
        let (rules, from) = hub();
        assert!(rules.next(&from, "https://cdn.example/x?signature=a@b", 0).is_ok());
        assert_eq!(rules.next(&from, "/other", 2).unwrap().url().as_str(), "https://hub.example/other");
        assert!(matches!(rules.next(&from, "/other", 3), Err(DownloadError::TooManyHops)));
        for bad in [
            "http://cdn.example/x",
            "https://evil.example/x",
            "//evil.example/x",
            "https://cdn.example.evil.example/x",
            "https://cdn.example:444/x",
            "https://cdn.example./x",
            "https://u:p@cdn.example/x",
            "https://cdn.example@evil.example/x",
            "https://cdn.example\\@evil.example/x",
            "https://10.0.0.1/x",
            "https://169.254.169.254/latest",
            "https://[::1]/x",
            "file:///etc/passwd",
            "data:text/plain,x",
            "https://cdn.example/x#y",
            "ht\ntps://evil.example/",
        ] {
            assert!(rules.next(&from, bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn inside_is_for_the_named_mirror_alone() {
        let both =
            Rules { mirror: Some("10.1.2.3:8443".to_owned()), ..rules(&["10.1.2.3:8443", "10.1.2.3", "10.9.9.9"]) };
        let from = both.first("https://10.1.2.3:8443/x").unwrap();
        assert!(both.next(&from, "/y", 0).is_ok());
        assert!(both.next(&from, "https://10.1.2.3/y", 0).is_err(), "another port is another host");
        assert!(both.next(&from, "https://10.9.9.9/y", 0).is_err(), "on the list, inside, and not the mirror");
        let unlisted = Rules { mirror: Some("10.1.2.3".to_owned()), ..rules(&[]) };
        assert!(matches!(unlisted.first("https://10.1.2.3/x"), Err(DownloadError::NotAllowed(_))));
    }

    #[test]
    fn host_names_are_written_one_way() {
        let name = |text| host_name(text).ok();
        assert_eq!(name(" HuggingFace.co ").as_deref(), Some("huggingface.co"));
        assert_eq!(name("hub.example:443").as_deref(), Some("hub.example"));
        assert_eq!(name("10.0.0.1:8443").as_deref(), Some("10.0.0.1:8443"));
        for bad in [
            "",
            "https://hub.example",
            "hub.example/a",
            "*.example",
            "a b",
            "u@hub.example",
            "hub.example?x",
            "169.254.169.254",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    /// The standard library's own words for what is not out there, which the rules do not use.
    fn is_special(ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => {
                v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || v4.is_multicast()
                    || v4.is_broadcast()
                    || v4.is_documentation()
                    || v4.is_unspecified()
            }
            IpAddr::V6(v6) => {
                v6.is_loopback()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
                    || v6.is_multicast()
                    || v6.is_unspecified()
                    || v6.to_ipv4().is_some()
            }
        }
    }

    /// One address in the spellings that parsers know.
    fn spellings(ip: Ipv4Addr) -> Vec<String> {
        let n = u32::from(ip);
        let [a, b, c, d] = ip.octets();
        vec![
            ip.to_string(),
            n.to_string(),
            format!("{n:#x}"),
            format!("{a:#o}.{b}.{c}.{d}").replace("0o", "0"),
            format!("{a}.{}", n & 0x00FF_FFFF),
            format!("[::ffff:{ip}]"),
            format!("[::{ip}]"),
            format!("[64:ff9b::{ip}]"),
            format!("[2002:{:02x}{b:02x}:{c:02x}{d:02x}::1]", a),
        ]
    }

    fn v4() -> impl Strategy<Value = Ipv4Addr> {
        let inside = prop_oneof![Just([10, 0]), Just([127, 0]), Just([192, 168]), Just([172, 20]), Just([169, 254])];
        prop_oneof![
            any::<u32>().prop_map(Ipv4Addr::from),
            (inside, any::<u16>()).prop_map(|([a, b], rest)| {
                let [c, d] = rest.to_be_bytes();
                Ipv4Addr::new(a, b, c, d)
            }),
        ]
    }

    proptest! {
        /// Every address is allowed by the list here; still none is reached that is not out there.
        #[test]
        fn no_spelling_leads_inside(ip in v4(), inside_too in any::<bool>(), port in 1u16..) {
            for host in spellings(ip) {
                let url = format!("https://{host}:{port}/x");
                let Ok(parsed) = Url::parse(&url) else { continue };
                let (Some(name), Some(known)) = (parsed.host_str(), parsed.port_or_known_default()) else { continue };
                let listed = if known == 443 { name.to_owned() } else { format!("{name}:{known}") };
                let mirror = inside_too.then(|| format!("mirror.example:{port}"));
                let rules = Rules { hosts: vec![listed.clone()], mirror, allow_loopback: false };
                if let Ok(found) = rules.first(&url) {
                    let reached = match found.url().host() {
                        Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
                        Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
                        other => panic!("{other:?}"),
                    };
                    prop_assert!(!is_special(reached), "{url} reached {reached}");
                    prop_assert_eq!(found.authority(), listed);
                }
            }
        }

        #[test]
        fn no_ipv6_address_leads_inside(bits in any::<u128>(), low in any::<bool>()) {
            let ip = Ipv6Addr::from(if low { bits & 0xFFFF_FFFF_FFFF } else { bits });
            let rules = rules(&[&format!("[{ip}]")]);
            if rules.first(&format!("https://[{ip}]/x")).is_ok() {
                prop_assert!(!is_special(IpAddr::V6(ip)), "{ip}");
            }
        }

        /// Whatever a host writes into `Location`, what comes of it is https to a host on the list, without user info.
        #[test]
        fn whatever_a_redirect_says(
            location in prop_oneof![
                any::<String>(),
                "(https?:)?(//)?[a-z@:.\\\\/%]{0,30}(hub|cdn|evil)\\.example[:@./a-z0-9?#\\\\]{0,20}",
                "https://(u:p@)?(cdn|evil)\\.example(\\.|:44[34])?/[a-z?#]{0,9}",
            ],
            hops in 0usize..6,
        ) {
            let (rules, from) = hub();
            if let Ok(found) = rules.next(&from, &location, hops) {
                let url = found.url();
                prop_assert_eq!(url.scheme(), "https");
                prop_assert!(["hub.example", "cdn.example"].contains(&url.host_str().unwrap_or_default()), "{}", url);
                prop_assert!(url.port().is_none() && url.username().is_empty() && url.password().is_none(), "{}", url);
                prop_assert!(hops < MOST_HOPS && url.fragment().is_none());
            }
        }
    }
}
