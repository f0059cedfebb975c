//! The built-in step kinds that need no documents: `windlass/noop`, `windlass/sleep`, `windlass/fail`, and commands.

pub mod command;
mod simple;

use super::Registry;

/// Registers the kinds of this room.
pub fn register(registry: &mut Registry) {
    registry.register("windlass/noop", simple::Noop);
    registry.register("windlass/sleep", simple::Sleep);
    registry.register("windlass/fail", simple::Fail);
}
