//! Workers, hooks, reaper and HTTP in one process.

use crate::{
    assembly,
    engine::{Worker, WorkerOptions},
    http::{self, Access, App, Parts, Server, token},
    model::Scope,
    observe::{Bus, Registry},
    os::signals::Signals,
    settings::Settings,
};
use anyhow::{Context, Result};
use std::{
    fs,
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

/// Serves until a signal, or a request, asks for a stop.
pub fn run(settings: Settings, announce: impl FnOnce(&str, &str)) -> Result<()> {
    let settings = Arc::new(settings);
    let registry = Arc::new(Registry::new());
    let signals = Arc::new(Signals::install()?);
    let engine = assembly::engine(&settings, registry.clone())?;
    let listener =
        TcpListener::bind(settings.listen).with_context(|| format!("failed to listen on {}", settings.listen))?;
    let token = token::find_or_make(&settings)?;
    let options = WorkerOptions { pools: settings.pools.0.clone(), scope: Scope::Everything };
    let worker = Arc::new(Worker::start(&engine, options)?);
    let stop = signals.clone();
    let app = App::new(Parts {
        engine: engine.clone(),
        settings: settings.clone(),
        registry,
        bus: Bus::new(settings.history_limit as usize),
        worker: Some(worker.clone()),
        access: Access::new(&settings, listener.local_addr()?, token),
        on_stop: Box::new(move || stop.request_stop()),
    });
    let server: Server = http::Server::start(listener, app.clone())?;
    let address = server.address().to_string();
    fs::write(settings.home.join("serve.port"), &address)?;
    announce(&address, &app.access().one_time_path());
    while !signals.wait(Duration::from_millis(200)) {}
    app.begin_stop();
    worker.stop(settings.stop_timeout);
    server.stop(Instant::now() + Duration::from_secs(2));
    engine.store().close();
    let _ = fs::remove_file(settings.home.join("serve.port"));
    Ok(())
}
