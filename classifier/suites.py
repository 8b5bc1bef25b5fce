"""Draws the suites that `nonnocere eval` brings along from the corpus's test split, so that no weight and no threshold saw them.

    python -m classifier.suites --corpus classifier/corpus --out src/eval/suite/embedded.jsonl
"""

import argparse
import json
from pathlib import Path

from classifier.data import LEFT_OUT, read_part, share

PRINCIPLES = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "G")
TWINS = 24  # of each principle, and as many of their safe twins
BENIGN = 200
CRISES = 120


def held_out(row: dict) -> bool:
    """Whether a row is in the test split (the rule of `classifier.data.split_of`)."""
    return row["type"] in LEFT_OUT or share(row["pair"]) < 0.15


def drawn(rows: list[dict], count: int) -> list[dict]:
    """Some of the rows, by the hash of their ids: more of them keep those that are there."""
    return sorted(rows, key=lambda row: share("suite " + row["id"]))[:count]


def item(row: dict, suite: str) -> dict:
    """A row as a suite has it."""
    kept = {"suite": suite, "id": row["id"], "pair": row["pair"], "type": row["type"], "text": row["text"]}
    return kept | ({"principle": row["principle"]} if row["principle"] in PRINCIPLES else {})


def suites(corpus: Path) -> list[dict]:
    """All items, suite by suite."""
    prompts = [row for row in read_part(corpus, "prompts") if held_out(row)]
    plain = lambda row: not row.get("crisis") and not row.get("manipulation")
    by_pair = {}
    for row in prompts:
        by_pair.setdefault(row["pair"], {})[row["label"]] = row
    both = [pair for pair in by_pair.values() if {"violation", "safe"} <= set(pair) and all(map(plain, pair.values()))]
    violations, twins = [], []
    for principle in PRINCIPLES:
        rows = drawn([pair["violation"] for pair in both if pair["violation"]["principle"] == principle], TWINS)
        violations += [item(row, "violations") for row in rows]
        twins += [item(by_pair[row["pair"]]["safe"], "twins") for row in rows]
    benign = drawn([row for row in prompts if row["type"] == "none" and plain(row)], BENIGN)
    crisis = [row for row in read_part(corpus, "crisis") if held_out(row) and row["label"] == "crisis"]
    rows = violations + twins + [item(row, "benign") for row in benign]
    return rows + [item(row, "crisis") for row in drawn(crisis, CRISES)]


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("src/eval/suite/embedded.jsonl"))
    arguments = parser.parse_args()
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in suites(arguments.corpus)]
    arguments.out.write_text("".join(lines), encoding="utf8")


if __name__ == "__main__":
    main()
