//! The plan: what is new, changed, unchanged, unusable and removed.

use super::{
    options::{SyncOptions, Unreadable},
    report,
    verdict::{Now, Verdict, Why, judge, params_hash, remembered_time},
};
use crate::{
    definition::ParameterSet,
    embed::Embedder,
    engine::Engine,
    ingest::{
        content,
        error::{Error, Result},
        file_uri::{self, path_of},
        item::{self, Item, ItemDocument, KEPT, name_key},
        parameters,
        source::{self, Listing, SourceFile},
        step,
    },
    model::{ArtifactHash, GroupId, RunId},
    store::{
        document::{self, DocumentRow, Known, Submitted},
        document_removal, step_cache,
    },
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs, io,
    path::PathBuf,
};

/// The plan of a sync, as data. Nothing has been written yet.
#[derive(Debug, Clone, Serialize)]
pub struct SyncPlan {
    pub database: PathBuf,
    pub source: String,
    /// URIs, as in all lists here.
    pub new: Vec<String>,
    pub changed: Vec<(String, Why)>,
    pub unchanged: u64,
    /// Failed earlier with the same content and parameters, so not tried again.
    pub unusable: Vec<Failed>,
    /// The groups to retry in order to try these again.
    pub retry: Vec<GroupId>,
    /// Being ingested by a group that has not ended.
    pub at_work: Vec<String>,
    /// Files that no reader accepts, by their names.
    pub left_out: usize,
    /// Links that lead out of their directory.
    pub linked_outside: usize,
    /// Could not be read now, so left as they are.
    #[serde(rename = "unread")]
    pub unreadable: Vec<Unreadable>,
    /// Ingested earlier; the file is gone.
    pub removed: Vec<String>,
    /// Whether documents in `removed` will be removed.
    pub prune: bool,
    pub warnings: Vec<String>,
    /// Why nothing counts as removed although every document of a directory is gone. Empty if that is not the case.
    #[serde(skip)]
    pub emptied: String,
    /// One for each distinct content.
    pub runs: Vec<PlannedRun>,
    /// The total size of all runs, in bytes.
    pub bytes: u64,
    #[serde(skip)]
    pub(super) params: ParameterSet,
    #[serde(skip)]
    pub(super) force: bool,
    /// The rows that each run will write.
    #[serde(skip)]
    pub(super) rows: Vec<Vec<Submitted>>,
    /// Rows of unchanged documents whose size and time are now known more precisely.
    #[serde(skip)]
    pub(super) refreshed: Vec<DocumentRow>,
    /// The state from which the plan was made, so that the same plan is not submitted twice.
    #[serde(skip)]
    pub(super) basis: [u8; 32],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failed {
    pub uri: String,
    pub reason: String,
}

/// One content and its documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedRun {
    pub item: Item,
    /// The steps without a cached result. Determined only for a dry run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<&'static str>,
}

impl SyncPlan {
    fn new(options: &SyncOptions, params: ParameterSet, warnings: Vec<String>, basis: [u8; 32]) -> SyncPlan {
        SyncPlan {
            database: options.database.clone(),
            source: options.source.clone(),
            new: Vec::new(),
            changed: Vec::new(),
            unchanged: 0,
            unusable: Vec::new(),
            retry: Vec::new(),
            at_work: Vec::new(),
            left_out: 0,
            linked_outside: 0,
            unreadable: Vec::new(),
            removed: Vec::new(),
            prune: options.prune,
            warnings,
            emptied: String::new(),
            runs: Vec::new(),
            bytes: 0,
            params,
            force: options.force,
            rows: Vec::new(),
            refreshed: Vec::new(),
            basis,
        }
    }

    /// How many unchanged documents had to be read this time, and need not be read the next time.
    #[cfg(any(test, feature = "internals"))]
    pub fn refreshed_rows(&self) -> usize {
        self.refreshed.len()
    }

    /// Whether there is nothing to submit and nothing to remove.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && (self.removed.is_empty() || !self.prune)
    }
}

/// Compares the sources with what was ingested. Writes nothing.
///
/// Fails if a source can't be read completely, because missing entries would look like removed documents. Also fails if
/// nothing could be stored: contradictory parameters, or a database with another embedder.
pub fn plan(engine: &Engine, options: &SyncOptions) -> Result<SyncPlan> {
    plan_after(engine, options, &HashSet::new())
}

/// Like `plan`, but leaves out what this sync has just done: documents that it stored, or that failed permanently.
pub(super) fn plan_after(engine: &Engine, options: &SyncOptions, done: &HashSet<String>) -> Result<SyncPlan> {
    parameters::check(&options.params)?;
    let params = parameters::for_database(&options.params, &options.database)?;
    let stored = stored(options, &*parameters::embedder(&params)?)?;
    let Listing { files, warnings, unreadable, outside } = source::list(&options.paths, &options.source_options)?;
    let known = known(engine, options)?;
    let database = options.database.to_string_lossy().into_owned();
    let removed = engine.store().read(|tx| document_removal::mark(tx, &database, &options.source))?;
    let mut planning = Planning {
        options,
        stored: &stored,
        known: &known,
        done,
        now: engine.store().now().0,
        runs: HashMap::new(),
        plan: SyncPlan::new(options, params, warnings, basis(&known, removed)),
    };
    files.iter().chain(&options.received).for_each(|file| planning.take(file));
    planning.find_removed(&files)?;
    let mut plan = planning.plan;
    plan.left_out = unreadable;
    plan.linked_outside = outside;
    let failed: Vec<RunId> = plan.unusable.iter().filter_map(|it| known.get(&it.uri)?.row.run).collect();
    plan.retry = engine.store().read(|tx| document::groups_of(tx, &failed))?;
    plan.unreadable.extend(options.unreadable.iter().cloned());
    if options.dry_run {
        find_steps(engine, &mut plan)?;
    }
    Ok(plan)
}

/// The state of each document, including the outcome of its run if that is not recorded yet.
fn known(engine: &Engine, options: &SyncOptions) -> Result<BTreeMap<String, Known>> {
    let database = options.database.to_string_lossy().into_owned();
    let mut known = engine.store().read(|tx| document::of_source(tx, &database, &options.source))?;
    report::for_each_end(engine, &database, |slice| {
        for end in slice {
            if let Some(it) = known.get_mut(&end.uri).filter(|it| it.row.run == Some(end.run)) {
                it.row.state = end.state;
                it.row.reason = end.reason;
                (it.row.sha256, it.row.size) = end.content.unwrap_or((it.row.sha256, it.row.size));
            }
        }
        Ok(())
    })?;
    Ok(known)
}

/// The content of each document in the vector database.
fn stored(options: &SyncOptions, embedder: &dyn Embedder) -> Result<HashMap<String, ArtifactHash>> {
    match parameters::check_database(&options.database, embedder.id(), embedder.dimension())? {
        Some(db) => Ok(db.hashes(&options.source)?),
        None => Ok(HashMap::new()),
    }
}

/// The state from which a plan was made. A document that was removed in the meantime differs from one that never
/// existed, so its plan is a new one.
fn basis(known: &BTreeMap<String, Known>, removed: Option<RunId>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(removed.map(|it| format!("removed by {it}\n")).unwrap_or_default());
    for Known { row, updated, .. } in known.values() {
        hasher.update(format!("{} {:?} {} {}\n", row.uri, row.run, row.state as i64, updated.0));
        hasher.update(row.sha256.0);
        hasher.update(row.params);
    }
    hasher.finalize().into()
}

fn find_steps(engine: &Engine, plan: &mut SyncPlan) -> Result<()> {
    for run in &mut plan.runs {
        for name in ["validate", "parse", "chunk", "embed", "store"] {
            let key = step::cache_key(name, &run.item, &plan.params).filter(|_| !plan.force);
            let found = match key {
                Some(key) => engine.store().read(|tx| step_cache::find(tx, &key))?,
                None => None,
            };
            if found.is_none() {
                run.steps.push(name);
            }
        }
    }
    Ok(())
}

/// The transaction that begins a run writes a row for each of its documents.
pub(in crate::ingest) const DOCUMENTS_OF_RUN: usize = 500;

struct Planning<'a> {
    options: &'a SyncOptions,
    stored: &'a HashMap<String, ArtifactHash>,
    known: &'a BTreeMap<String, Known>,
    done: &'a HashSet<String>,
    /// Wall-clock milliseconds before the first file was read.
    now: i64,
    /// The run with this content and media type.
    runs: HashMap<(ArtifactHash, String), usize>,
    plan: SyncPlan,
}

impl Planning<'_> {
    fn take(&mut self, file: &SourceFile) {
        let known = self.known.get(&file.uri);
        let remembered = known.filter(|it| it.row.mtime != 0 && it.row.mtime == file.mtime && it.row.size == file.size);
        let (sha256, size, mtime) = match (file.kept, remembered) {
            (Some(kept), _) => (kept, file.size, 0),
            (None, Some(known)) => (known.row.sha256, file.size, file.mtime),
            (None, None) => match read(file) {
                Ok(Some(looked)) => (looked.sha256, looked.size, remembered_time(looked.modified, self.now)),
                Ok(None) => return self.leave(file, "it keeps changing".to_string()),
                Err(error) => return self.leave(file, error.to_string()),
            },
        };
        let now = Now { sha256, params: params_hash(&self.plan.params, file.metadata.as_ref()) };
        match judge(known, self.stored.get(&file.uri), &now, self.options.force) {
            Verdict::New => self.plan.new.push(file.uri.clone()),
            Verdict::Changed(why) => self.plan.changed.push((file.uri.clone(), why)),
            Verdict::AtWork => return self.plan.at_work.push(file.uri.clone()),
            quiet => {
                let Some(Known { row: old, .. }) = known else { return };
                match quiet {
                    _ if self.done.contains(&file.uri) => (),
                    Verdict::Unusable => {
                        self.plan.unusable.push(Failed { uri: old.uri.clone(), reason: old.reason.clone() });
                    }
                    _ => self.plan.unchanged += 1,
                }
                if (old.size, old.mtime) != (size, mtime) {
                    self.plan.refreshed.push(DocumentRow { size, mtime, ..old.clone() });
                }
                return;
            }
        }
        self.add(file, Submitted { uri: file.uri.clone(), sha256, size, mtime, params: now.params });
    }

    /// Adds a document. Documents with equal content and media type share one run.
    fn add(&mut self, file: &SourceFile, row: Submitted) {
        let metadata = file.metadata.clone().unwrap_or_default();
        let kept = file.kept.map(|_| KEPT.to_string());
        let document = ItemDocument { uri: file.uri.clone(), file: kept, within: file.within.clone(), metadata };
        let place = (row.sha256, name_key(&file.path));
        if let Some(at) = self.runs.get(&place).filter(|at| self.plan.rows[**at].len() < DOCUMENTS_OF_RUN) {
            self.plan.runs[*at].item.documents.push(document);
            self.plan.rows[*at].push(row);
            return;
        }
        self.runs.insert(place, self.plan.runs.len());
        let item = Item {
            name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source: self.options.source.clone(),
            sha256: row.sha256,
            size: row.size,
            documents: vec![document],
        };
        self.plan.bytes += row.size;
        self.plan.runs.push(PlannedRun { item, steps: Vec::new() });
        self.plan.rows.push(vec![row]);
    }

    fn leave(&mut self, file: &SourceFile, reason: String) {
        self.plan.unreadable.push(Unreadable { uri: file.uri.clone(), reason });
    }

    /// A document counts as removed if its directory was listed, has other documents, and its file no longer exists. A
    /// file that is only excluded by a glob or ignore file stays.
    fn find_removed(&mut self, files: &[SourceFile]) -> Result<()> {
        for root in self.options.paths.iter().filter(|it| it.is_dir()) {
            // As the files below it were listed: without links and `..`.
            let resolved = source::resolved(root);
            let absolute = std::path::absolute(&resolved).map_err(|source| Error::Io {
                action: "find",
                path: resolved,
                source,
            })?;
            let prefix = format!("{}/", file_uri::of(&absolute).trim_end_matches('/'));
            let gone = self.known.keys().filter(|uri| uri.starts_with(&prefix) && is_gone(uri));
            let gone: Vec<String> = gone.cloned().collect();
            if !gone.is_empty() && !files.iter().any(|it| it.uri.starts_with(&prefix)) {
                let (root, count) = (root.display(), gone.len());
                self.plan.emptied = format!(
                    "{root}: no documents are left here, as if a disk were not mounted: keeping all {count} that \
                     were ingested from it"
                );
                self.plan.warnings.push(self.plan.emptied.clone());
                continue;
            }
            self.plan.removed.extend(gone);
        }
        self.plan.removed.sort_unstable();
        self.plan.removed.dedup();
        Ok(())
    }
}

fn read(file: &SourceFile) -> io::Result<Option<content::Looked>> {
    content::look(item::open(&file.uri, file.within.as_deref())?, || false)
}

fn is_gone(uri: &str) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    let found = path_of(uri).map(fs::symlink_metadata);
    matches!(found, Some(Err(error)) if matches!(error.kind(), NotFound | NotADirectory))
}
