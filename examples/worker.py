"""The worker of python-worker.yaml: counts the words of a file, and writes a report."""

import collections
import os
import re

from windlass_worker import Permanent, finalize, run, step

WORD = re.compile(r"[^\W\d_]+")


@step("count")
def count(ctx):
    path = ctx.item
    if not os.path.isfile(path):
        raise Permanent(f"there is no file {path}", kind="no_file")
    counts = collections.Counter()
    size = os.path.getsize(path)
    with open(path, encoding="utf-8", errors="replace") as file:
        read = 0
        for line in file:
            counts.update(word.lower() for word in WORD.findall(line))
            read += len(line)
            yield read, size  # progress
    ctx.log(f"{sum(counts.values())} words, {len(counts)} different ones")
    least = ctx.config["least"]
    common = [(word, times) for word, times in counts.most_common() if times >= least]
    ctx.artifact.put("common.txt", "".join(f"{times} {word}\n" for word, times in common))
    return {"words": sum(counts.values()), "different": len(counts)}


@step("report")
def report(ctx):
    common = ctx.artifact.get("count", "common.txt").decode().split("\n")
    first = common[0].split(" ")[-1] if common[0] else None
    return {**ctx.inputs["count"].value, "most_common": first}


@finalize
def clean_up():
    """After every unit: what must not pile up in a process that lives for hours goes here."""
    re.purge()


run()
