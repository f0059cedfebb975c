use super::*;
use std::time::{Duration, Instant};

fn markdown(html: &str) -> String {
    read(html, 64 << 20).unwrap().markdown
}

#[test]
fn headings_paragraphs_and_lists_become_markdown() {
    let html =
        "<title>A &amp; B</title><h1>One<a class=headerlink href=#>¶</a></h1><p>First\n line.<p>Second <b>bold</b>.
        <ul><li>a<li><p>b</p><p>more</p><ol start=3><li>x</li></ol></ul><h2>Two <code>x</code></h2>end";
    let page = read(html, 1 << 20).unwrap();
    assert_eq!(page.title.as_deref(), Some("A & B"));
    assert_eq!(page.markdown, "# One\n\nFirst line.\n\nSecond bold.\n\n- a\n- b\n  more\n  3. x\n\n## Two `x`\n\nend");
}

#[test]
fn code_keeps_its_lines_and_its_signs() {
    let html = "<p>Call <code>f()</code>:</p><pre>\n<span>def</span> f():\n    return a_b * 2 &lt; 3\n\n</pre>after";
    assert_eq!(markdown(html), "Call `f()`:\n\n```\ndef f():\n    return a_b * 2 < 3\n```\n\nafter");
    assert_eq!(markdown("<pre>a ``` b</pre>"), "````\na ``` b\n````");
    assert_eq!(markdown("a<pre></pre>b"), "a\n\nb");
}

#[test]
fn tables_of_data_become_pipe_tables_and_layout_does_not() {
    let html = "<table><caption>Ropes</caption><tr><th>rope<th>load</tr><tr><td>hemp | old<td><p>9</p> kN</table>x";
    assert_eq!(markdown(html), "Ropes\n\n| rope | load |\n|---|---|\n| hemp \\| old | 9 kN |\n\nx");
    let layout = "<table><tr><td><h2>A</h2>one<td><pre>two</pre></table>";
    assert_eq!(markdown(layout), "## A\n\none\n\n```\ntwo\n```");
    let nested = "<table><tr><td><table><tr><td>a<td>b</table><td>c</table>";
    assert_eq!(markdown(nested), "| a | b |\n|---|---|\n\nc");
    let spanned = "<table><tr><th colspan=2>ab<th>c<tr><td>1<td>2<td>3</table>";
    assert_eq!(markdown(spanned), "| ab | | c |\n|---|---|---|\n| 1 | 2 | 3 |");
}

#[test]
fn chrome_is_dropped_and_main_is_kept() {
    let html =
        "<body><nav>menu</nav><div class='x sphinxsidebar'>side<div>deep</div></div><script>f()</script><p>text</p>
        <div style='display: none'>hidden</div><footer>foot</footer>";
    assert_eq!(markdown(html), "text");
    assert_eq!(
        markdown("<p>before</p><div role=main><div>in</div>side</div><p>after"),
        "in\n\nside".replace("\n\n", "\n")
    );
    assert_eq!(markdown("<p>before</p><main></main><p>after"), "before\n\nafter");
}

#[test]
fn chrome_that_never_ends_does_not_swallow_the_page() {
    assert_eq!(markdown("<nav>menu<p>text"), "menu\n\ntext");
    assert_eq!(markdown("<p>intro</p><div hidden><div></div><p>text"), "intro\n\ntext");
}

#[test]
fn text_never_turns_into_structure() {
    assert_eq!(markdown("<p># no heading</p><p>``` no fence</p>"), "\\# no heading\n\n\\``` no fence");
}

#[test]
fn hostile_pages_take_linear_time() {
    // Unoptimised builds get a part of the work.
    let (deep, long) = if cfg!(debug_assertions) { (20_000, 1 << 20) } else { (100_000, 5 << 20) };
    let pages = [
        "<div>".repeat(deep) + "core",
        "<ul><li>".repeat(deep) + "core",
        "<table><tr><td>".repeat(deep) + "core" + &"</table>".repeat(deep),
        "<blockquote>".repeat(deep) + "core",
        "<b>".repeat(deep) + &"</i>".repeat(deep) + "core",
        "core<!--".repeat(deep),
        "core <".repeat(deep),
        "core</".repeat(deep) + ">",
        "core<a b='".repeat(deep),
        "<p>core&".repeat(deep),
        "<title>core".repeat(deep) + "</title>core",
        "<h1>core<pre>".repeat(deep),
        "<td>core".repeat(deep),
        format!("<table><tr>{}</tr>{}</table>core", "<td>a".repeat(deep), "<tr><td>b".repeat(deep)),
        "core ".repeat(long / 5),
        "c".repeat(long) + "core",
    ];
    for page in pages {
        let begin = Instant::now();
        let text = markdown(&page);
        let took = begin.elapsed();
        assert!(text.contains("core"), "{}", &page[..40]);
        assert!(text.len() <= page.len() * 8 + 100, "{}: {} bytes", &page[..40], text.len());
        assert!(took < Duration::from_secs(10), "{}: {took:?}", &page[..40]);
    }
}

#[test]
fn more_text_than_allowed_is_refused() {
    let error = read(&"word ".repeat(1000), 100).unwrap_err();
    assert_eq!(error.code(), "too_large");
}

#[test]
fn the_words_of_links_are_known_by_their_positions() {
    let linked = |html: &str| {
        let page = read(html, 1 << 20).unwrap();
        page.links.iter().map(|it| page.markdown[it.clone()].to_string()).collect::<Vec<_>>()
    };
    let menu = "<ul><li><a href=a>Ropes and <b>chains</b></a><li><a href=b> Winch </a> (new)<li>None</ul>";
    assert_eq!(linked(menu), ["Ropes and chains", "Winch"]);
    assert_eq!(markdown(menu), "- Ropes and chains\n- Winch (new)\n- None");
    let table = "<table><tr><td><a href=a>Ropes</a><td>hemp<tr><td><a href=b>Winch | drum</a><td>steel</table>";
    assert_eq!(linked(table), ["Ropes", "Winch \\| drum"]);
    assert_eq!(linked("<p>See <a href=a>one<p>two</a> three"), ["one", "two"], "a link over two paragraphs");
    assert_eq!(linked("<a href=a>one <a href=b>two</a> three</a> four"), ["one", "two"], "links contain no links");
    assert_eq!(linked("<a href=a><h2>A card</h2>of text</a><pre><a href=b>x</a></pre>"), ["of text"]);
    assert_eq!(linked("<a name=top>Chapter one</a><a href=x></a><a href=x> </a>"), [""; 0]);
    assert_eq!(linked(&format!("<a href=a>never closed {}", "and on ".repeat(40))), [""; 0]);
    assert_eq!(linked("a \u{fdd1} b \u{fdd0} c <a href=a>d</a> \u{fdd0}"), ["d"]);
    assert_eq!(linked("<main><p>é <a href=a>東京</a></main><p><a href=b>out</a>"), ["東京"]);
}
