"""Judges whole texts as the Rust side does: every window alone, the worst of each head, the type of the worst window."""

from pathlib import Path
from typing import Callable, Iterable

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from classifier.data import Item
from classifier.encode import Sequence, sequences
from classifier.labels import HEADS

# From one sequence to its logits, float32 [labels].
Model = Callable[[Sequence], np.ndarray]


def onnx_model(path: Path, threads: int = 2) -> Model:
    """An exported graph. One sequence a run: int8 activations are scaled over a batch, so neighbours would interfere."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    read = {found.name for found in session.get_inputs()}

    def run(sequence: Sequence) -> np.ndarray:
        ids = np.array([sequence.ids], dtype=np.int64)
        types = np.array([sequence.types], dtype=np.int64)
        # All of the network is asked, whatever its first layers say.
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types, "may_exit": np.array([False])}
        return session.run(["logits"], {name: value for name, value in inputs.items() if name in read})[0][0]

    return run


def worst(logits: np.ndarray) -> np.ndarray:
    """Logits [windows, labels] to [labels]: the maximum of each head, the types of the most violating window."""
    row = logits[logits[:, 0].argmax()].copy()
    row[: len(HEADS)] = logits[:, : len(HEADS)].max(axis=0)
    return row


def judge(model: Model, tokenizer: Tokenizer, items: Iterable[Item]) -> np.ndarray:
    """Logits of whole texts, float32 [items, labels]."""
    rows = []
    for item in items:
        windows = sequences(tokenizer, item.side, item.context, item.text)
        rows.append(worst(np.stack([model(window) for window in windows])))
    return np.stack(rows)
