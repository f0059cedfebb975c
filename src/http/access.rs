//! Access control.
//!
//! Two checks. The *door* checks whether a request is meant for us: a foreign `Host` means DNS rebinding, a foreign `Origin`
//! means another site's script. The *guard* of each area checks who sends it. Both are pure functions over the head.

use super::{
    Failure, Result,
    sessions::{self, SessionId},
    token::Token,
};
use crate::{
    os::{Clock, SystemClock},
    settings::{Secret, Settings},
};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header, request::Parts, uri::Authority};
use std::net::{IpAddr, SocketAddr};

/// GET endpoints that change something.
const GETS_THAT_CHANGE: [&str; 1] = ["/api/v1/lancedb/vacuum"];

const HOW: &str = "run `windlass ui` to open the page again; programs send the token";

/// The access that a part of the server requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// Open to all; a known caller may see more. The files of the page are here, since they are the same for all.
    Open,
    /// The compatible API: with `api_open`, every user of this machine may do everything.
    Ingestion,
    /// windlass's own API: with `read_open`, every user of this machine may read.
    Own,
}

/// The sender of a request. Handlers find it among the extensions of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Showed the token.
    Token,
    /// A browser that has signed in.
    Session(SessionId),
    /// A user named by a trusted proxy.
    Proxy(String),
    /// No credentials, but on this machine, and the settings allow it.
    Local,
    /// Showed nothing.
    Nobody,
}

impl Caller {
    /// For the audit log.
    pub fn name(&self) -> String {
        match self {
            Caller::Token => "api".to_string(),
            Caller::Session(_) => "page".to_string(),
            Caller::Proxy(user) => format!("page ({user})"),
            Caller::Local => "local".to_string(),
            Caller::Nobody => "anonymous".to_string(),
        }
    }

    /// Whether it may see texts and paths.
    pub fn is_known(&self) -> bool {
        *self != Caller::Nobody
    }

    /// Whether it may name files, servers and keys for windlass to use. A caller that was admitted without credentials
    /// may not.
    pub fn may_reach_out(&self) -> bool {
        !matches!(self, Caller::Local | Caller::Nobody)
    }
}

/// The rules for requests, fixed at start.
pub struct Access {
    token: Token,
    bound: IpAddr,
    api_open: bool,
    read_open: bool,
    hosts: Vec<String>,
    proxies: Vec<IpAddr>,
    pub(super) links: sessions::Links,
    pub(super) sessions: sessions::Sessions,
}

impl Access {
    pub fn new(settings: &Settings, bound: SocketAddr, token: Secret) -> Access {
        Access {
            token: Token::new(token),
            bound: bound.ip().to_canonical(),
            api_open: settings.api_open,
            read_open: settings.read_open,
            hosts: settings.hosts.0.clone(),
            proxies: settings.trust_proxy_headers.0.iter().map(IpAddr::to_canonical).collect(),
            links: sessions::Links::default(),
            sessions: sessions::Sessions::default(),
        }
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    /// A path that signs in one browser, once, within ten minutes.
    pub fn one_time_path(&self) -> String {
        format!("/open/{}", self.links.issue())
    }

    /// Whether the caller of a long request still has access.
    pub fn still_lets_in(&self, caller: &Caller) -> bool {
        match caller {
            Caller::Session(id) => self.sessions.is_open(*id, SystemClock.wall()),
            _ => true,
        }
    }

    /// Whether the request is meant for us.
    pub(super) fn check_head(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<()> {
        let authority = requested_host(uri, headers);
        let authority = authority.ok_or_else(|| Failure::bad_request("the request has no host"))?;
        if headers.get_all(header::HOST).iter().count() > 1 || !self.is_our_host(authority.host()) {
            return Err(Failure::new(403, "this host name is not served here")
                .hint("use the address that `windlass ui` opens, or add the name to the setting `hosts`"));
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let ours = origin.to_str().ok().and_then(|it| it.parse::<Uri>().ok()).is_some_and(|it| {
                it.authority().is_some_and(|it| it.as_str().eq_ignore_ascii_case(authority.as_str()))
            });
            if !ours {
                return Err(Failure::new(403, "requests from other sites are refused"));
            }
        }
        let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok()).unwrap_or_default();
        let foreign = matches!(text("sec-fetch-site"), "cross-site" | "same-site");
        let follows_link = text("sec-fetch-mode") == "navigate" && !changes(method, uri);
        match foreign && !follows_link {
            true => Err(Failure::new(403, "requests from other sites are refused")),
            false => Ok(()),
        }
    }

    /// DNS rebinding needs a name, so any IP address at which this server can be reached is accepted.
    fn is_our_host(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) => {
                let address = address.to_canonical();
                address.is_loopback() || address == self.bound || self.bound.is_unspecified()
            }
            Err(_) => host == "localhost" || self.hosts.contains(&host),
        }
    }

    fn caller(&self, head: &Parts, peer: Option<IpAddr>) -> Result<Caller> {
        let headers = &head.headers;
        if let Some(shown) = credential(headers) {
            return match self.token.is(shown) {
                true => Ok(Caller::Token),
                false => Err(Failure::new(401, "wrong token")),
            };
        }
        if let Some(shown) = headers.get(sessions::HEADER) {
            let host = host_of(&head.uri, headers);
            let session = self.sessions.find(shown.as_bytes(), &host, SystemClock.wall());
            return session.map(Caller::Session).ok_or_else(|| Failure::new(401, "this session has ended").hint(HOW));
        }
        let user = headers.get("x-forwarded-user").and_then(|it| it.to_str().ok()).map(str::trim);
        match (user.filter(|it| !it.is_empty() && it.len() <= 256), peer) {
            (Some(user), Some(peer)) if self.proxies.contains(&peer) => Ok(Caller::Proxy(user.to_string())),
            _ => Ok(Caller::Nobody),
        }
    }

    /// The sender of the request, if it has access to this area.
    pub(super) fn guard(&self, area: Area, head: &Parts, peer: Option<IpAddr>) -> Result<Caller> {
        let caller = self.caller(head, peer);
        if area == Area::Open {
            // A wrong token counts as no token, because liveness is public.
            return Ok(caller.unwrap_or(Caller::Nobody));
        }
        let caller = caller?;
        if caller.is_known() {
            return Ok(caller);
        }
        let open = match area {
            Area::Ingestion => self.api_open || (self.read_open && !changes(&head.method, &head.uri)),
            Area::Own => self.read_open && !changes(&head.method, &head.uri),
            Area::Open => true,
        };
        if open && self.is_local(head, peer) {
            return Ok(Caller::Local);
        }
        Err(Failure::new(401, "access denied: a token is required")
            .hint("send `Authorization: Bearer TOKEN`; the token is the setting `api_token`, else in the file `serve.token` of the home"))
    }

    /// On this machine, and not through a proxy that may forward requests from elsewhere.
    fn is_local(&self, head: &Parts, peer: Option<IpAddr>) -> bool {
        let forwarded = ["forwarded", "x-real-ip", "via", "cf-connecting-ip", "true-client-ip", "x-client-ip"];
        let forwarded = |name: &str| name.starts_with("x-forwarded") || forwarded.contains(&name);
        let host = requested_host(&head.uri, &head.headers);
        let host = host.map(|it| it.host().trim_matches(['[', ']']).to_lowercase()).unwrap_or_default();
        let named_locally = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
        self.bound.is_loopback()
            && peer.is_some_and(|it| it.is_loopback())
            && named_locally
            && !head.headers.keys().any(|it| forwarded(it.as_str()))
    }
}

/// Whether a request asks for a change.
pub fn changes(method: &Method, uri: &Uri) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    !reads || GETS_THAT_CHANGE.contains(&uri.path().trim_end_matches('/'))
}

/// The host and port that a request names, normalised to the form that browsers send.
pub(super) fn host_of(uri: &Uri, headers: &HeaderMap) -> String {
    requested_host(uri, headers).map(|it| it.as_str().to_ascii_lowercase()).unwrap_or_default()
}

fn requested_host(uri: &Uri, headers: &HeaderMap) -> Option<Authority> {
    uri.authority().cloned().or_else(|| authority_of(headers.get(header::HOST)?))
}

fn authority_of(value: &HeaderValue) -> Option<Authority> {
    let authority: Authority = value.to_str().ok()?.parse().ok()?;
    // No client sends `user@host` as a host.
    (!authority.as_str().contains('@')).then_some(authority)
}

/// The token as a client sends it: `Authorization: Bearer`, or `X-API-Key`.
fn credential(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|it| {
        let (scheme, rest) = it.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
    });
    bearer.or_else(|| headers.get("x-api-key").map(|it| it.as_bytes().trim_ascii()))
}
