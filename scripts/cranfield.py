#!/usr/bin/env python3
"""Measures the quality of `windlass search`: nDCG@10 and recall@20 on the Cranfield collection, by words, by vectors and by both.

    scripts/cranfield.py DIRECTORY [--windlass target/release/windlass] [--embedder static]

DIRECTORY holds cran.all.1400, cran.qry and cranqrel. Each abstract becomes one text file. The script ingests them
into a new home with `windlass ingest` and searches them with `windlass search --json`. It needs only Python.

The number of a query in cranqrel is its position in cran.qry, counted from 1. Judgements range from 1 (a complete answer)
to 4 (of minimal interest); the gain is 5 minus the judgement. Several chunks of one document count once, at the position of
the best one. A search by words alone (BM25) should reach about .52, and hybrid should not be worse.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

MODES = ("text", "vector", "hybrid")
HITS = 60  # enough for 20 documents with a few chunks each


def records(text):
    """The field .W of each record."""
    found = []
    for record in ("\n" + text).split("\n.I ")[1:]:
        parts, part = {}, "I"
        for line in record.split("\n")[1:]:
            if line in (".T", ".A", ".B", ".W"):
                part = line
            else:
                parts.setdefault(part, []).append(line)
        found.append("\n".join(parts.get(".W", [])))
    return found


def judgements(text):
    """{query: {document: gain}}"""
    judged = {}
    for line in text.splitlines():
        numbers = [int(it) for it in line.split()]
        if len(numbers) == 3:
            query, document, grade = numbers
            judged.setdefault(query, {})[document] = 5 - abs(grade)
    return judged


def run(arguments, environment):
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, arguments))}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def documents_of(answer):
    """Document numbers, best first, each once. The answer is a list of hits, an object with `hits`, or a hit a line."""
    try:
        hits = json.loads(answer)
    except json.JSONDecodeError:
        hits = [json.loads(line) for line in answer.splitlines() if line.strip()]
    if isinstance(hits, dict):
        hits = hits["hits"] if "hits" in hits else [hits]
    return list(dict.fromkeys(int(Path(hit["uri"]).stem) for hit in hits))


def score(ranked, gains):
    """nDCG@10 and recall@20."""
    discounted = lambda it: sum(gain / math.log2(place + 2) for place, gain in enumerate(it[:10]))
    got = [gains.get(it, 0) for it in ranked]
    ideal = discounted(sorted(gains.values(), reverse=True))
    return discounted(got) / ideal, sum(gain > 0 for gain in got[:20]) / len(gains)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--windlass", default="windlass", help="the program to measure")
    parser.add_argument("--embedder", default="static", help="static (default) or hash")
    arguments = parser.parse_args()
    texts = records((arguments.directory / "cran.all.1400").read_text())
    queries = [" ".join(it.split()) for it in records((arguments.directory / "cran.qry").read_text())]
    judged = judgements((arguments.directory / "cranqrel").read_text())

    with tempfile.TemporaryDirectory() as house:
        environment = {**os.environ, "WINDLASS_HOME": f"{house}/home", "NO_COLOR": "1"}
        folder = Path(house) / "documents"
        folder.mkdir()
        for number, text in enumerate(texts, 1):
            (folder / f"{number}.txt").write_text(text)
        embedder = ["--set", f"embed.model={arguments.embedder}"] if arguments.embedder != "static" else []
        run([arguments.windlass, "ingest", folder, "--db", "cranfield", *embedder], environment)

        def ask(mode, query):
            command = [arguments.windlass, "--json", "search", "--db", "cranfield", "--mode", mode, "-k", str(HITS), "--", query]
            return documents_of(run(command, environment))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for mode in MODES:
                ranked = list(pool.map(lambda query: ask(mode, query), queries))
                scores = [score(it, judged[place]) for place, it in enumerate(ranked, 1)]
                means = [sum(it) / len(scores) for it in zip(*scores)]
                print(f"{mode:8} nDCG@10 {means[0]:.4f}  recall@20 {means[1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
