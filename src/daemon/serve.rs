//! Runs workers, hooks, reaper and HTTP in one process, from the claim to the last checkpoint.

use super::{
    claim::Claim,
    error::{Error, Result},
    files::{self, Info, Phase},
    folders::FolderSync,
    log_file, sentinel,
    startup::{Starter, Startup, StartupEvent},
};
use crate::{
    assembly,
    engine::{Engine, Needs, Worker, WorkerOptions, check_needs},
    http::{Access, App, Parts, Server, token},
    model::Scope,
    observe::Registry,
    os::{Clock, Supervisor, SystemClock, limits, signals::Signals, threads},
    process,
    settings::Settings,
};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    path::Path,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

/// How often to check for events that end the daemon.
const LOOK: Duration = Duration::from_millis(500);
/// How much more time to request from the service manager, repeatedly, during slow work.
const PATIENCE_OF_SUPERVISOR: Duration = Duration::from_secs(10);
/// How long active requests may take once everything else has stopped.
const LAST_REQUESTS: Duration = Duration::from_secs(2);
/// The minimum length, in bytes, of a token on an address that the network can reach.
const STRONG: usize = 16;

/// How the daemon was started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Start {
    /// Whether another command started it, not a person. It then does not start while a stop is under way.
    pub by_itself: bool,
    /// Whether it runs in the background. Its messages then go to a log file of limited size.
    pub background: bool,
}

/// Serves until a signal or a request stops it.
pub fn run(settings: Settings, start: Start, starter: Starter) -> Result<()> {
    let signals = Signals::install().map_err(|source| Error::System { action: "listen for signals", source })?;
    let signals = Arc::new(signals);
    let supervisor = Arc::new(Supervisor::of_environment());
    check_needs(Needs::Serve)?;
    assembly::prepare_home(&settings)?;
    let home = settings.home.clone();
    let say = starter.clone();
    let (stops, waits) = (signals.clone(), supervisor.clone());
    let wait = |what: &str| {
        say(StartupEvent::Progress { what: what.to_string() });
        waits.busy_with(what, PATIENCE_OF_SUPERVISOR);
        stops.stop_signal().map_or(Ok(()), |signal| Err(Error::Interrupted { signal }))
    };
    let claim = Arc::new(Claim::take(&home, wait)?);
    files::remove(&home);
    let now = SystemClock.wall();
    if start.by_itself && sentinel::is_active(&home, now) {
        return Err(Error::JustStopped);
    }
    sentinel::sweep(&home, now);
    let started = Daemon::start(settings, claim.clone(), signals, supervisor, starter);
    let ended = started.and_then(|it| it.serve(start));
    // No process may find this daemon from now on. While we hold the claim, the files are ours; without it, they belong
    // to another daemon.
    if !claim.is_lost() {
        files::remove(&home);
    }
    drop(claim);
    ended
}

/// The running parts.
struct Daemon {
    settings: Arc<Settings>,
    claim: Arc<Claim>,
    signals: Arc<Signals>,
    supervisor: Arc<Supervisor>,
    engine: Engine,
    worker: Arc<Worker>,
    folders: Option<FolderSync>,
    app: App,
    server: Server,
    info: Info,
}

impl Daemon {
    fn start(
        settings: Settings,
        claim: Arc<Claim>,
        signals: Arc<Signals>,
        supervisor: Arc<Supervisor>,
        starter: Starter,
    ) -> Result<Daemon> {
        let settings = Arc::new(settings);
        let registry = Arc::new(Registry::new());
        let info = Info::of_this_process(SystemClock.wall());
        let startup = Startup::begin(&settings.home, info, starter.clone(), supervisor.clone())?;
        startup.busy_with(opening(&settings.home));
        let engine = assembly::engine(&settings, registry.clone())?;
        engine.store().begin_epoch()?;
        let listener =
            TcpListener::bind(settings.listen).map_err(|source| Error::Listen { address: settings.listen, source })?;
        let address = listener.local_addr().map_err(|source| Error::Listen { address: settings.listen, source })?;
        let token = token::find_or_make(&settings)?;
        if !address.ip().is_loopback() && token.reveal().len() < STRONG {
            return Err(Error::WeakToken { address });
        }
        startup.busy_with("starting the work");
        let options = WorkerOptions { pools: settings.pools.0.clone(), scope: Scope::Everything };
        process::adopt_orphans();
        let worker = Arc::new(Worker::start(&engine, options)?);
        let folders = FolderSync::start(&engine, &settings)?;
        let stop = signals.clone();
        let app = App::new(Parts {
            engine: engine.clone(),
            settings: settings.clone(),
            registry,
            worker: Some(worker.clone()),
            access: Access::new(&settings, address, token),
            on_stop: Box::new(move || stop.request_stop()),
        });
        let server = Server::start(listener, app.clone()).map_err(|source| Error::Listen { address, source })?;
        let info = startup.ready(&address.to_string())?;
        supervisor.ready();
        tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "ready");
        let link = format!("http://{}{}", from_here(address), app.access().one_time_path());
        starter(StartupEvent::Ready { pid: std::process::id(), http: address.to_string(), link });
        // Frees memory that only the start needed.
        limits::give_memory_back();
        Ok(Daemon { settings, claim, signals, supervisor, engine, worker, folders, app, server, info })
    }

    /// Runs until a stop is requested or it can't continue.
    fn serve(self, start: Start) -> Result<()> {
        let tick = self.supervisor.watchdog().map_or(LOOK, |it| it.min(LOOK));
        let mut ended = Ok(());
        while !self.signals.wait(tick) {
            self.supervisor.alive();
            if start.background {
                log_file::keep_short(&self.settings.home);
            }
            if self.app.has_left_much() {
                limits::give_memory_back();
            }
            ended = self.can_go_on();
            if ended.is_err() {
                break;
            }
        }
        self.stop();
        ended
    }

    fn can_go_on(&self) -> Result<()> {
        if self.claim.is_lost() {
            return Err(Error::LockLost);
        }
        self.engine.store().check_file()?;
        match self.worker.fatal() {
            Some(reason) => Err(Error::GaveUp { reason }),
            None => Ok(()),
        }
    }

    /// Stops, and reports its progress to the service manager.
    fn stop(&self) {
        self.supervisor.stopping();
        thread::scope(|scope| {
            let (stopped, stops) = mpsc::channel::<()>();
            let end = move || {
                while stops.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    self.supervisor.busy_with(&self.ending(), PATIENCE_OF_SUPERVISOR);
                    self.supervisor.alive();
                }
            };
            // Without a thread, the stop reports no progress but still happens.
            let _ = threads::start_within(scope, "windlass-ending", None, end);
            self.end();
            drop(stopped);
        });
    }

    fn ending(&self) -> String {
        match self.worker.running() {
            0 => "closing the database".to_string(),
            1 => "waiting for a step to end".to_string(),
            steps => format!("waiting for {steps} steps to end"),
        }
    }

    /// Stops submissions, steps, children and hooks; then the server, which reports on all of that; then the database.
    fn end(&self) {
        self.app.begin_stop();
        let info = Info { phase: Phase::Stopping, ..self.info.clone() };
        if !self.claim.is_lost()
            && let Err(error) = info.write(&self.settings.home)
        {
            tracing::warn!(%error, "the phase could not be written");
        }
        tracing::info!(steps = self.worker.running(), "stopping");
        self.folders.iter().for_each(FolderSync::stop);
        self.worker.stop(self.settings.stop_timeout);
        self.server.stop(Instant::now() + LAST_REQUESTS);
        if !self.claim.is_lost() {
            files::remove(&self.settings.home);
        }
        self.engine.store().close();
    }
}

/// The address for clients on this machine. A wildcard address can't be connected to.
pub fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A long log takes a while to checkpoint.
fn opening(home: &Path) -> String {
    let log = std::fs::metadata(home.join(format!("{}-wal", assembly::DATABASE))).map_or(0, |it| it.len());
    match log >> 20 {
        0 => "opening the database".to_string(),
        mib => format!("opening the database, with {mib} MiB of log to checkpoint"),
    }
}
