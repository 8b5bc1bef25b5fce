"""Trains the early head: what may answer after the first layer where there is surely nothing, so that most questions cost a fifth.

    python -m classifier.early      after classifier.calibrate; writes target/model/early.pt, which classifier.graph then builds in

Two judges must both be sure: one reads the states of the first layer, one the words alone, whatever their order. They learn what the whole
network says, not what the labels say, so that nothing is learnt that it does not know. Beside the corpus they see harmful texts that
are buried in harmless ones, and texts that nobody wrote, cut and crossed: whoever wants to be waved through will do the like.
"""

import argparse
import json
import random
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional

from classifier.batches import Encoded
from classifier.data import Item, read_items
from classifier.encode import WINDOW, Sequence, plain_tokenizer, sequences
from classifier.graph import EARLY, WEIGHTS, as_arrays, floors, write_states
from classifier.hybrids import hybrids, judged, with_judged
from classifier.labels import HEADS, LABELS
from classifier.network import base_folder

LAYERS, WIDTH, WORDS, VOCABULARY = 1, 192, 16, 30522
# Windows of one text that are learnt from; harmful texts that are buried.
MOST, BURIED = 3, 12_000
# How many of what the whole network would stop the judges may call harmless, on validation: the states, and the words, which know less
# and are there so that nobody can aim at the states alone.
MISSED = (0.002, 0.02)
SIDES = {2: "prompt", 3: "conversation", 4: "completion"}


class Judges(nn.Module):
    """Risk and logits by the states, risk by the words: logits [texts, 1 + labels] and [texts, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.states = nn.ModuleDict({"hidden": nn.Linear(width, WIDTH), "output": nn.Linear(WIDTH, 1 + len(LABELS))})
        self.words = nn.ModuleDict({
            "table": nn.Embedding(VOCABULARY, WORDS), "hidden": nn.Linear(2 * WORDS, 2 * WORDS), "output": nn.Linear(2 * WORDS, 1)
        })
        nn.init.normal_(self.words["table"].weight, std=0.05)

    def by_states(self, states: torch.Tensor) -> torch.Tensor:
        inner = functional.dropout(functional.gelu(self.states["hidden"](states)), 0.2, self.training)
        return self.states["output"](inner)

    def by_words(self, ids: torch.Tensor) -> torch.Tensor:
        """Of ids [texts, tokens], 0 behind the end."""
        rows, there = self.words["table"](ids), (ids > 0).unsqueeze(-1)
        mean = (rows * there).sum(1) / there.sum(1)
        peak = rows.masked_fill(~there, -1e4).amax(1)
        inner = functional.dropout(functional.gelu(self.words["hidden"](torch.cat([mean, peak], 1))), 0.1, self.training)
        return self.words["output"](inner)


def rows_of(items: list[Item], rng: random.Random, tokenizer) -> list[Encoded]:
    """Windows of the items, not more than MOST of each."""
    rows = []
    for item in items:
        windows = sequences(tokenizer, item.side, item.context, item.text)
        rows += [(item, window) for window in (windows if len(windows) <= MOST else rng.sample(windows, MOST))]
    return rows


def buried(rows: list[Encoded], rng: random.Random) -> list[Sequence]:
    """Harmful texts with harmless words of the same side before them, behind them, or around them."""
    harmful = [sequence for item, sequence in rows if item.violation]
    harmless = [row for row in rows if row[0].source.startswith("benign") or row[0].source == "plain"]
    by_side = {side: [judged(s) for item, s in harmless if item.side == side] for side in ("prompt", "completion")}
    made = []
    for sequence in rng.choices(harmful, k=BURIED):
        around = by_side["completion" if SIDES[sequence.ids[1]] == "completion" else "prompt"]
        body, place = judged(sequence), rng.random()
        room = max(0, WINDOW - len(body))
        other = rng.choice(around)[:room]
        cut = 0 if place < 0.35 else len(other) if place < 0.7 else rng.randrange(len(other) + 1)
        made.append(with_judged(sequence, (other[:cut] + body + other[cut:])[:WINDOW]))
    return made


def asked(graph: Path, windows: list[Sequence]) -> tuple[np.ndarray, np.ndarray]:
    """States float32 [windows, width] and logits [windows, labels] of the int8 network, as it runs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    states, logits = [], []
    for window in windows:
        inputs = {"input_ids": np.array([window.ids]), "token_type_ids": np.array([window.types])}
        found = session.run(["states", "logits"], inputs)
        states.append(found[0][0].astype(np.float16))
        logits.append(found[1][0])
    return np.stack(states), np.stack(logits)


def risky(windows: list[Sequence], logits: np.ndarray, calibration: dict, thresholds: dict) -> np.ndarray:
    """Which windows the whole network finds something in, by some thresholds; bool [windows]."""
    found = np.zeros(len(windows), bool)
    sides = np.array([SIDES[window.ids[1]] for window in windows])
    for side, heads in calibration.items():
        here = sides == side
        for place, head in enumerate(HEADS[:3]):
            fit = heads[head]
            probability = 1 / (1 + np.exp(-np.clip(fit["scale"] * logits[here, place] + fit["bias"], -60, 60)))
            least = thresholds[side if head == "violation" else head]
            found[here] |= probability >= least
    return found


def padded(windows: list[Sequence]) -> torch.Tensor:
    width = max(len(window.ids) for window in windows)
    return torch.tensor([window.ids + [0] * (width - len(window.ids)) for window in windows])


def learn(judges: Judges, windows: list[Sequence], states: np.ndarray, logits: np.ndarray, risk: np.ndarray, epochs: int) -> None:
    """Fits both judges, on texts of about one length at a time."""
    order = np.argsort([len(window.ids) for window in windows], kind="stable")
    batches = [order[at : at + 256] for at in range(0, len(order), 256)]
    optimizer = torch.optim.AdamW(judges.parameters(), lr=2e-3, weight_decay=0.02)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=epochs * len(batches) + 1)
    judges.train()
    for epoch in range(epochs):
        random.Random(epoch).shuffle(batches)
        total = 0.0
        for batch in batches:
            told = judges.by_states(torch.from_numpy(states[batch].astype(np.float32)))
            worded = judges.by_words(padded([windows[place] for place in batch]))
            wanted, taught = torch.from_numpy(risk[batch].astype(np.float32)), torch.from_numpy(logits[batch])
            loss = functional.binary_cross_entropy_with_logits(told[:, 0], wanted)
            loss = loss + functional.binary_cross_entropy_with_logits(worded[:, 0], wanted)
            loss = loss + 0.05 * functional.mse_loss(told[:, 1 : 1 + len(HEADS)], taught[:, : len(HEADS)])
            loss = loss + 0.1 * functional.kl_div(
                functional.log_softmax(told[:, 1 + len(HEADS) :], 1), functional.softmax(taught[:, len(HEADS) :], 1), reduction="batchmean"
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            plan.step()
            total += loss.item()
        print(f"epoch {epoch}: loss {total / len(batches):.4f}", flush=True)
    judges.eval()


@torch.no_grad()
def risks(judges: Judges, windows: list[Sequence], states: np.ndarray) -> np.ndarray:
    """By states and by words, [windows, 2]."""
    found = []
    for at in range(0, len(windows), 256):
        told = judges.by_states(torch.from_numpy(states[at : at + 256].astype(np.float32)))[:, 0]
        found.append(torch.stack([told, judges.by_words(padded(windows[at : at + 256]))[:, 0]], 1).numpy())
    return np.concatenate(found)


def cuts_of(found: np.ndarray, stopped: np.ndarray) -> list[float]:
    """The risk of each judge below which it is sure: it calls harmless at most MISSED of what the network stops."""
    return [float(np.sort(found[stopped, judge])[int(missed * stopped.sum())]) for judge, missed in enumerate(MISSED)]


def main() -> None:
    """Reads the trained weights, writes the early head beside them, and says what it would wave through."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("target/model"))
    parser.add_argument("--epochs", type=int, default=8)
    options = parser.parse_args()
    torch.manual_seed(1)
    rng = random.Random(1)
    fitted = json.loads((options.out / "calibration.json").read_text(encoding="utf8"))
    calibration, thresholds = fitted["calibration"], fitted["thresholds"]
    states_graph = options.out / "states.onnx"
    write_states(as_arrays(options.out / WEIGHTS), LAYERS, states_graph)
    tokenizer = plain_tokenizer(base_folder() / "tokenizer.json")
    rows = rows_of(read_items(options.data, options.corpus, "train"), rng, tokenizer)
    windows = [sequence for _, sequence in rows] + buried(rows, rng) + hybrids(rng.sample(rows, BURIED), rng)
    print(f"{len(windows)} windows to learn from", flush=True)
    states, logits = asked(states_graph, windows)
    judges = Judges(states.shape[1])
    learn(judges, windows, states, logits, risky(windows, logits, calibration, floors(thresholds)), options.epochs)

    kept = rows_of(read_items(options.data, options.corpus, "validation"), rng, tokenizer)
    hidden = buried(kept, rng)
    sets = {source: [s for item, s in kept if item.source == source] for source in sorted({item.source for item, _ in kept})}
    windows = [window for rows in sets.values() for window in rows]
    states, logits = asked(states_graph, windows)
    stopped, found = risky(windows, logits, calibration, thresholds), risks(judges, windows, states)
    cuts = cuts_of(found, stopped)
    exits = (found < np.array(cuts)).all(1)
    places = np.repeat(np.arange(len(sets)), [len(rows) for rows in sets.values()])
    for place, source in enumerate(sets):
        here = places == place
        print(f"{source}: {exits[here].mean():.3f} answered early, {int((exits & stopped & here).sum())} of {int((stopped & here).sum())} lost")
    states, logits = asked(states_graph, hidden)
    stopped, exits = risky(hidden, logits, calibration, thresholds), (risks(judges, hidden, states) < np.array(cuts)).all(1)
    print(f"buried: {exits.mean():.3f} answered early, {int((exits & stopped).sum())} of {int(stopped.sum())} lost")
    weights = {name: value for name, value in judges.state_dict().items()}
    torch.save({"weights": weights, "layers": LAYERS, "cuts": cuts}, options.out / EARLY)


if __name__ == "__main__":
    main()
