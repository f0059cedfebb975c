//! Measures search quality: nDCG@10 and recall@20 on the Cranfield collection, for each embedder and mode. Also chooses
//! the weight that fuses words and vectors, and prints the cosines from which each embedder's floor was chosen.
//!
//!     cargo bench --bench cranfield -- DIRECTORY      (holds cran.all.1400, cran.qry and cranqrel)
//!
//! The number of a query in `cranqrel` is its position in `cran.qry`, counted from 1. Judgements range from 1 (a
//! complete answer) to 4 (of minimal interest); the gain is 5 minus the judgement. Weights are chosen on four fifths of
//! the queries and reported on the last fifth, five times.

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
        floors(&bench)?;
        cross_validate(&bench)?;
    }
    Ok(())
}

/// The cosine of the nearest passage for questions that are answered here, questions on other topics, and meaningless
/// ones.
fn floors(bench: &Bench<'_>) -> anyhow::Result<()> {
    let mut answered = Vec::new();
    for (at, text) in bench.queries.iter().enumerate() {
        let first = nearest(bench, text)?;
        let right = first.filter(|it| bench.judged.get(&(at + 1)).is_some_and(|judged| judged.contains_key(&it.0)));
        answered.extend(right.map(|it| it.1));
    }
    quantiles("nearest passage, and it is right", &mut answered);
    let mut elsewhere = Vec::new();
    for question in OTHER_TOPICS {
        elsewhere.extend(nearest(bench, question)?.map(|it| it.1));
    }
    quantiles("questions of other topics", &mut elsewhere);
    for words in 1..=4 {
        let mut nonsense = Vec::new();
        for seed in 0..500u64 {
            nonsense.extend(nearest(bench, &letters(seed * 4 + words, words))?.map(|it| it.1));
        }
        quantiles(&format!("random letters, {words} words"), &mut nonsense);
    }
    Ok(())
}

const OTHER_TOPICS: &[&str] = &[
    "how long does bread dough have to rise",
    "who wrote the symphony with the choir",
    "best time to prune apple trees",
    "capital of Mongolia",
    "password reset for my account",
    "rules of chess castling",
    "when are taxes due this year",
    "symptoms of measles in children",
    "train from Vienna to Prague",
    "garbage collection in Java",
    "how to train a puppy",
    "recipe for lentil soup",
    "history of the printing press",
    "vacation days for new employees",
    "football world cup winners",
    "knitting a scarf",
];

/// The URI of the nearest passage, and its cosine.
fn nearest(bench: &Bench<'_>, text: &str) -> anyhow::Result<Option<(String, f64)>> {
    let query = Query { k: 1, mode: Mode::Vector, min_score: Some(0.0), ..Query::new(text) };
    let hit = search(&bench.db, bench.embedder.as_ref(), &query)?.into_iter().next();
    Ok(hit.map(|it| (it.uri, it.score)))
}

/// Words of 3 to 9 letters, determined by the seed.
fn letters(seed: u64, words: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut drawn = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut word = |_| (0..3 + drawn(7)).map(|_| char::from(b'a' + drawn(26) as u8)).collect::<String>();
    (0..words).map(&mut word).collect::<Vec<_>>().join(" ")
}

fn quantiles(label: &str, cosines: &mut [f64]) {
    cosines.sort_by(f64::total_cmp);
    let at =
        |share: f64| cosines.get(((cosines.len().max(1) - 1) as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    let shown: Vec<String> = [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0].map(|it| format!("{:.3}", at(it))).into();
    println!("  {label:36} {:4} cosines, at 0 1 5 50 95 99 100 %: {}", cosines.len(), shown.join(" "));
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

/// Scores each query with the weight that was best for the queries of the other folds.
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

/// (title, text) of each record. The text is the field `.W`.
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
        let chunk = Chunk { text: text.clone(), headings: Vec::new(), page: None, range, tokens: 0, linked: 0 };
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
