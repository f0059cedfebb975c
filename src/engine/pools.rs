//! Consumer pools: as many threads as steps of their type may run at once.

use super::{Engine, error::Result, notify::Notify};
use crate::{
    model::{HOOK_TYPE, TypeId},
    store::{Take, claim, step_type},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicUsize},
};

/// How many rows one transaction moves to a new queue.
const MOVE: usize = 500;

pub(super) struct Pool {
    /// The step type, or `*`.
    pub name: String,
    pub size: usize,
    pub take: Take,
    pub notify: Notify,
    pub busy: AtomicUsize,
    /// The queue of hooks, for the pool that runs only hooks.
    pub hooks: Option<TypeId>,
}

impl Pool {
    /// Gives each typed pool its queue, and moves waiting steps of the type there.
    pub(super) fn open_all(engine: &Engine, sizes: &BTreeMap<String, usize>) -> Result<Vec<Pool>> {
        let mut typed = Vec::new();
        for (name, size) in sizes.iter().filter(|it| it.0 != "*" && *it.1 > 0) {
            let id = open_queue(engine, name)?;
            typed.push((name.clone(), *size, id));
        }
        let own: Arc<[TypeId]> = typed.iter().map(|it| it.2).collect();
        let pool = |name: String, size, take, hooks| {
            let (notify, busy) = (Notify::default(), AtomicUsize::new(0));
            Pool { name, size, take, notify, busy, hooks }
        };
        let of_type = |(name, size, id): (String, usize, TypeId)| {
            let hooks = (name == HOOK_TYPE).then_some(id);
            pool(name, size, Take::Type(id), hooks)
        };
        let mut pools: Vec<Pool> = typed.into_iter().map(of_type).collect();
        if let Some(size) = sizes.get("*").filter(|it| **it > 0) {
            pools.push(pool("*".into(), *size, Take::Others(own), None));
        }
        Ok(pools)
    }
}

fn open_queue(engine: &Engine, name: &str) -> Result<TypeId> {
    let known = engine.store.read(|tx| step_type::find_with_queue(tx, name))?;
    if let Some((id, queue)) = known
        && queue != 0
    {
        return Ok(id);
    }
    let name = name.to_string();
    let id = engine.store.write(move |tx| {
        let id = step_type::intern(tx, &name)?;
        step_type::open_queue(tx, id)?;
        Ok(id)
    })?;
    let mut after = None;
    loop {
        after = engine.store.write(move |tx| claim::move_queue(tx, id, after, MOVE))?;
        if after.is_none() {
            return Ok(id);
        }
    }
}
