use super::*;
use crate::{
    ingest::outline::scan,
    model::{Heading, PageStart},
};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn document(markdown: &str) -> ParsedDocument {
    let found = scan(markdown);
    ParsedDocument {
        markdown: markdown.to_string(),
        headings: found.headings,
        tables: found.tables,
        ..ParsedDocument::default()
    }
}

fn options(size: u32, overlap: u32) -> ChunkOptions {
    ChunkOptions { size, overlap, max: size + size / 4 }
}

/// Checks properties of every document.
fn check(document: &ParsedDocument, options: &ChunkOptions) -> Vec<Chunk> {
    let chunks = chunk(document, options);
    let text = &document.markdown;
    let (mut start, mut end) = (None, 0);
    for chunk in &chunks {
        assert_eq!(chunk.text, text[chunk.range.clone()]);
        assert!(start < Some(chunk.range.start) && end < chunk.range.end, "{:?} after {start:?}..{end}", chunk.range);
        let gap = text.get(end..chunk.range.start).unwrap_or_default();
        assert!(gap.trim().is_empty(), "not covered: {gap:?}");
        assert_eq!(chunk.tokens as usize, tokens::count(&chunk.text));
        assert!(chunk.tokens <= options.settled().max, "{} tokens", chunk.tokens);
        assert!(chunk.text.len() <= options.settled().max as usize * TOKEN_BYTES, "{} bytes", chunk.text.len());
        (start, end) = (Some(chunk.range.start), chunk.range.end);
    }
    assert!(text[end..].trim().is_empty(), "not covered: {:?}", &text[end..]);
    chunks
}

#[test]
fn each_section_is_a_chunk_under_its_headings() {
    let text = "intro\n\n# A\n\n## B\n\nunder b\n\n## C\n\nunder c\n\n# D\n\nunder d";
    let chunks = check(&document(text), &ChunkOptions::default());
    let found: Vec<_> = chunks.iter().map(|it| (it.headings.join(" > "), it.text.as_str())).collect();
    let expected =
        [("", "intro"), ("A > B", "# A\n\n## B\n\nunder b"), ("A > C", "## C\n\nunder c"), ("D", "# D\n\nunder d")];
    assert_eq!(found, expected.map(|(path, text)| (path.to_string(), text)));
}

#[test]
fn a_long_section_is_cut_between_sentences_and_overlaps() {
    let text = (0..200).map(|it| format!("This is sentence number {it} of the story. ")).collect::<String>();
    let chunks = check(&document(&format!("# Story\n\n{text}")), &options(100, 20));
    assert!(chunks.len() > 15);
    for pair in chunks.windows(2) {
        assert!(pair[1].range.start < pair[0].range.end, "no overlap");
        assert!(pair[1].text.starts_with("This is sentence") && pair[0].text.ends_with("story."), "{}", pair[0].text);
        assert_eq!(pair[1].headings, ["Story"]);
    }
}

#[test]
fn tables_and_code_stay_whole_when_they_fit() {
    let rows = (0..30).map(|it| format!("| {it} | cell |\n")).collect::<String>();
    let table = format!("| a | b |\n|---|---|\n{rows}");
    let code = format!("```\n{}```\n", "let x = 1;\n".repeat(40));
    let text = format!("# T\n\n{}\n\n{table}\n{code}\nend", "Some words before it. ".repeat(30));
    let chunks = check(&document(&text), &ChunkOptions::default());
    assert!(chunks.iter().any(|it| it.text.contains(table.trim_end())));
    assert!(chunks.iter().any(|it| it.text.contains(code.trim_end())));
}

#[test]
fn a_chunk_names_the_page_on_which_it_begins() {
    let mut paged = document("# One\n\nfirst page\n\n# Two\n\nsecond page");
    let second = paged.markdown.find("# Two").unwrap();
    paged.pages = vec![PageStart { page: 1, offset: 0 }, PageStart { page: 7, offset: second }];
    let pages: Vec<_> = check(&paged, &ChunkOptions::default()).iter().map(|it| it.page).collect();
    assert_eq!(pages, [Some(1), Some(7)]);
}

#[test]
fn signs_of_markup_in_plain_text_are_text() {
    let plain = ParsedDocument { markdown: "# not a heading\n\n| no | table\n".into(), ..ParsedDocument::default() };
    let chunks = check(&plain, &ChunkOptions::default());
    assert_eq!(chunks.len(), 1);
    assert!(chunks[0].headings.is_empty());
}

#[test]
fn nothing_but_blanks_makes_no_chunk() {
    for text in ["", " \n\n\t ", &"\n".repeat(100_000)] {
        assert_eq!(check(&document(text), &ChunkOptions::default()), []);
    }
}

#[test]
fn huge_texts_take_linear_time() {
    // Unoptimised builds get an eighth of the work.
    let size: usize = if cfg!(debug_assertions) { 256 << 10 } else { 2 << 20 };
    let blank = " ".repeat(size);
    let texts =
        ["x", "word ", "漢", "\n ", "# h\n", "|", "a\n\n", "- \n", ". ", "`", "```\n", "| a |\n|---|\n", "| b |\n"];
    let texts = texts.map(|it| "| a |\n|---|\n".to_string() + &it.repeat(size / it.len()));
    let texts = texts.into_iter().chain([format!("{blank}a{blank}b")]);
    for text in texts {
        let begin = Instant::now();
        check(&document(&text), &ChunkOptions::default());
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(5), "{:?}: {took:?}", &text[16..32]);
    }
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    let check = |size, overlap, max| ChunkOptions { size, overlap, max }.check();
    assert_eq!(check(400, 40, 512), Ok(()));
    assert!(matches!(check(4, 0, 512), Err(ChunkOptionsError::SizeTooSmall { .. })));
    assert!(matches!(check(400, 300, 512), Err(ChunkOptionsError::OverlapTooLarge { .. })));
    assert!(matches!(check(400, 40, 399), Err(ChunkOptionsError::MaxBelowSize { .. })));
}

proptest! {
    #[test]
    fn any_text_is_covered_in_order_within_the_caps(
        parts in prop::collection::vec(prop_oneof![
            "[a-z]{1,9}( [a-z]{1,9}){0,30}\\. ",
            "#{1,3} [A-Z][a-z]{0,9}\n",
            "\n{1,3}",
            "\\| [a-z]{1,3} \\| [a-z]{1,3} \\|\n",
            "\\|---\\|---\\|\n",
            "```\n",
            "- [a-z ]{1,20}\n",
            "\\PC{1,40}",
            "[а-я]{1,80}",
            "[一-十]{1,40}",
            " {1,300}",
        ], 0..60),
        size in 16_u32..120, overlap in 0_u32..60, extra in 0_u32..40, page in 0_usize..200,
    ) {
        let mut document = document(&parts.concat());
        let offset = document.markdown.char_indices().nth(page).map_or(0, |it| it.0);
        document.pages = vec![PageStart { page: 3, offset }];
        check(&document, &ChunkOptions { size, overlap, max: size + extra });
    }
}

#[test]
fn headings_of_a_deeper_level_end_with_their_section() {
    let mut sample = document("a\n\nb");
    sample.headings =
        vec![Heading { level: 2, text: "deep".into(), offset: 0 }, Heading { level: 1, text: "top".into(), offset: 3 }];
    let mut path = Path::default();
    assert_eq!(path.place(&sample, 0..1, 0).headings, ["deep"]);
    assert_eq!(path.place(&sample, 3..4, 3).headings, ["top"]);
}

#[test]
fn the_share_of_links_of_a_passage_leaves_headings_out_and_needs_several_links() {
    let share = |markdown: &str, words: &[&str]| {
        let mut sample = document(markdown);
        let place = |word: &&str| markdown.find(*word).map(|at| at..at + word.len()).unwrap();
        sample.links = words.iter().map(place).collect();
        chunk(&sample, &ChunkOptions::default()).iter().map(|it| it.linked).collect::<Vec<_>>()
    };
    assert_eq!(share("# A long heading\n\n- Ropes\n- Chains\n- Hooks", &["Ropes", "Chains", "Hooks"]), [100]);
    assert_eq!(share("- Ropes\n- Chains", &["Ropes", "Chains"]), [0], "two are no list of links");
    assert_eq!(share("aaaa bbbb cccc dddd dddd dddd", &["aaaa", "bbbb", "cccc"]), [50]);
    assert_eq!(share("# One\n\ntext\n\n# Two\n\na1 b2 c3 x", &["a1", "b2", "c3"]), [0, 85]);
    assert_eq!(share("", &[]), [0u8; 0]);
}
