"""Writes MODEL_CARD.md: what the model is for, what it was made of, how well it does, and what it cannot do."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Line:
    """One figure: of how many items, its value with a 95% interval, and what was aimed at."""

    name: str
    items: int
    figure: str
    target: str = ""


USE = """It judges requests to and answers of a clinical chatbot against the nine AMA Principles of Medical Ethics. It is made for
English text. It is one signal that a policy decides on, not a decision, and no medical device."""

LIMITS = """- Near twins (a request and a legitimate one in nearly the same words) are the hard part; the table says how hard. At the
  suggested thresholds, some legitimate questions about wrongdoing are stopped, and some politely worded violations pass.
- Thresholds are suggestions chosen on validation (10% of the benign queries and of the corpus): of those that stop at most 0.3% of
  benign validation texts, the one that separates near twins best. MedSafetyBench was used for neither weights nor thresholds.
- Figures on our corpus come from the writers of its training part; other writers' texts will be harder.
- Benign figures are on exam, research and encyclopedic questions. Blunt or frightened messages of laypeople are rarer in the data.
- The principle is for reports; the labels behind it are one writer's choice.
- Other languages, images and encodings are not seen by this model."""


def write_card(folder: Path, manifest: dict, lines: list[Line]) -> None:
    """The card of the model in `folder`; every figure is of that very file."""
    rows = "\n".join(f"| {line.name} | {line.items} | {line.figure} | {line.target} |" for line in lines)
    sources = "\n".join(f"- {source['name']}: {source['licence']}" for source in manifest["sources"])
    limits = ", ".join(f"{name} {value}" for name, value in manifest["thresholds"].items())
    text = f"""# {manifest['name']} {manifest['version']}

<!-- Written by classifier/evaluate.py; changes by hand are lost. -->

{USE}

A {manifest['base']} encoder (6 layers, 384 wide), fine-tuned, with int8 weights; windows of {manifest['window']} tokens that overlap by
{manifest['overlap']}. `model.onnx` has SHA-256 `{manifest['files']['model.onnx']}`.

## Figures

Of the int8 file above, on texts that no weight and no threshold saw. Intervals are 95%: bootstrap by pair for AUC, Wilson for
rates. Suggested thresholds: {limits}. "Stopped" means over the violation threshold or, on prompts, the crisis threshold.

| what | items | figure | aim |
|---|---|---|---|
{rows}

## Limits

{LIMITS}

## Made of

{sources}
"""
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf8")
