"""Holds the scores of the built program against ours: both must read the same files in the same way.

    python -m classifier.shipped --program target/release/nonnocere
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from classifier.data import Item, read_items
from classifier.evaluate import Bench

# Scores differ in the last bits between versions and machines; more than this is another reading.
TOLERATED = 0.02


def line(number: int, item: Item) -> str:
    """A request of the program's `check --jsonl`."""
    if item.side == "prompt":
        return json.dumps({"id": str(number), "prompt": item.text})
    messages = [{"role": "user", "content": item.context}]
    return json.dumps({"id": str(number), "messages": messages, "completion": item.text})


def main() -> None:
    """Exits with 1 when the program's violation score of any held-out text is not ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--model", type=Path, default=Path("classifier/model"))
    parser.add_argument("--program", type=Path, default=Path("target/release/nonnocere"))
    options = parser.parse_args()
    bench = Bench(options.model)
    held_out = read_items(options.data, options.corpus, "test")
    items: list[Item] = []
    for source in ("corpus_prompts", "corpus_crisis", "corpus_completions", "benign_notes", "benign_answers"):
        items += [item for item in held_out if item.source == source][:60]
    asked = "\n".join(line(number, item) for number, item in enumerate(items)) + "\n"
    answer = subprocess.run([options.program, "check", "--jsonl"], input=asked, capture_output=True, text=True, check=True)
    theirs = [json.loads(row)["scores"]["violation"] for row in answer.stdout.splitlines()]
    ours = bench.judge(items).scores[:, 0]
    far = [(abs(a - b), item.text[:60]) for a, b, item in zip(theirs, ours, items, strict=True) if abs(a - b) > TOLERATED]
    print(f"{len(items)} texts, {len(far)} with another score, largest gap {max(abs(a - b) for a, b in zip(theirs, ours)):.4f}")
    for gap, text in sorted(far, reverse=True)[:10]:
        print(f"{gap:.3f} {text!r}")
    sys.exit(bool(far))


if __name__ == "__main__":
    main()
