//! How well a search finds: nDCG@10 and recall@20 on the Cranfield collection, for each embedder and mode, and the choice of
//! the weight that fuses words and vectors.
//!
//!     cargo bench --bench cranfield -- DIRECTORY      (holds cran.all.1400, cran.qry and cranqrel)
//!
//! A query's number in `cranqrel` is its place in `cran.qry`, counted from 1. The judgements run from 1 (a complete answer)
//! to 4 (of minimum interest), the gain is 5 minus the judgement.
//! Weights are chosen on four fifths of the queries and reported on the fifth, five times over.

use std::{collections::HashMap, fs, path::Path, sync::Arc};
use windlass::{
    embed::{self, Embedder},
    model::{ArtifactHash, Chunk, Timestamp},
    search::{Mode, Query, search},
    vector::{ChunkRow, DocumentRow, OpenOptions, TextHash, VectorDb},
};

const FOLDS: usize = 5;

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().skip(1).find(|it| !it.starts_with('-'));
    let Some(folder) = folder else {
        println!("cranfield: skipped, as no directory was given");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let documents = records(&fs::read_to_string(folder.join("cran.all.1400"))?);
    let queries: Vec<String> =
        records(&fs::read_to_string(folder.join("cran.qry"))?).into_iter().map(|it| it.1).collect();
    let judged = judgements(&fs::read_to_string(folder.join("cranqrel"))?);
    for name in ["static", "hash"] {
        let house = tempfile::tempdir()?;
        let embedder = embed::by_name(name)?;
        let bench = Bench {
            db: index(&house.path().join("cranfield.db"), &embedder, &documents)?,
            embedder,
            queries: &queries,
            judged: &judged,
        };
        println!("{name}: {} documents, {} queries", documents.len(), queries.len());
        for (label, mode) in [("text", Mode::Text), ("vector", Mode::Vector), ("hybrid", Mode::Hybrid)] {
            print(label, &bench.scores(mode, None)?);
        }
        cross_validate(&bench)?;
    }
    Ok(())
}

/// nDCG@10 and recall@20 of one query.
type Score = (f64, f64);

struct Bench<'a> {
    db: VectorDb,
    embedder: Arc<dyn Embedder>,
    queries: &'a [String],
    judged: &'a HashMap<usize, HashMap<String, f64>>,
}

impl Bench<'_> {
    fn scores(&self, mode: Mode, weight: Option<f64>) -> anyhow::Result<Vec<Score>> {
        let mut scores = Vec::new();
        for (at, text) in self.queries.iter().enumerate() {
            let query = Query { k: 20, mode, weight, ..Query::new(text.clone()) };
            let hits = search(&self.db, self.embedder.as_ref(), &query)?;
            let uris: Vec<String> = hits.into_iter().map(|it| it.uri).collect();
            scores.push(score(&uris, self.judged.get(&(at + 1))));
        }
        Ok(scores)
    }
}

/// Each query is scored under the weight that was best for the queries of the other folds.
fn cross_validate(bench: &Bench<'_>) -> anyhow::Result<()> {
    let weights: Vec<f64> = (0..=12).map(|it| f64::from(it) * 0.05).collect();
    let runs = weights.iter().map(|it| bench.scores(Mode::Hybrid, Some(*it))).collect::<anyhow::Result<Vec<_>>>()?;
    for (weight, run) in weights.iter().zip(&runs) {
        print(&format!("  weight {weight:.2}"), run);
    }
    let (mut held_out, mut chosen) = (vec![(0.0, 0.0); bench.queries.len()], Vec::new());
    for fold in 0..FOLDS {
        let elsewhere =
            |run: &Vec<Score>| run.iter().enumerate().filter(|it| it.0 % FOLDS != fold).map(|it| it.1.0).sum::<f64>();
        let best = (0..runs.len()).max_by(|a, b| elsewhere(&runs[*a]).total_cmp(&elsewhere(&runs[*b])));
        let best = best.unwrap_or_default();
        chosen.push(format!("{:.2}", weights[best]));
        for at in (fold..held_out.len()).step_by(FOLDS) {
            held_out[at] = runs[best][at];
        }
    }
    print(&format!("held out, weights {}", chosen.join(" ")), &held_out);
    Ok(())
}

fn print(label: &str, scores: &[Score]) {
    let mean = |pick: fn(&Score) -> f64| scores.iter().map(pick).sum::<f64>() / scores.len() as f64;
    println!("  {label:44} nDCG@10 {:.4}  recall@20 {:.4}", mean(|it| it.0), mean(|it| it.1));
}

/// (title, text) of each record: the text is the part `.W`.
fn records(file: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for record in format!("\n{file}").split("\n.I ").skip(1) {
        let mut parts = HashMap::<&str, String>::new();
        let mut part = "I";
        for line in record.lines().skip(1) {
            match line {
                ".T" | ".A" | ".B" | ".W" => part = line,
                _ => *parts.entry(part).or_default() += &format!("{line}\n"),
            }
        }
        found.push((parts.remove(".T").unwrap_or_default(), parts.remove(".W").unwrap_or_default()));
    }
    found
}

/// Gains by query and document.
fn judgements(file: &str) -> HashMap<usize, HashMap<String, f64>> {
    let mut judged = HashMap::<usize, HashMap<String, f64>>::new();
    for line in file.lines() {
        let numbers: Vec<i32> = line.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        if let [query, document, grade] = numbers[..] {
            let gain = f64::from(5 - grade.abs());
            judged.entry(query as usize).or_default().insert(document.to_string(), gain);
        }
    }
    judged
}

fn index(path: &Path, embedder: &Arc<dyn Embedder>, documents: &[(String, String)]) -> anyhow::Result<VectorDb> {
    let options = OpenOptions::default();
    let nothing = serde_json::json!({});
    let mut db = VectorDb::create_or_open_for_writing(
        path,
        &options,
        embedder.id(),
        embedder.dimension().unwrap_or_default(),
        &nothing,
    )?;
    let epoch = db.raise_epoch()?;
    for (at, (_, text)) in documents.iter().enumerate() {
        let range = 0..text.len();
        let chunk = Chunk { text: text.clone(), headings: Vec::new(), page: None, range, tokens: 0 };
        let vector = embedder.embed(&[text])?.remove(0);
        let uri = (at + 1).to_string();
        let row = DocumentRow {
            source: "cranfield",
            uri: &uri,
            title: None,
            sha256: ArtifactHash([0; 32]),
            media_type: "text/plain",
            metadata: &nothing,
            now: Timestamp(0),
        };
        db.replace_document(
            epoch,
            &row,
            &[ChunkRow { chunk: &chunk, text_hash: TextHash::of(text), vector: &vector }],
        )?;
    }
    Ok(db)
}

fn score(list: &[String], gains: Option<&HashMap<String, f64>>) -> Score {
    let Some(gains) = gains else { return (0.0, 0.0) };
    let discounted = |gains: &[f64]| {
        gains.iter().take(10).enumerate().map(|(at, gain)| gain / (at as f64 + 2.0).log2()).sum::<f64>()
    };
    let mut ideal: Vec<f64> = gains.values().copied().collect();
    ideal.sort_by(|a, b| b.total_cmp(a));
    let got: Vec<f64> = list.iter().map(|it| gains.get(it).copied().unwrap_or(0.0)).collect();
    let found = got.iter().take(20).filter(|it| **it > 0.0).count();
    (discounted(&got) / discounted(&ideal), found as f64 / gains.len() as f64)
}
