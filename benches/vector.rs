//! Measures how fast a vector database stores documents and finds neighbours.
//!
//!     cargo bench --bench vector -- [CHUNKS] [DIMENSION]      (100000 and 256 by default)

use std::time::Instant;
use windlass::{
    embed,
    model::{ArtifactHash, Chunk, Timestamp},
    vector::{ChunkRow, DocumentRow, OpenOptions, Term, TextHash, TextQuery, VectorDb},
};

const CHUNKS_OF_A_DOCUMENT: usize = 20;

fn main() -> anyhow::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|it| it.parse().ok());
    // `cargo test --all-targets` also runs this, without `--bench`. A few chunks then show that it works.
    let measured = std::env::args().any(|it| it == "--bench");
    let chunks: usize = numbers.next().unwrap_or(if measured { 100_000 } else { 200 });
    let dimension: usize = numbers.next().unwrap_or(256);
    let house = tempfile::tempdir()?;
    let path = house.path().join("bench.db");
    let mut random = Random(42);
    let (mut db, nothing) = (create(&path, dimension)?, serde_json::json!({}));
    let epoch = db.raise_epoch()?;

    let started = Instant::now();
    for document in 0..chunks / CHUNKS_OF_A_DOCUMENT {
        let texts: Vec<Chunk> = (0..CHUNKS_OF_A_DOCUMENT).map(|_| chunk(&mut random)).collect();
        let vectors: Vec<Vec<f32>> = texts.iter().map(|_| random.vector(dimension)).collect();
        let rows: Vec<ChunkRow> = texts
            .iter()
            .zip(&vectors)
            .map(|(chunk, vector)| ChunkRow { chunk, text_hash: TextHash::of(&chunk.text), vector })
            .collect();
        let uri = format!("{document}.txt");
        let row = DocumentRow {
            source: "bench",
            uri: &uri,
            title: None,
            sha256: ArtifactHash([0; 32]),
            media_type: "text/plain",
            metadata: &nothing,
            now: Timestamp(0),
        };
        db.replace_document(epoch, &row, &rows)?;
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("insert: {chunks} chunks of {dimension} dimensions, {:.0}/s", chunks as f64 / seconds);

    let filter = "uri like '1%'".parse().map_err(|it| anyhow::anyhow!("{it}"))?;
    let reader = VectorDb::open(&path, &OpenOptions::default())?;
    timed("nearest 10", || reader.knn(&random.vector(dimension), 10, None).map(|it| it.len()))?;
    timed("nearest 10 of a filtered ninth", || {
        reader.knn(&random.vector(dimension), 10, Some(&filter)).map(|it| it.len())
    })?;
    let words = || TextQuery { terms: vec![Term::Word("w17".into()), Term::Word("w4711".into())] };
    timed("two words", || reader.text(&words(), 10, None).map(|it| it.len()))?;

    let started = Instant::now();
    let report = db.vacuum(epoch)?;
    println!(
        "vacuum: {:.2} s, {} to {} bytes",
        started.elapsed().as_secs_f64(),
        report.bytes_before,
        report.bytes_after
    );
    embedding(&mut random)
}

fn create(path: &std::path::Path, dimension: usize) -> anyhow::Result<VectorDb> {
    let options = OpenOptions::default();
    Ok(VectorDb::create_or_open_for_writing(path, &options, "bench:v1", dimension, &serde_json::json!({}))?)
}

/// The median of eleven runs, after a warm-up.
fn timed<E: std::error::Error + Send + Sync + 'static>(
    what: &str,
    mut run: impl FnMut() -> Result<usize, E>,
) -> anyhow::Result<()> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..11 {
        let started = Instant::now();
        std::hint::black_box(run()?);
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{what}: least {:.1} ms, median {:.1} ms, most {:.1} ms", times[0], times[5], times[10]);
    Ok(())
}

fn embedding(random: &mut Random) -> anyhow::Result<()> {
    let texts: Vec<String> = (0..2000).map(|_| chunk(random).text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in ["static", "hash"] {
        let embedder = embed::by_name(name)?;
        embedder.embed(&["warm up"])?;
        let started = Instant::now();
        embedder.embed(&texts)?;
        println!("embed with {name}: {:.0} chunks/s", texts.len() as f64 / started.elapsed().as_secs_f64());
    }
    Ok(())
}

/// A chunk of 150 words from a vocabulary of ten thousand, in which the first ones are common.
fn chunk(random: &mut Random) -> Chunk {
    let words: Vec<String> = (0..150).map(|_| format!("w{}", (10_000.0 * random.unit().powi(3)) as u32)).collect();
    let text = words.join(" ");
    Chunk { range: 0..text.len(), text, headings: Vec::new(), page: None, tokens: 150, linked: 0 }
}

/// SplitMix64, so that the data are the same on every machine.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..dimension).map(|_| self.unit() as f32 - 0.5).collect();
        let length = vector.iter().map(|it| it * it).sum::<f32>().sqrt();
        vector.iter_mut().for_each(|it| *it /= length);
        vector
    }
}
