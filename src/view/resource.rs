//! Counted resources and rates, for `list resources`.

use super::error::Result;
use crate::{
    model::ResourceKind,
    store::{
        Store,
        learned::{self, TypeRow},
        read::{self, ResourceRow},
    },
};
use serde::Serialize;

/// Step types, by name.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct TypeList {
    pub types: Vec<TypeRow>,
}

/// Every step type, with what was learnt of it.
pub fn types(store: &Store) -> Result<TypeList> {
    Ok(TypeList { types: store.read(learned::types)? })
}

/// Counted resources and rates, by kind and name.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct ResourceList {
    pub resources: Vec<ResourceRow>,
    /// There are more.
    pub more: bool,
}

/// Resources behind one of this kind and name, at most `limit`.
pub fn resources(store: &Store, after: Option<(ResourceKind, String)>, limit: usize) -> Result<ResourceList> {
    let from = after.as_ref().map(|(kind, name)| (*kind, name.as_str()));
    let mut found = store.read(|tx| read::resources(tx, from, limit + 1))?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(ResourceList { resources: found, more })
}
