//! The disks of a home, in words.

use crate::{engine::Engine, model::Bytes};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A disk that windlass writes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DiskView {
    /// `home`, or `artifacts` if these are on another disk.
    pub holds: &'static str,
    #[schema(value_type = String)]
    pub dir: PathBuf,
    #[schema(value_type = u64)]
    pub free: Bytes,
}

/// The disk of the home, and the disk of the artifacts if it is another.
pub fn disks(engine: &Engine) -> Vec<DiskView> {
    let view = |(dir, free): (PathBuf, Bytes)| DiskView { holds: holds(engine, &dir), dir, free };
    engine.disks().into_iter().map(view).collect()
}

fn holds(engine: &Engine, dir: &Path) -> &'static str {
    if dir == engine.home() { "home" } else { "artifacts" }
}

/// The disk with too little free space for steps to start; `None` if there is enough.
pub fn low_disk(engine: &Engine) -> Option<String> {
    let room = engine.disk();
    let words = || {
        let (dir, reserve) = (room.dir.display(), engine.options().disk_reserve);
        let what = holds(engine, &room.dir);
        format!("the disk of {dir} ({what}) has {} free; {reserve} must stay free (`disk_reserve`)", room.free)
    };
    (!room.enough).then(words)
}
