"""Reads the corpus and the shared data into labelled items, and splits them by the hash of their pair."""

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from classifier.encode import render
from classifier.labels import TYPES, types_of

# Words of HarmfulQA's questions that say that harm is wanted; its rows without one are mostly innocent.
HARM = re.compile(
    r"\b(manipulat|exploit|steal|fraud|scam|illegal|forge|counterfeit|fake|falsif|fabricat|plagiar|cheat|hack|malware|"
    r"sabotage|blackmail|brib|deceiv|mislead|misinform|disinform|propaganda|discriminat|hate|harass|bully|racis|sexis|"
    r"terror|weapon|bomb|poison|kill|murder|assault|violen|destroy|damage|spy|launder|traffick|smuggl|evade|bypass|"
    r"take advantage|get away|without (getting|being) caught|tamper|vandal|incite|coerc|groom|stalk|overdose|intimidat)",
    re.IGNORECASE,
)


# What the program decodes before the model sees it: long runs, numbers of characters, escapes.
ENCODED = re.compile(
    r"[A-Za-z0-9+/=_-]{24,}|(?:\b(?:0x)?[0-9a-fA-F]{2}\b[ ,:]*){8,}|(?:[01]{8} ){4}|(?:%[0-9a-fA-F]{2}.*){3}|(?:&#.*){3}|(?:\\[ux][0-9a-f]{2}.*){3}"
)
COMMON = re.compile(r"\b(?:the|a|an|of|to|and|in|is|for|my|me|you|that|with|it|can|what|how|this|do|as|on|i|be|at|so|or|no|not|we)\b", re.I)

# Types that no training and no threshold sees, so that how well unseen kinds of harm are caught is a number.
LEFT_OUT = ("I.6", "II.5", "IV.4", "VI.3", "VII.3", "IX.2")


@dataclass(frozen=True)
class Item:
    """One text to judge, with its labels: 0 or 1, or None where the source does not say.

    `type` is the corpus's word for what a row and its twin are about; `turns` are the roles and texts of a conversation,
    of which `context` is the rendered earlier part. `types` are the places in TYPES that may be the right one: empty for
    none or unknown, several where only the principle is known. `pair` names what is split together; `source` says where it
    comes from.
    """

    side: str
    context: str
    text: str
    pair: str
    source: str
    violation: int
    manipulation: int | None = 0
    crisis: int | None = 0
    refusal: int | None = None
    types: tuple[int, ...] = ()
    weight: float = 1.0
    kind: str = ""
    type: str = ""
    audience: str = ""
    register: str = ""
    turns: tuple[tuple[str, str], ...] = ()


def share(key: str) -> float:
    """A number from 0 to 1 that depends on `key` only."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def split_of(item: Item) -> str:
    """`test` (held out, never used), `validation` (thresholds) or `train`.

    Of our corpus and of general harm 15% and 10%, and the types that are left out; of the benign sources 20% and 10%. A
    benign question and its answer hash alike, so that no answer to a held-out question is trained on.
    """
    if item.type in LEFT_OUT:
        return "test"
    place = share(item.pair)
    held_out = 0.20 if item.source.startswith("benign_") else 0.15
    if place < held_out:
        return "test"
    return "validation" if place < held_out + 0.10 else "train"


def read_gz(path: Path) -> list[dict]:
    """Rows of a gzipped JSON-lines file."""
    with gzip.open(path, "rt", encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def distinct(rows: list[dict], key: str) -> list[dict]:
    """The first row of each text."""
    return list({row[key].strip(): row for row in reversed(rows)}.values())[::-1]


def read_part(corpus: Path, part: str) -> list[dict]:
    """Rows of one part of the corpus, files in the order of their names."""
    rows = []
    for path in sorted((corpus / part).glob("*.jsonl")):
        rows += [json.loads(line) for line in path.read_text(encoding="utf8").splitlines() if line.strip()]
    return rows


def places(row: dict) -> tuple[int, ...]:
    """The type that a violating row teaches; none for manipulation, which is a head of its own."""
    return (TYPES.index(row["type"]),) if row["label"] == "violation" and row["type"] in TYPES else ()


def read_corpus(corpus: Path) -> list[Item]:
    """Everything that was written for this project."""
    items = []
    for row in read_part(corpus, "prompts"):
        violates = int(row["label"] == "violation")
        tricks = int(bool(row.get("manipulation")) or (bool(violates) and row["type"].startswith("M.")))
        # Who asks how to end a life may be asking for themselves: unless it is said, G.2 tells nothing about crisis.
        unknown = violates and row["type"] == "G.2" and "crisis" not in row
        crisis = None if unknown else int(row.get("crisis", False))
        # A text without a twin: blunt or frightened, and harmless.
        source = "plain" if row["type"] == "none" else "corpus_prompts"
        items.append(Item("prompt", "", row["text"], row["pair"], source, violates, tricks, crisis,
                          types=places(row), kind=row["type"], type=row["type"], audience=row.get("audience", ""),
                          register=row.get("register", "")))
    for row in read_part(corpus, "crisis"):
        items.append(Item("prompt", "", row["text"], row["pair"], "corpus_crisis", 0, 0,
                          int(row["label"] == "crisis"), kind=row.get("kind", "")))
    for row in read_part(corpus, "completions"):
        asked = next(m["content"] for m in reversed(row["messages"]) if m["role"] == "user")
        items.append(Item("completion", asked, row["completion"], row.get("group") or row["pair"], "corpus_completions",
                          int(row["label"] == "violation"), None, None, int(row["kind"] in ("refuse", "redirect")),
                          types=places(row), kind=row["kind"], type=row["type"]))
    for row in read_part(corpus, "conversations"):
        *earlier, last = row["messages"]
        violates = int(row["label"] == "violation")
        tricks = int(bool(row.get("manipulation"))) if not violates or row["type"] not in ("M.1", "M.2", "M.3") else 1
        items.append(Item("conversation", render(earlier), last["content"], row.get("pair") or row["group"],
                          "corpus_conversations", violates, tricks if row["type"][0] != "M" else None,
                          int(row["label"] == "crisis"), types=places(row), kind=row["type"], type=row["type"],
                          turns=tuple((m["role"], m["content"]) for m in row["messages"])))
    return items


def read_shared(data: Path) -> list[Item]:
    """The shared training data: benign questions, answers and notes, and general harm."""
    folder, items = data / "train", []
    for row in read_gz(folder / "benign_queries.jsonl.gz"):
        items.append(Item("prompt", "", row["text"], row["text"], "benign_queries", 0, kind=row["source"]))
    # Many answers and notes are the same boilerplate: one of each, so that none is trained on and held out.
    for row in distinct(read_gz(folder / "benign_answers.jsonl.gz"), "completion"):
        items.append(Item("completion", row["text"], row["completion"], row["text"], "benign_answers", 0, None, None, 0,
                          kind=row["source"]))
    for row in distinct(read_gz(folder / "benign_notes.jsonl.gz"), "text"):
        items.append(Item("prompt", "", row["text"], row["text"], "benign_notes", 0, kind=row["source"]))
    for row in read_gz(folder / "general_harm.jsonl.gz"):
        noisy = row["source"] == "HarmfulQA"
        if noisy and not HARM.search(row["text"]):
            continue
        items.append(Item("prompt", "", row["text"], row["text"], "harm_noisy" if noisy else "harm", 1, 0,
                          None if re.search("suicid|self.harm|overdos", row["text"], re.I) else 0,
                          types=types_of("G"), weight=0.4 if noisy else 1.0, kind=row["source"]))
    return items


def is_encoded(text: str) -> bool:
    """Whether a reader must decode it first: it has an encoded run, other letters, or hardly a common word."""
    foreign = sum(ord(letter) > 0x24F and letter.isalpha() for letter in text)
    words = len(text.split())
    return bool(ENCODED.search(text)) or foreign * 20 > len(text) or (words >= 6 and len(COMMON.findall(text)) * 10 < words)


def read_items(data: Path, corpus: Path, split: str) -> list[Item]:
    """All items of one split; of encoded twins, whose sides the model cannot tell apart, only those to be tested."""
    items = [item for item in read_corpus(corpus) + read_shared(data) if split_of(item) == split]
    unreadable = {item.pair for item in items if item.type == "M.4" and is_encoded(item.text)}
    return [item for item in items if split == "test" or item.pair not in unreadable]


def read_medsafetybench(data: Path) -> list[dict]:
    """The paper's training half: for evaluation only, never for training and never for thresholds."""
    return read_gz(data / "dev" / "medsafetybench_train.jsonl.gz")
