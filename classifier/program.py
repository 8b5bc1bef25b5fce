"""Has the built program judge items, as a user would: `nonnocere check --jsonl`."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.data import Item
from classifier.labels import HEADS

STOPPED = ("block", "escalate")


@dataclass(frozen=True)
class Judged:
    """Items with their probabilities [items, heads], their likeliest principles and what the policy does with them."""

    items: list[Item]
    scores: np.ndarray
    principles: list[str]
    actions: list[str]

    def did(self, *actions: str) -> np.ndarray:
        """Which items any of `actions` was the answer to."""
        return np.array([action in actions for action in self.actions], dtype=bool)

    def stopped(self) -> np.ndarray:
        """Which items do not pass."""
        return self.did(*STOPPED)

    def violation(self) -> np.ndarray:
        """The probability of a violation."""
        return self.scores[:, 0]

    def where(self, keep: list[bool] | np.ndarray) -> "Judged":
        """The items that `keep` marks."""
        at = np.flatnonzero(np.asarray(keep, dtype=bool))
        pick = lambda values: [values[place] for place in at]
        return Judged(pick(self.items), self.scores[at], pick(self.principles), pick(self.actions))


@dataclass(frozen=True)
class Program:
    """The binary, with the policy and the model that it is to use in place of the embedded ones."""

    path: Path
    policy: Path | None = None
    model: Path | None = None

    def judge(self, items: list[Item]) -> Judged:
        """Judges `items` in one run, in their order."""
        asked = "".join(json.dumps(request(place, item)) + "\n" for place, item in enumerate(items))
        settings = {"NONNOCERE_GUARD__MODEL": str(self.model.resolve())} if self.model else {}
        command = [str(self.path), "check", "--jsonl"] + (["--policy", str(self.policy)] if self.policy else [])
        answer = subprocess.run(
            command, input=asked, capture_output=True, text=True, check=False, env=os.environ | settings
        )
        rows = [json.loads(line) for line in answer.stdout.splitlines()]
        wrong = [row["error"] for row in rows if "error" in row]
        if answer.returncode or wrong or len(rows) != len(items):
            raise SystemExit(f"{' '.join(command)} failed: {answer.stderr or wrong[:3]}")
        scores = np.array([[row["scores"][head] for head in HEADS] for row in rows]).reshape(-1, len(HEADS))
        likeliest = lambda shares: max(shares, key=shares.get)
        principles = [likeliest(row["scores"]["principles"]) for row in rows]
        return Judged(items, scores, principles, [row["action"] for row in rows])


def request(place: int, item: Item) -> dict:
    """One line of the program's input."""
    if item.side == "prompt":
        return {"id": place, "prompt": item.text}
    if item.side == "completion":
        return {"id": place, "messages": [{"role": "user", "content": item.context}], "completion": item.text}
    return {"id": place, "messages": [{"role": role, "content": text} for role, text in item.turns]}
