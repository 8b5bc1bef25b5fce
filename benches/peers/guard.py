"""The judgement that all peers are given: our model, our tokenizer, the composition that our program uses, thresholds as it ships."""

import json
import math
import os
from pathlib import Path

from classifier.encode import plain_tokenizer, sequences
from classifier.judge import onnx_model

MODEL = Path(os.environ.get("MODEL", Path(__file__).parents[2] / "classifier/model"))


class Guard:
    """Judges a text by all of its windows, on one thread as the core is one."""

    def __init__(self) -> None:
        manifest = json.loads((MODEL / "manifest.json").read_text(encoding="utf8"))
        self.thresholds, self.calibration = manifest["thresholds"], manifest["calibration"]
        self.tokenizer = plain_tokenizer(MODEL / "tokenizer.json")
        self.model = onnx_model(MODEL / "model.onnx", threads=1)

    def violates(self, side: str, context: str, text: str) -> bool:
        """Whether a window's calibrated violation reaches the threshold of its side."""
        scale, bias = (self.calibration[side]["violation"][key] for key in ("scale", "bias"))
        windows = sequences(self.tokenizer, side, context, text)
        logit = max(float(self.model(window)[0]) for window in windows)
        return 1 / (1 + math.exp(-(scale * logit + bias))) >= self.thresholds[side]

    def refuses_prompt(self, prompt: str) -> bool:
        """A prompt alone."""
        return self.violates("prompt", "", prompt)

    def refuses_completion(self, prompt: str, completion: str) -> bool:
        """An answer to its prompt."""
        return self.violates("completion", prompt, completion)


REFUSAL = "I can't help with that."


def last_user_turn(messages: list[dict]) -> str:
    """What the user said last."""
    return next((m["content"] for m in reversed(messages) if m["role"] == "user"), "")
