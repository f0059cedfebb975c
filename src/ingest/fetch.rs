//! Fetches documents from `http://` addresses, with limits on size, time and redirects.

use super::{
    error::{Error, Result},
    upload,
};
use crate::{
    artifact::{ArtifactStore, Put},
    decide::address::is_public,
    model::Millis,
};
use std::{error::Error as _, io, net::IpAddr, path::PathBuf, time::Duration};
use ureq::{
    Agent,
    config::Config,
    http::{Response, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

/// Which machines an address, or a redirect, may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    #[default]
    Anywhere,
    /// Only the public internet: neither this machine nor its networks.
    Public,
}

/// The limits of a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// In bytes.
    pub size: u64,
    /// From the first name resolution to the last byte.
    pub time: Millis,
    pub redirects: u32,
    pub reach: Reach,
}

impl Default for FetchLimits {
    fn default() -> FetchLimits {
        FetchLimits { size: 256 << 20, time: Millis::seconds(50), redirects: 5, reach: Reach::Anywhere }
    }
}

/// A document that was fetched.
#[derive(Debug)]
pub struct Fetched {
    pub put: Put,
    pub media_type: Option<String>,
    pub etag: Option<String>,
}

/// Whether the text is an address that `fetch` supports.
pub fn is_url(text: &str) -> bool {
    let scheme = text.split_once("://").map(|it| it.0.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

/// Fetches a document and stores it as an artifact.
pub fn fetch(artifacts: &ArtifactStore, url: &str, limits: &FetchLimits) -> Result<Fetched> {
    if url.to_ascii_lowercase().starts_with("https:") && !cfg!(feature = "https") {
        let what = format!("{url}: this build of windlass has no TLS");
        return Err(Error::refused(what, "build it with `--features https`, or download the file and ingest it"));
    }
    let agent = agent(limits);
    let response = agent.get(url).call().map_err(|error| failed(url, error))?;
    let header = |name: &str| text_of(&response, name);
    let (media_type, etag) = (header("content-type"), header("etag"));
    let length = header("content-length").and_then(|it| it.parse::<u64>().ok());
    if length.is_some_and(|it| it > limits.size) {
        let largest = crate::model::Bytes(limits.size);
        return Err(Error::refused(format!("{url} is larger than {largest}"), "raise `parse.max_bytes`"));
    }
    let reader = response.into_body().into_reader();
    let put = upload::receive_all(artifacts, reader, limits.size, url)?;
    Ok(Fetched { put, media_type, etag })
}

fn agent(limits: &FetchLimits) -> Agent {
    let config = Agent::config_builder()
        .timeout_global(Some(limits.time.duration()))
        .timeout_connect(Some(Duration::from_secs(10)))
        .max_redirects(limits.redirects)
        // One document, one connection: an idle one may already be closed by the server when a redirect would use it.
        .max_idle_connections(0)
        .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")));
    match limits.reach {
        Reach::Anywhere => config.build().into(),
        // A proxy would resolve the name itself, and we could not check the address.
        Reach::Public => judged(config.proxy(None).build(), is_public),
    }
}

/// An agent that connects only to addresses that it has checked. It uses the checked addresses themselves, not those of
/// a second lookup.
fn judged(config: Config, judge: fn(IpAddr) -> bool) -> Agent {
    Agent::with_parts(config, DefaultConnector::default(), Judged { judge, inner: DefaultResolver::default() })
}

#[derive(Debug)]
struct Judged {
    judge: fn(IpAddr) -> bool,
    inner: DefaultResolver,
}

impl Resolver for Judged {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut judged = self.empty();
        found.iter().filter(|it| (self.judge)(it.ip())).for_each(|it| judged.push(*it));
        match judged.is_empty() {
            false => Ok(judged),
            true => {
                let host = uri.host().unwrap_or_default().to_string();
                Err(io::Error::new(io::ErrorKind::PermissionDenied, NotPublic { host }).into())
            }
        }
    }
}

/// A name that does not lead to the public internet.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` is this machine or one of a private network")]
pub struct NotPublic {
    host: String,
}

impl NotPublic {
    /// Whether this error made a fetch fail.
    pub fn behind(error: &Error) -> bool {
        let mut next = error.source();
        while let Some(error) = next {
            if error.downcast_ref::<io::Error>().and_then(|it| it.get_ref()).is_some_and(|it| it.is::<NotPublic>()) {
                return true;
            }
            next = error.source();
        }
        false
    }
}

fn text_of<B>(response: &Response<B>, name: &str) -> Option<String> {
    response.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_string)
}

fn failed(url: &str, error: ureq::Error) -> Error {
    let source = match error {
        ureq::Error::StatusCode(status) => io::Error::other(format!("the server answered {status}")),
        ureq::Error::Io(source) if source.get_ref().is_some_and(|it| it.is::<NotPublic>()) => source,
        other => io::Error::other(other.to_string()),
    };
    Error::Io { action: "fetch", path: PathBuf::from(url), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::threads;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    /// Answers every request with a redirect to `port` of another address.
    fn redirects_to(host: &'static str, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let work = move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 4096]);
                let head =
                    format!("HTTP/1.1 302 Found\r\nLocation: http://{host}:{port}/\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes());
            }
        };
        threads::start("redirects", work).unwrap();
        own
    }

    #[test]
    fn a_redirect_is_judged_as_the_first_address_is() {
        let secret = TcpListener::bind("127.0.0.2:0").unwrap();
        let port = redirects_to("127.0.0.2", secret.local_addr().unwrap().port());
        let config = Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).proxy(None).build();
        let agent = judged(config, |it| it != IpAddr::from([127, 0, 0, 2]));
        let error = agent.get(format!("http://127.0.0.1:{port}/")).call().unwrap_err();
        assert!(NotPublic::behind(&failed("u", error)));
        secret.set_nonblocking(true).unwrap();
        assert!(secret.accept().is_err(), "it was connected to");
    }

    #[test]
    fn a_private_address_in_any_form_is_not_connected_to() {
        let secret = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = secret.local_addr().unwrap().port();
        let agent = agent(&FetchLimits { reach: Reach::Public, ..FetchLimits::default() });
        for host in ["127.0.0.1", "2130706433", "0x7f000001", "0177.1", "127.1", "[::ffff:127.0.0.1]", "localhost", "0"]
        {
            let error = agent.get(format!("http://{host}:{port}/")).call().unwrap_err();
            assert!(NotPublic::behind(&failed("u", error)), "{host}");
        }
        secret.set_nonblocking(true).unwrap();
        assert!(secret.accept().is_err(), "it was connected to");
    }
}
