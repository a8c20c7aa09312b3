//! HTTP CONNECT: the way out of networks that let nothing out directly. The proxy sees the coordinator's name and
//! encrypted bytes, nothing else.

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// Most bytes of a proxy's answer before the tunnel.
const MAX_ANSWER: usize = 8 * 1024;

/// An HTTP proxy that can open tunnels.
#[derive(Clone)]
pub struct Proxy {
    host: String,
    port: u16,
    /// Value of Proxy-Authorization, when the address carries a user.
    authorization: Option<Zeroizing<String>>,
}

impl fmt::Debug for Proxy {
    // Without the password: this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    /// Reads `http://[user:password@]host:port`.
    ///
    /// # Errors
    /// What is wrong with it, in English, without the password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(_) => return Err("only http:// proxies (CONNECT) are known"),
            None => text,
        };
        let rest = rest.trim_end_matches('/');
        let (user, host_port) = match rest.rsplit_once('@') {
            Some((user, host_port)) => (Some(user), host_port),
            None => (None, rest),
        };
        let (host, port) = split_host_port(host_port).ok_or("expected http://host:port")?;
        let authorization = match user {
            Some(user) => {
                let plain =
                    Zeroizing::new(percent_decode(user).ok_or("bad % in user or password")?);
                Some(Zeroizing::new(format!(
                    "Basic {}",
                    STANDARD.encode(plain.as_slice())
                )))
            }
            None => None,
        };
        Ok(Self {
            host,
            port,
            authorization,
        })
    }

    /// The proxy the environment names for this host, if any: `HTTPS_PROXY` or `https_proxy`, unless `NO_PROXY` lists
    /// the host. This machine itself is never reached through the environment's proxy.
    pub fn from_environment(host: &str) -> Result<Option<Self>, &'static str> {
        let get = |upper: &str, lower: &str| {
            std::env::var(upper)
                .or_else(|_| std::env::var(lower))
                .ok()
                .filter(|value| !value.is_empty())
        };
        if is_loopback(host)
            || get("NO_PROXY", "no_proxy").is_some_and(|list| is_listed(&list, host))
        {
            return Ok(None);
        }
        get("HTTPS_PROXY", "https_proxy")
            .map(|text| Self::parse(&text))
            .transpose()
    }

    /// A stream to `host:port` through the proxy.
    ///
    /// # Errors
    /// What the network says, or the status line with which the proxy refused.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        let target = if host.contains(':') {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        let mut request =
            Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"));
        if let Some(authorization) = &self.authorization {
            request.push_str("Proxy-Authorization: ");
            request.push_str(authorization);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        let head = read_head(&mut stream).await?;
        let status_line = head.lines().next().unwrap_or("");
        let mut words = status_line.split_ascii_whitespace();
        let http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
        match (http, words.next()) {
            (true, Some("200")) => Ok(stream),
            (true, Some("407")) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the proxy {self:?} wants a user and password: {status_line}"),
            )),
            _ => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                format!("the proxy {self:?} opened no tunnel to {target}: {status_line:?}"),
            )),
        }
    }
}

/// Reads up to and with the empty line. One byte at a time: a byte too many would belong to the tunnel.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::with_capacity(256);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= MAX_ANSWER {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the proxy's answer has no end",
            ));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// `host:port`, `[v6]:port`.
pub(crate) fn split_host_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        return None;
    }
    Some((host.to_owned(), port))
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// True if a comma-separated NO_PROXY list names the host, one of its domains, or everything.
fn is_listed(list: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    list.split(',')
        .map(|item| item.trim().trim_start_matches('.').to_ascii_lowercase())
        .filter(|item| !item.is_empty())
        .any(|item| item == "*" || host == item || host.ends_with(&format!(".{item}")))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_password_is_never_shown() {
        let proxy = Proxy::parse("http://ana:s%40fe@proxy.example:3128/").unwrap();
        assert_eq!(format!("{proxy:?}"), "proxy.example:3128");
        assert_eq!(
            proxy.authorization.as_deref().map(String::as_str),
            Some("Basic YW5hOnNAZmU=")
        );
        assert!(Proxy::parse("https://proxy.example:3128").is_err());
        assert!(Proxy::parse("http://proxy.example").is_err());
        assert!(Proxy::parse("http://pro xy:1").is_err());
        assert!(Proxy::parse("http://[::1]:3128").is_ok());
    }

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        assert!(is_listed("a.example, .b.example", "x.b.example"));
        assert!(is_listed("*", "anything"));
        assert!(!is_listed("b.example", "ab.example"));
        assert!(is_loopback("127.0.0.1") && is_loopback("::1") && is_loopback("localhost"));
    }
}
