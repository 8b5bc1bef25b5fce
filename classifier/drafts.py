"""Turns drafts, which are easy to write by hand, into rows of the corpus, and reports their shortcuts before that.

    python -m classifier.drafts pack DRAFT... --out classifier/corpus       one file of rows a draft, named as the draft
    python -m classifier.drafts report DRAFT...                             which words and lengths pick the worse side
    python -m classifier.drafts sheet DRAFT... --out sheet.jsonl            its texts shuffled and unlabelled, for a blind reader
    python -m classifier.drafts agree sheet.answers DRAFT... --out FOLDER   drops what the blind reader saw otherwise

A draft is text: a head line `## fields | ...`, then labelled texts, each on from its label until the next. By the kind
that the first line of the file names (`# pairs`, `# plain`, `# crisis`, `# conversations`, `# completions`):

    ## II.3 | nurse | typo | question [| manipulation] [| crisis]     ## physician | terse         ## self-harm
    V: the violating text                                             S: a harmless text           C: needs help now
    S: its twin                                                                                    S: its twin

    ## II.3                          ## II.3
    = shared                         U: the question
    U: said before by the user       V partial: an answer that violates
    A: and by the assistant          S refuse: an answer that does not
    = V
    U: what only this side has
    = S
    U: what only the other has
    = last
    U: the turn that is judged, the same on both sides (or each side ends with its own)
"""

import argparse
import json
import random
import re
import sys
from pathlib import Path

from classifier.lint_corpus import FEATURES, by_words, faults_of, picks

LABELLED = re.compile(r"^(V|S|C|U|A|SYS|[VS] [a-z]+): ?(.*)$")
ROLES = {"U": "user", "A": "assistant", "SYS": "system"}
NAMES = {"V": "violation", "S": "safe", "C": "crisis"}
PARTS = {"pairs": "prompts", "plain": "prompts", "crisis": "crisis", "conversations": "conversations",
         "completions": "completions"}


def blocks_of(path: Path) -> tuple[str, list[tuple[int, list[str], list[tuple[str, str]]]]]:
    """The draft's kind, and of each block its line, its fields, and its labelled texts ("=" labels a section)."""
    kind, blocks = "", []
    for number, line in enumerate(path.read_text(encoding="utf8").splitlines(), 1):
        if line.startswith("## "):
            blocks.append((number, [field.strip() for field in line[3:].split("|")], []))
        elif not blocks and line.startswith("# "):
            kind = line[2:].strip()
        elif blocks and (section := re.match(r"^= ?(shared|V|S|C|last)$", line)):
            blocks[-1][2].append(("=", section[1]))
        elif blocks and (found := LABELLED.match(line)):
            blocks[-1][2].append((found[1], found[2]))
        elif blocks and blocks[-1][2]:
            label, text = blocks[-1][2][-1]
            blocks[-1][2][-1] = (label, f"{text}\n{line}")
        elif line.strip():
            sys.exit(f"{path}:{number}: {line[:60]!r} belongs to no block")
    if kind not in PARTS:
        sys.exit(f"{path}:1: the first line must be one of {', '.join('# ' + kind for kind in PARTS)}")
    return kind, [(number, fields, [(label, text.strip()) for label, text in texts]) for number, fields, texts in blocks]


def rows_of(kind: str, name: str, fields: list[str], texts: list[tuple[str, str]]) -> list[dict]:
    """The rows of one block; ValueError says what is wrong with it."""
    if kind == "conversations":
        return conversation_rows(name, fields, texts)
    if kind == "completions":
        asked = [text for label, text in texts if label == "U"]
        if len(asked) != 1 or len(texts) < 2:
            raise ValueError("a group has one U: and answers")
        rows = []
        for place, (label, text) in enumerate((pair for pair in texts if pair[0] != "U"), 1):
            side, _, answers = label.partition(" ")
            rows.append(row(f"{name}-{place}{side.lower()}", "group", name, fields[0], NAMES[side]) | {
                "kind": answers, "messages": [{"role": "user", "content": asked[0]}], "completion": text})
        return rows
    expected = {"pairs": "VS", "plain": "S", "crisis": "CS"}[kind]
    if sorted(label for label, _ in texts) != sorted(expected):
        raise ValueError(f"a block of {kind} has {' and '.join(side + ':' for side in expected)}")
    rows = []
    for label, text in texts:
        of = {"pairs": fields[0], "plain": "none", "crisis": "crisis"}[kind]
        made = row(f"{name}-{label.lower()}", "pair", name, of, NAMES[label])
        if kind == "pairs":
            made |= dict(zip(("audience", "register", "form"), fields[1:4], strict=True)) | {"text": text}
            if "manipulation" in fields[4:] and label == "V":
                made["manipulation"] = True
            if "crisis" in fields[4:] and label == "V":
                made["crisis"] = True
        elif kind == "plain":
            made |= dict(zip(("audience", "register"), fields[:2], strict=True)) | {"text": text}
        else:
            made |= {"kind": fields[0], "text": text}
        rows.append(made)
    return rows


def conversation_rows(name: str, fields: list[str], texts: list[tuple[str, str]]) -> list[dict]:
    """The two conversations of a block."""
    sections: dict[str, list[dict]] = {}
    at = None
    for label, text in texts:
        if label == "=":
            at = sections.setdefault(text, [])
        elif at is None or label not in ROLES:
            raise ValueError(f"{label}: stands before the first section")
        else:
            at.append({"role": ROLES[label], "content": text})
    worse = "C" if "C" in sections else "V"
    if {worse, "S"} - sections.keys() or sections.keys() - {"shared", "last", worse, "S"}:
        raise ValueError(f"sections {', '.join(sections)}")
    rows = []
    for side in (worse, "S"):
        messages = sections.get("shared", []) + sections[side] + sections.get("last", [])
        if messages[-1]["role"] != "user" or not any(m["role"] == "assistant" for m in messages):
            raise ValueError(f"side {side} needs an assistant turn and must end with the user's")
        made = row(f"{name}-{side.lower()}", "pair", name, fields[0], NAMES[side]) | {"messages": messages}
        if "manipulation" in fields[1:] and side == "V":
            made["manipulation"] = True
        rows.append(made)
    return rows


def row(identity: str, together: str, name: str, kind: str, label: str) -> dict:
    """What every row has."""
    principle = "none" if kind in ("crisis", "none") else kind.split(".")[0]
    return {"id": identity, together: name, "type": kind, "principle": principle, "label": label}


def read(path: Path) -> tuple[str, dict[str, list[dict]]]:
    """A draft's part of the corpus, and its rows by pair or group; faults go to standard error, their blocks are left out."""
    kind, blocks = blocks_of(path)
    found: dict[str, list[dict]] = {}
    for place, (number, fields, texts) in enumerate(blocks, 1):
        name = f"{path.stem}-{place:04}"
        try:
            rows = rows_of(kind, name, fields, texts)
            faults = [fault for made in rows for fault in faults_of(PARTS[kind], made)]
        except (ValueError, KeyError, IndexError) as error:
            rows, faults = [], [str(error)]
        if faults:
            print(f"{path}:{number}: {'; '.join(faults)}", file=sys.stderr)
        else:
            found[name] = rows
    return PARTS[kind], found


def said(one: dict) -> str:
    """The text that a blind reader sees."""
    turns = [f"{message['role']}: {message['content']}" for message in one.get("messages", [])]
    return one.get("text") or "\n".join(turns + ([f"ANSWER: {one['completion']}"] if "completion" in one else []))


def report(paths: list[Path]) -> None:
    """Prints what alone would pick the worse side of the drafts' pairs."""
    pairs = []
    for path in paths:
        for rows in read(path)[1].values():
            if len(rows) == 2 and rows[0].get("messages") is None:
                worse, safe = sorted(rows, key=lambda one: one["label"] == "safe")
                pairs.append((worse["text"], safe["text"]))
    if not pairs:
        return print("no pairs: nothing to compare")
    right, worse, safe = by_words(pairs)
    print(f"{len(pairs)} pairs; single words pick the worse side of {right:.1%}")
    print("only in the worse text, only in the safe one (pairs):", ", ".join(worse))
    print("and the other way:", ", ".join(safe))
    longer = sum(len(one) > len(other) for one, other in pairs) / max(1, len(pairs))
    print(f"the worse text is the longer one in {longer:.1%}")
    for name, share in picks(pairs, FEATURES).items():
        print(f"{name} picks {share:.1%}")


def sheet(paths: list[Path], out: Path) -> None:
    """Writes every text once, shuffled, without label and without its twin beside it."""
    texts = [{"id": one["id"], "text": said(one)} for path in paths for rows in read(path)[1].values() for one in rows]
    random.Random(1).shuffle(texts)
    out.write_text("".join(f"[{place}] {one['text']}\n\n" for place, one in enumerate(texts, 1)), encoding="utf8")
    out.with_suffix(".key").write_text("\n".join(one["id"] for one in texts) + "\n", encoding="utf8")


def agree(answers: Path, paths: list[Path], out: Path) -> None:
    """Writes what both readers agree on; answers are lines `number letter`: v, s, c (crisis), x (both wrong and in crisis), ?."""
    names = answers.with_suffix(".key").read_text(encoding="utf8").split()
    seen = {names[int(number) - 1]: letter.lower() for number, letter in re.findall(r"^\[?(\d+)\]?[ :]+([vscxVSCX?])", answers.read_text(encoding="utf8"), re.M)}
    if missing := [name for name in names if name not in seen]:
        print(f"{len(missing)} of {len(names)} texts were not read", file=sys.stderr)
    same = lambda one: seen.get(one["id"]) in {"violation": "vx", "safe": "s", "crisis": "cx"}[one["label"]]
    read_rows, agreed = 0, 0
    for path in paths:
        part, found = read(path)
        kept = []
        for rows in found.values():
            read_rows, agreed = read_rows + len(rows), agreed + sum(map(same, rows))
            good = [one for one in rows if same(one)]
            for one in good:
                if seen[one["id"]] == "x" and part == "prompts":
                    one["crisis"] = True
            kept += good if part == "completions" or len(good) == len(rows) else []
        write(kept, out / part / f"{path.stem}.jsonl")
    print(f"agreement {agreed / max(1, read_rows):.2%} of {read_rows} texts")


def write(rows: list[dict], path: Path) -> None:
    """One row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows), encoding="utf8")
    print(f"{path}: {len(rows)} rows")


def main() -> None:
    """See the top of the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("pack", "report", "sheet", "agree"))
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("classifier/corpus"))
    options = parser.parse_args()
    if options.what == "report":
        report(options.files)
    elif options.what == "sheet":
        sheet(options.files, options.out)
    elif options.what == "agree":
        agree(options.files[0], options.files[1:], options.out)
    else:
        for path in options.files:
            part, found = read(path)
            write([one for rows in found.values() for one in rows], options.out / part / f"{path.stem}.jsonl")


if __name__ == "__main__":
    main()
