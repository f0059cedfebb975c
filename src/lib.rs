//! A durable workflow engine for one machine: one binary, one SQLite file.
//!
//! Modules in reading order, ground floor first; a room imports only from the floors below it (see `ARCHITECTURE.md`).

pub mod model;

pub mod decide;
pub mod os;
pub mod settings;

pub mod artifact;
pub mod definition;
pub mod embed;
pub mod observe;
pub mod process;
pub mod store;
pub mod vector;

pub mod engine;

pub mod ingest;
pub mod search;

pub mod http;

pub mod assembly;

pub mod daemon;

pub mod prove;

pub mod cli;
