//! Decides when to reuse the result of an earlier step.

use crate::{
    definition::{ParameterSet, digest},
    engine::StepInput,
    ingest::{item::Item, parameters},
};
use serde_json::json;

/// Increase this whenever a reader's output changes.
const PARSE_VERSION: u32 = 4;
/// Increase this whenever the same text is cut differently.
const CHUNK_VERSION: u32 = 3;
/// Increase this whenever the same embedder embeds the same chunk differently.
const EMBED_VERSION: u32 = 1;

/// Everything that the result of a stage depends on: the version of its code, the content and its name, and the
/// parameters up to this stage. `None` if such results are not cached.
pub(in crate::ingest) fn cache_key(stage: &str, item: &Item, set: &ParameterSet) -> Option<[u8; 32]> {
    let version = match stage {
        "parse" => json!(PARSE_VERSION),
        "chunk" => json!([PARSE_VERSION, CHUNK_VERSION]),
        "embed" => {
            let embedder = parameters::embedder(set).ok()?;
            json!([PARSE_VERSION, CHUNK_VERSION, EMBED_VERSION, embedder.id()])
        }
        _ => return None,
    };
    let what = json!({
        "stage": stage,
        "version": version,
        "content": item.sha256,
        "name": item.name_key(),
        "config": hex::encode(set.config_hash_through(stage)),
    });
    Some(digest("windlass ingest 1", &what))
}

pub(super) fn cache_key_of(stage: &str, input: &StepInput) -> Option<[u8; 32]> {
    cache_key(stage, &Item::of(input)?, &parameters::read(&input.params).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ArtifactHash;

    #[test]
    fn a_result_is_taken_again_only_where_nothing_it_depends_on_has_changed() {
        let item = |byte: u8, name: &str| Item {
            name: name.to_string(),
            source: "default".to_string(),
            sha256: ArtifactHash([byte; 32]),
            size: 1,
            documents: Vec::new(),
        };
        let keys = |item: &Item, change: &[&str]| {
            let set = ParameterSet::builtin().overlay(change).unwrap();
            ["parse", "chunk", "embed"].map(|stage| cache_key(stage, item, &set).unwrap())
        };
        let base = keys(&item(1, "a.md"), &[]);
        assert!(base[0] != base[1] && base[1] != base[2]);
        let same = |other: [[u8; 32]; 3]| [0, 1, 2].map(|at| base[at] == other[at]);
        assert_eq!(same(keys(&item(1, "other.md"), &["store.path=elsewhere"])), [true; 3]);
        assert_eq!(same(keys(&item(2, "a.md"), &[])), [false; 3], "other content");
        assert_eq!(same(keys(&item(1, "a.txt"), &[])), [false; 3], "read as another type");
        assert_eq!(same(keys(&item(1, "a.md"), &["parse.memory=2GiB"])), [false; 3]);
        assert_eq!(same(keys(&item(1, "a.md"), &["chunk.size=200"])), [true, false, false]);
        assert_eq!(same(keys(&item(1, "a.md"), &["embed.model=hash"])), [true, true, false]);
        assert_eq!(cache_key("store", &item(1, "a.md"), &ParameterSet::builtin()), None);
    }
}
