use super::{
    context::Context,
    database, db_remove,
    failure::{Exit, Failure, Result},
    locks,
    paint::Paint,
    table::Table,
    wording::{count, number_of, plain, quoted, size},
};
use crate::{
    ingest::database_path,
    model::ResourceKey,
    vector::{CheckReport, Filter, OpenOptions, VectorDb},
    view::{self, DatabaseInfo},
};
use clap_complete::engine::ArgValueCompleter;

/// Show, check and edit vector databases
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all vector databases of this home
    List,
    /// Show the counts, sizes, embedder and sources of a vector database
    Info {
        #[command(flatten)]
        which: Which,
    },
    /// List the documents of a vector database, by source and URI
    Documents {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        page: DocumentPage,
    },
    /// Remove documents from a vector database, by URI or path
    Remove {
        /// Such as https://host/a.md, or the path of a file
        #[arg(required = true, value_name = "URI")]
        documents: Vec<String>,
        /// The vector database: a name, or a path to its file [default: the setting `database`]
        #[arg(long, value_name = "NAME", add = ArgValueCompleter::new(super::complete::databases))]
        db: Option<String>,
        /// The collection that the documents belong to
        #[arg(long, default_value = "default", value_name = "NAME")]
        source: String,
    },
    /// Delete a vector database with everything in it
    Delete {
        /// A name, or a path to a file
        #[arg(required_unless_present = "named", conflicts_with = "named", add = ArgValueCompleter::new(super::complete::databases))]
        db: Option<String>,
        /// The same as the argument
        #[arg(long = "db", value_name = "NAME", hide = true)]
        named: Option<String>,
        /// Documents to remove; only accepted to point to `remove`
        #[arg(hide = true)]
        documents: Vec<String>,
        /// Do not ask for confirmation at a terminal
        #[arg(long)]
        yes: bool,
    },
    /// Read a whole vector database and check it for damage
    Check {
        #[command(flatten)]
        which: Which,
        /// Remove damaged documents; the next `windlass ingest` restores them
        #[arg(long)]
        repair: bool,
    },
}

/// The database to use.
#[derive(Debug, Clone, clap::Args)]
struct Which {
    /// A name, or a path to a file [default: the setting `database`]
    #[arg(add = ArgValueCompleter::new(super::complete::databases))]
    db: Option<String>,
    /// The same as the argument, for consistency with other commands
    #[arg(long = "db", value_name = "NAME", hide = true, conflicts_with = "db")]
    named: Option<String>,
}

impl Which {
    fn name(&self) -> Option<&str> {
        self.db.as_deref().or(self.named.as_deref())
    }
}

/// The part of the list to show.
#[derive(Debug, Clone, clap::Args)]
pub struct DocumentPage {
    /// Only documents that match, such as 'source = "manuals"'
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Maximum number of documents
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: u64,
    /// Number of documents to skip
    #[arg(long, default_value_t = 0, value_name = "N")]
    offset: u64,
}

impl Args {
    pub fn run(self, cx: &Context) -> Result<()> {
        match self.command {
            Command::List => list(cx),
            Command::Info { which } => info(cx, which.name()),
            Command::Documents { which, page } => documents(cx, which.name(), &page),
            Command::Remove { documents, db, source } => db_remove::documents(cx, &documents, db.as_deref(), &source),
            Command::Delete { db, named, documents, yes } => {
                let db = db.or(named).unwrap_or_default();
                match documents.is_empty() {
                    true => db_remove::whole(cx, &db, yes),
                    false => Err(db_remove::not_whole(&db, &documents)),
                }
            }
            Command::Check { which, repair: false } => check(cx, which.name()),
            Command::Check { which, repair: true } => repair(cx, which.name()),
        }
    }
}

fn list(cx: &Context) -> Result<()> {
    let found = view::databases(&cx.settings()?.home, |_, error| cx.output.warn(format!("{error}")))?;
    if cx.output.json {
        return cx.output.document(&found);
    }
    let rows = found.databases;
    if rows.is_empty() {
        cx.output.note("no vector database yet; make one with `windlass ingest PATH`");
        return Ok(());
    }
    let mut table = Table::new(&["NAME", ">DOCUMENTS", ">CHUNKS", ">SIZE", "EMBEDDER", "~PATH"]);
    for DatabaseInfo { name, info } in &rows {
        table.row([
            name.as_str().into(),
            number_of(info.documents).into(),
            number_of(info.chunks).into(),
            size(info.bytes).into(),
            info.embedder.as_str().into(),
            info.path.to_string_lossy().into(),
        ]);
    }
    cx.output.table(&table)
}

fn info(cx: &Context, db: Option<&str>) -> Result<()> {
    let (database, opened) = database::open(cx, db)?;
    let info = opened.info()?;
    if cx.output.json {
        return cx.output.document(&DatabaseInfo { name: database.name, info });
    }
    let out = &cx.output;
    out.line(out.paint(Paint::Bold, &database.name))?;
    out.line(format!("  path       {}", info.path.display()))?;
    out.line(format!("  documents  {}", number_of(info.documents)))?;
    out.line(format!("  chunks     {} ({})", number_of(info.chunks), count(info.tokens, "token")))?;
    out.line(format!("  embedder   {} ({} dimensions)", info.embedder, info.dimension))?;
    if let Some(url) = info.server.as_ref().and_then(|it| it["url"].as_str()) {
        out.line(format!("  server     {}", plain(url)))?;
    }
    out.line(format!("  size       {}", size(info.bytes)))?;
    if info.free_bytes > 0 {
        out.advice(format!("  free       {} (`windlass vacuum {}`)", size(info.free_bytes), quoted(&database.name)))?;
    }
    for (source, documents) in &info.sources {
        out.line(format!("  source     {} ({})", plain(source), count(*documents, "document")))?;
    }
    Ok(())
}

/// Lists documents of a vector database.
pub fn documents(cx: &Context, db: Option<&str>, page: &DocumentPage) -> Result<()> {
    let DocumentPage { limit, offset, .. } = *page;
    let filter = page.filter.as_deref().map(str::parse::<Filter>).transpose()?;
    let page = view::documents(&database::named(cx, db)?, filter.as_ref(), limit, offset)?;
    if cx.output.json {
        return cx.output.document(&page);
    }
    let mut table = Table::new(&["SOURCE", "~URI", "~TITLE", ">CHUNKS", "UPDATED"]);
    for it in &page.documents {
        table.row([
            it.source.as_str().into(),
            it.uri.as_str().into(),
            it.title.as_deref().unwrap_or("").into(),
            number_of(it.chunks).into(),
            cx.when(it.updated).into(),
        ]);
    }
    if table.is_empty() {
        cx.output.note(format!("no such document in `{}`; add some with `windlass ingest PATH`", page.database));
        return Ok(());
    }
    cx.output.table(&table)?;
    let seen = offset + page.documents.len() as u64;
    if seen < page.total {
        cx.output.note(format!("{seen} of {}; next page: `--offset {seen}`", count(page.total, "document")));
    }
    Ok(())
}

fn check(cx: &Context, db: Option<&str>) -> Result<()> {
    let (database, opened) = database::open(cx, db)?;
    let report = opened.check()?;
    if cx.output.json {
        let mut document = with_name(&database.name, &report);
        document["sound"] = report.is_sound().into();
        cx.output.document(&document)?;
    } else {
        let sound = if report.is_sound() { "is sound" } else { "is damaged:" };
        cx.output.line(format!("`{}` {sound}", database.name))?;
        for problem in problems_of(&report) {
            cx.output.line(format!("  {problem}"))?;
        }
    }
    match report.is_sound() {
        true => Ok(()),
        false => Err(Failure::new(Exit::Error, format!("vector database `{}` is damaged", database.name))
            .hint(format!("`windlass db check {} --repair`, then ingest again", quoted(&database.name)))),
    }
}

/// The problems found by a check, in words.
pub fn problems_of(report: &CheckReport) -> Vec<String> {
    let found = serde_json::to_value(report).unwrap_or_default();
    let counts = found.as_object().into_iter().flatten().filter(|(_, it)| it.as_u64().is_some_and(|it| it > 0));
    let counts = counts.map(|(what, number)| format!("{}: {number}", what.replace('_', " ")));
    report.damage.iter().map(|it| plain(it)).chain(counts).collect()
}

fn repair(cx: &Context, db: Option<&str>) -> Result<()> {
    let named = database::named(cx, db)?;
    let path = database_path(&cx.settings()?.home, &named.path.to_string_lossy())?;
    if !path.exists() {
        return Err(database::unknown(cx, &named)?);
    }
    let guard = locks::take(cx, &ResourceKey(format!("vec:{}", path.display())), None)?;
    let mut opened = VectorDb::open_for_writing(&path, &OpenOptions::default())?;
    let epoch = opened.raise_epoch()?;
    let report = opened.repair(epoch)?;
    drop(guard);
    if cx.output.json {
        return cx.output.document(&with_name(&named.name, &report));
    }
    let removed = report.documents_removed.len() as u64;
    cx.output.line(format!(
        "`{}`: {} damaged removed, {} removed",
        named.name,
        count(removed, "document"),
        count(report.orphans_removed, "orphan")
    ))?;
    if removed > 0 {
        cx.output.note("restore them with the `windlass ingest` that made them");
    }
    check(cx, db)
}

fn with_name(name: &str, value: &impl serde::Serialize) -> serde_json::Value {
    let mut document = serde_json::json!({"name": name});
    if let (Some(document), Ok(serde_json::Value::Object(fields))) =
        (document.as_object_mut(), serde_json::to_value(value))
    {
        document.extend(fields);
    }
    document
}
