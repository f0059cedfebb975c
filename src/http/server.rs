//! The listening thread: one reactor, with limits on everything that clients can make grow.

use super::{
    App,
    budget::{Budget, Charged},
    connections::{Connections, Entry, Phase},
    drain::{self, BodyDrain, Reading},
    failure::Failure,
    peer::Peer,
    router,
    stream::Impatient,
};
use crate::os::{limits, threads::Threads};
use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, HeaderValue, Request, header, request::Parts},
    response::IntoResponse,
    response::Response,
};
use http_body_util::Limited;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinSet};
use tower::ServiceExt;

/// The limits on clients.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections. A new one beyond this replaces the least useful one.
    pub connections: usize,
    /// The time to send the head of a request, and the time that a connection may stay open without a request.
    pub head: Duration,
    /// The time for a whole request, from its head to the start of the response. Streamed responses may continue.
    pub request: Duration,
    /// The same for the few endpoints with long work.
    pub long_request: Duration,
    /// The time for which not a single byte of a response can be written.
    pub write: Duration,
    /// Bytes of any request's body. Most routes take far less (`DefaultBodyLimit`).
    pub body: usize,
    /// Bytes of a request's target, and of its header fields together. Larger ones get 414 and 431.
    pub target: usize,
    pub fields: usize,
    /// Bytes of a request's head, and of the buffer of a connection. A larger request is not parsed and gets a bare
    /// status.
    pub buffer: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 256,
            head: Duration::from_secs(10),
            request: Duration::from_secs(60),
            long_request: Duration::from_secs(60 * 60),
            write: Duration::from_secs(20),
            body: 64 << 20,
            // Enough for the longest search query with every byte percent-encoded.
            target: 40 << 10,
            fields: 40 << 10,
            buffer: 64 << 10,
        }
    }
}

/// Connections that may wait to be accepted: more than can be open at once.
const BACKLOG: i32 = 1_024;

/// The number of connections that leaves enough descriptors for the database, the artifacts and the pipes of children.
fn affordable() -> usize {
    let most = limits::open_files();
    usize::try_from(most.saturating_sub(48) / 3).unwrap_or(usize::MAX).max(8)
}

/// A running server. Dropping it stops it without grace.
pub struct Server {
    #[cfg_attr(not(any(test, feature = "internals")), allow(dead_code))]
    address: SocketAddr,
    stop: watch::Sender<Option<Instant>>,
    threads: Threads,
}

impl Server {
    /// Serves on the listener, on a thread of its own.
    pub fn start(listener: TcpListener, app: App) -> io::Result<Server> {
        let connections = Limits::default().connections.min(affordable());
        let limits = Limits { connections, body: app.settings().http_body.0 as usize, ..Limits::default() };
        Server::start_with(listener, app, limits)
    }

    pub fn start_with(listener: TcpListener, app: App, limits: Limits) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        limits::widen_backlog(&listener, BACKLOG)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(None);
        let _ = app.0.runtime.set(runtime.handle().clone());
        app.listens_at(address);
        let (connections, budget) = (app.0.connections.clone(), app.0.budget.clone());
        let router = router::router(app);
        let threads = Threads::default();
        threads.start("windlass-http", move || {
            runtime.block_on(listen(listener, (router, budget), limits, connections, stopped));
            // The other tasks have reached their deadline.
            runtime.shutdown_background();
        })?;
        Ok(Server { address, stop, threads })
    }

    /// The address that it listens on, with the port that the system chose.
    #[cfg(any(test, feature = "internals"))]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting, lets requests finish until the deadline, then cuts them. Idempotent.
    pub fn stop(&self, deadline: Instant) {
        self.stop.send_replace(Some(deadline));
        self.threads.join();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Instant::now());
    }
}

async fn listen(
    listener: TcpListener,
    served: (Router, Arc<Budget>),
    limits: Limits,
    connections: Arc<Connections>,
    mut stopped: watch::Receiver<Option<Instant>>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the server failed to listen"),
    };
    let Ok(address) = listener.local_addr() else { return };
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = tasks.join_next(), if !tasks.is_empty() => continue,
            _ = stopped.changed() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                let entry = connections.enter(limits.connections);
                let (number, list) = (entry.number(), connections.clone());
                let peer = Peer { remote: peer, local: stream.local_addr().unwrap_or(address) };
                let stream = Impatient::new(stream, limits.write, limits.body);
                let task = tasks.spawn(serve(stream, peer, served.clone(), limits, entry, stopped.clone()));
                list.can_be_cut(number, task);
            }
            // Out of descriptors, or the client has already gone. The next accept may succeed.
            Err(error) => {
                tracing::debug!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    drop(listener);
    let deadline = stopped.borrow().unwrap_or_else(Instant::now);
    let drained = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout_at(deadline.into(), drained).await;
}

/// Serves one connection until it ends or the server stops. A request in progress may finish.
async fn serve(
    stream: Impatient,
    peer: Peer,
    served: (Router, Arc<Budget>),
    limits: Limits,
    entry: Entry,
    mut stopped: watch::Receiver<Option<Instant>>,
) {
    let entry = &entry;
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(entry.standing());
        let (router, budget) = served.clone();
        async move {
            entry.enter(Phase::Busy);
            // Pipelined requests take turns with the requests of other connections.
            tokio::task::yield_now().await;
            let (method, path, begun) = (request.method().clone(), loggable(request.uri().path()), Instant::now());
            let asks = request.headers().contains_key(header::EXPECT);
            let (mut response, drain) = answer(router, request, peer, limits, &budget).await;
            tracing::debug!(%method, path, status = response.status().as_u16(), took = ?begun.elapsed(), "request");
            entry.enter(Phase::Idle);
            if !drain.settle(asks).await {
                // Announced, so that the client does not send its next request on a connection that closes.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(limits.buffer);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    // A client that disconnects, is too slow or does not speak HTTP is not logged.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// The path for the log. One-time links and queries are left out, because they may be secrets.
fn loggable(path: &str) -> String {
    // A misspelled link opens nothing, but a reader of the log could correct it.
    let opened = path.to_ascii_lowercase().find("open/").map(|it| it + "open/".len());
    let end = opened.into_iter().chain(path.find('%')).min().unwrap_or(path.len());
    path[..end].chars().take(200).collect()
}

async fn answer<B>(
    router: Router,
    request: Request<B>,
    peer: Peer,
    limits: Limits,
    budget: &Arc<Budget>,
) -> (Response, BodyDrain<B>)
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<axum::BoxError>,
{
    let (mut head, body) = request.into_parts();
    let said = body.size_hint().lower();
    let (body, drain) = drain::lend(body);
    if let Some(failure) = too_large(&head, said, limits) {
        drop(body);
        return (failure.into_response(), drain);
    }
    let charge = budget.open();
    head.extensions.insert(peer);
    head.extensions.insert(charge.clone());
    let time = if router::takes_long(head.uri.path()) { limits.long_request } else { limits.request };
    let body = Body::new(Limited::new(body, limits.body));
    let request = Request::from_parts(head, Body::new(Charged { body, charge: charge.clone() }));
    let response = match tokio::time::timeout(time, router.oneshot(request)).await {
        Ok(Ok(_)) if charge.is_refused() => Failure::unavailable("too many large requests at once", 1).into_response(),
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => too_slow(time, drain.reading()).into_response(),
    };
    (response, drain)
}

/// A body that declares too large a size is refused before it is read. A body without a size is cut off at the limit.
fn too_large(head: &Parts, body: u64, limits: Limits) -> Option<Failure> {
    let target = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    let of_fields = |it: &HeaderMap| it.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>();
    if target > limits.target {
        return Some(Failure::new(414, format!("an address may have at most {} bytes", limits.target)));
    }
    if of_fields(&head.headers) > limits.fields {
        return Some(Failure::new(431, format!("the header fields may have at most {} bytes", limits.fields)));
    }
    (body > limits.body as u64).then(|| Failure::too_large(limits.body as u64))
}

/// The response to a timeout. It is the client's fault while the server waits for more of its body.
fn too_slow(time: Duration, reading: Reading) -> Failure {
    let seconds = time.as_secs_f64();
    match reading {
        Reading::Waiting => Failure::new(408, format!("the body of the request took longer than {seconds} s")),
        _ => Failure::unavailable(format!("the request took longer than {seconds} s"), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};

    #[tokio::test]
    async fn a_request_has_its_time_and_a_vacuum_a_longer_one() {
        let limits = Limits { request: Duration::from_millis(20), ..Limits::default() };
        let slow = async || tokio::time::sleep(Duration::from_millis(100)).await;
        let vacuum = "/api/v1/lancedb/vacuum";
        let router = Router::new().route("/slow", get(slow)).route(vacuum, get(slow));
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer { remote: local, local };
        for (path, status) in [("/slow", 503), (vacuum, 200)] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let (answered, _) = answer(router.clone(), request, peer, limits, &Arc::default()).await;
            assert_eq!(answered.status(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn a_body_that_comes_too_slowly_is_the_fault_of_its_client() {
        let limits = Limits { request: Duration::from_millis(20), ..Limits::default() };
        let slow = async || tokio::time::sleep(Duration::from_millis(100)).await;
        let read = async |body: Bytes| body.len().to_string();
        let after = async |_: Bytes| tokio::time::sleep(Duration::from_millis(100)).await;
        let router = Router::new().route("/read", post(read)).route("/slow", post(slow)).route("/after", post(after));
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer { remote: local, local };
        let never = || Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
        for (path, body, status) in [
            ("/read", never(), 408),
            ("/slow", never(), 503),
            ("/after", Body::from("x"), 503),
            ("/read", "x".into(), 200),
        ] {
            let request = Request::post(path).body(body).unwrap();
            let (answered, _) = answer(router.clone(), request, peer, limits, &Arc::default()).await;
            assert_eq!(answered.status(), status, "{path}");
            assert_eq!(answered.headers().contains_key(header::RETRY_AFTER), status == 503, "{path}");
        }
    }
}
