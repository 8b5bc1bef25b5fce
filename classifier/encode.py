"""Token sequences as the model reads them: the same composition and windows as src/classify/window.rs."""

import json
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

CLS, SEP, MASK, PAD = 101, 102, 103, 0
WINDOW, OVERLAP, CONTEXT = 128, 32, 128
# BERT's [unused1..3] are never the ids of a text, so they are free to say which side is judged.
MARKERS = {"prompt": 2, "conversation": 3, "completion": 4}


@dataclass(frozen=True)
class Sequence:
    """`ids` and `types` have one length: token ids, and 0 or 1 for the first or second segment."""

    ids: list[int]
    types: list[int]


def plain_tokenizer(path: Path) -> Tokenizer:
    """The base's WordPiece without truncation, padding and special tokens.

    Windows are cut here, so that no text is lost; and a caller who writes `[SEP]` gets five ordinary tokens, not a
    segment of their own.
    """
    settings = json.loads(path.read_text(encoding="utf8"))
    settings.update(truncation=None, padding=None, post_processor=None, added_tokens=[])
    return Tokenizer.from_str(json.dumps(settings, ensure_ascii=False))


def tokenize(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of a text, without special tokens."""
    return tokenizer.encode(text, add_special_tokens=False).ids


def cut(ids: list[int], size: int = WINDOW, overlap: int = OVERLAP) -> list[list[int]]:
    """Windows of at most `size` ids, each sharing `overlap` ids with the one before; at least one."""
    windows = []
    while True:
        windows.append(ids[:size])
        if len(ids) <= size:
            return windows
        ids = ids[size - overlap :]


def head_and_tail(ids: list[int], limit: int = CONTEXT) -> list[int]:
    """The ids, or their first and last halves of `limit` when there are more."""
    return ids if len(ids) <= limit else ids[: limit // 2] + ids[-(limit // 2) :]


def sequences(tokenizer: Tokenizer, side: str, context: str, text: str) -> list[Sequence]:
    """The sequences that together cover what is judged.

    `text` is the prompt, the last user turn or the completion; `context` is the earlier turns of a conversation or the
    prompt of a completion, and empty for a prompt.
    """
    marker = MARKERS[side]
    judged = tokenize(tokenizer, text)
    if side == "prompt":
        return [alone(marker, window) for window in cut(judged)]
    beside = tokenize(tokenizer, context)
    if side == "conversation":
        turn = head_and_tail(judged)
        return [pair(marker, window, turn) for window in cut(beside)]
    prompt = head_and_tail(beside)
    return [pair(marker, prompt, window) for window in cut(judged)]


def alone(marker: int, text: list[int]) -> Sequence:
    """`[CLS] marker text [SEP]`, all of segment 0."""
    ids = [CLS, marker, *text, SEP]
    return Sequence(ids, [0] * len(ids))


def pair(marker: int, first: list[int], second: list[int]) -> Sequence:
    """`[CLS] marker first [SEP] second [SEP]`: segment 0 up to the first separator, then 1."""
    ids = [CLS, marker, *first, SEP, *second, SEP]
    head = len(first) + 3
    return Sequence(ids, [0] * head + [1] * (len(ids) - head))


def render(messages: list[dict]) -> str:
    """Earlier turns as the model reads them: `role: text`, a line each, system turns left out."""
    spoken = (m for m in messages if m["role"] in ("user", "assistant"))
    return "".join(f"{m['role']}: {m['content']}\n" for m in spoken)
