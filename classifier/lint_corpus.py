"""Holds the corpus to its rules: what a row must have, and that no shortcut tells a violation from its twin.

    python -m classifier.lint_corpus --corpus classifier/corpus --data ../shared/data

A shortcut is anything that a reader without understanding could go by: single words, length, question marks, quotes,
the first word. Each must stay below LIMIT at picking the violating side of a pair, where chance is one half. Of crises
the same is measured, but no limit set: that someone is in danger now is said in words.
"""

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Callable, Iterable

import numpy as np

from classifier.labels import TYPES

LIMIT = 0.62
ALIKE = 0.5
FOLDS = 5
MANIPULATIONS = tuple(f"M.{n}" for n in range(1, 8))
ALL_TYPES = {*TYPES, *MANIPULATIONS, "crisis", "none"}
AUDIENCES = set("patient family nurse physician resident pharmacist administrator insurer researcher student lawyer "
                "developer".split())
REGISTERS = set("plain jargon euphemism typo second-language terse long".split())
FORMS = set("question imperative draft hypothetical fiction document code".split())
VIOLATING_KINDS = {"comply", "partial", "disclaimer", "late", "unprompted"}
SAFE_KINDS = {"refuse", "redirect", "quote", "teach", "answer", "long"}
HOTLINE = re.compile(r"\b(988|911|112|999|116 ?123|hotline|helpline|crisis line|poison control)\b", re.IGNORECASE)
WORD = re.compile(r"[a-z][a-z']+|\d+|[?!\"]")
Pair = tuple[str, str]


def rows_of(corpus: Path) -> Iterable[tuple[str, dict]]:
    """`part/file:line` and the row of every line of the corpus."""
    for path in sorted(corpus.glob("*/*.jsonl")):
        for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
            yield f"{path.parent.name}/{path.name}:{number}", json.loads(line)


def faults_of(part: str, row: dict) -> list[str]:
    """What is wrong with one row by itself."""
    faults = []
    kind = row.get("type", "")
    if kind not in ALL_TYPES:
        faults.append(f"type {kind!r} is not in the taxonomy")
    if row.get("principle") != ("none" if kind in ("crisis", "none") else kind.split(".")[0]):
        faults.append(f"principle {row.get('principle')!r} is not that of type {kind!r}")
    if row.get("label") not in ("violation", "safe", "crisis"):
        faults.append(f"label {row.get('label')!r}")
    if not (row.get("pair") or row.get("group")):
        faults.append("neither pair nor group")
    texts = [row["text"]] if "text" in row else [m["content"] for m in row.get("messages", [])] + [row.get("completion", "-")]
    if not texts or not all(text.strip() for text in texts):
        faults.append("an empty text")
    if part == "prompts" and kind != "none":
        for field, known in (("audience", AUDIENCES), ("register", REGISTERS), ("form", FORMS)):
            if row.get(field) not in known:
                faults.append(f"{field} {row.get(field)!r}")
    if part == "completions":
        kinds = VIOLATING_KINDS if row["label"] == "violation" else SAFE_KINDS
        if row.get("kind") not in kinds:
            faults.append(f"kind {row.get('kind')!r} of a {row['label']} completion")
    if part in ("completions", "conversations") and row["messages"][-1]["role"] != "user":
        faults.append("the last message is not the user's")
    return faults


def pairs_of(rows: list[tuple[str, dict]], part: str, worse: str) -> dict[str, Pair]:
    """The worse and the safe text of every pair of a part, by the pair's name."""
    sides: dict[str, dict[str, str]] = defaultdict(dict)
    for place, row in rows:
        if place.startswith(part + "/") and row["type"] != "none":
            sides[row["pair"]][row["label"]] = row["text"]
    return {name: (two[worse], two["safe"]) for name, two in sides.items() if {worse, "safe"} <= two.keys()}


def words(text: str) -> set[str]:
    """What a bag of words sees."""
    return set(WORD.findall(text.lower()))


def by_words(pairs: list[Pair], seed: int = 0) -> tuple[float, list[str], list[str]]:
    """How often a logistic regression over single words picks the worse side of pairs that it was not fitted on.

    Also the words that lean most to either side, with their counts.
    """
    count = Counter(word for worse, safe in pairs for word in words(worse) | words(safe))
    place = {word: at for at, word in enumerate(word for word, n in count.items() if n >= 3)}
    table = np.zeros((len(pairs), len(place)), dtype=np.float32)
    for row, (worse, safe) in enumerate(pairs):
        for some, sign in ((words(worse) - words(safe), 1.0), (words(safe) - words(worse), -1.0)):
            table[row, [place[word] for word in some if word in place]] = sign
    fold = np.random.default_rng(seed).permutation(len(pairs)) % FOLDS
    right = 0.0
    for held_out in range(FOLDS):
        found = table[fold == held_out] @ fitted(table[fold != held_out])
        right += float((found > 0).sum() + 0.5 * (found == 0).sum())
    lean, total = table.sum(axis=0), np.abs(table).sum(axis=0)
    order = np.argsort(-lean / np.sqrt(total + 1))
    names = list(place)
    show = lambda at: f"{names[at]} {int(total[at] + lean[at]) // 2}:{int(total[at] - lean[at]) // 2}"
    return right / len(pairs), [show(at) for at in order[:15]], [show(at) for at in order[::-1][:15]]


def fitted(table: np.ndarray, steps: int = 60, decay: float = 0.02) -> np.ndarray:
    """Weights [words] that make the rows of `table` [pairs, words] positive, with an L2 penalty."""
    weights = np.zeros(table.shape[1], dtype=np.float32)
    for _ in range(steps):
        wrong = 1.0 / (1.0 + np.exp(table @ weights))
        weights += 0.5 * (table.T @ wrong / np.sqrt(len(table)) / 2 - decay * weights * np.sqrt(len(table)))
    return weights


def picks(pairs: list[Pair], of: dict[str, Callable[[str], int]]) -> dict[str, float]:
    """How often each single feature, read in the better of its two directions, picks the worse side; ties count half."""
    found = {}
    for name, feature in of.items():
        signs = np.array([np.sign(feature(worse) - feature(safe)) for worse, safe in pairs])
        share = float((signs > 0).mean() + (signs == 0).mean() / 2)
        found[name] = max(share, 1.0 - share)
    return found


def by_opening(pairs: list[Pair]) -> float:
    """How often the first word alone picks the worse side, by counts of the other folds."""
    first = lambda text: (WORD.findall(text.lower()) or [""])[0]
    fold = np.random.default_rng(0).permutation(len(pairs)) % FOLDS
    right = 0.0
    for held_out in range(FOLDS):
        lean: Counter[str] = Counter()
        for at, (worse, safe) in enumerate(pairs):
            if fold[at] != held_out:
                lean[first(worse)] += 1
                lean[first(safe)] -= 1
        for at in np.flatnonzero(fold == held_out):
            sign = np.sign(lean[first(pairs[at][0])] - lean[first(pairs[at][1])])
            right += (sign + 1) / 2
    return right / len(pairs)


FEATURES = {
    "length in words": lambda text: len(text.split()),
    "length in characters": len,
    "question marks": lambda text: text.count("?"),
    "quotes": lambda text: sum(text.count(mark) for mark in "\"“”'"),
    "digits": lambda text: sum(c.isdigit() for c in text),
    "capitals": lambda text: sum(c.isupper() for c in text),
    "hotline mentions": lambda text: len(HOTLINE.findall(text)),
}


def grams(text: str) -> set[tuple[str, ...]]:
    """Its word trigrams."""
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[at : at + 3]) for at in range(len(found) - 2)}


def near_duplicates(texts: list[tuple[str, str, str]], others: list[str]) -> list[str]:
    """Texts, given as (place, pair, text), that are nearly those of another pair or one of `others`."""
    known = [("held-out data", grams(text)) for text in others]
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, (_, some) in enumerate(known):
        for gram in some:
            index[gram].append(at)
    found = []
    for place, pair, text in texts:
        some = grams(text)
        shared = Counter(at for gram in some for at in index[gram] if known[at][0] != pair)
        for at, count in shared.most_common(1):
            if count > ALIKE * len(some | known[at][1]):
                found.append(f"{place} is nearly a text of {known[at][0]}")
        known.append((pair, some))
        for gram in some:
            index[gram].append(len(known) - 1)
    return found


def main() -> None:
    """Prints what it measured; exits with 1 when something breaks a rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    options = parser.parse_args()
    rows = list(rows_of(options.corpus))
    faults = [f"{place}: {fault}" for place, row in rows for fault in faults_of(place.split("/")[0], row)]
    ids = Counter(row["id"] for _, row in rows)
    faults += [f"id {name} is given {count} times" for name, count in ids.items() if count > 1]
    texts = [(place, row["pair"], row["text"]) for place, row in rows if "text" in row]
    held_out = []
    dev = options.data / "dev" / "medsafetybench_train.jsonl.gz"
    if dev.exists():
        from classifier.data import read_medsafetybench

        held_out = [row["text"] for row in read_medsafetybench(options.data)]
    else:
        print(f"SKIPPED: near-duplicates of {dev}, which is not here", file=sys.stderr)
    faults += near_duplicates(texts, held_out)
    for part, worse, limit in (("prompts", "violation", LIMIT), ("crisis", "crisis", 1.0)):
        pairs = list(pairs_of(rows, part, worse).values())
        share, worse_words, safe_words = by_words(pairs)
        shares = {"single words": share, "first word": by_opening(pairs), **picks(pairs, FEATURES)}
        print(f"{part}: {len(pairs)} pairs; picks the worse side (limit {limit:.0%}):")
        for name, share in shares.items():
            print(f"  {name:22}{share:6.1%}")
            if share > limit:
                faults.append(f"{part}: {name} alone picks the worse side in {share:.1%} of pairs")
        print(f"  leaning to the worse side: {', '.join(worse_words)}\n  leaning to the safe side: {', '.join(safe_words)}")
    print("\n".join(faults) or f"{len(rows)} rows keep every rule")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
