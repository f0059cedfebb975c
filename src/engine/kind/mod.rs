//! The built-in step kinds that need no documents: `windlass/noop`, `windlass/sleep`, `windlass/fail`,
//! `windlass/webhook`, commands, and work for long-lived processes.

pub mod command;
mod simple;
mod value;
mod webhook;
pub(crate) mod worker;

use super::Registry;
use crate::definition;

/// Registers the kinds of this room.
pub fn register(registry: &mut Registry) {
    registry.register("windlass/noop", simple::Noop);
    registry.register("windlass/sleep", simple::Sleep);
    registry.register("windlass/fail", simple::Fail);
    registry.register(definition::webhook::KIND, webhook::Webhook);
}
