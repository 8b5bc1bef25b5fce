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

EARLY = """
Most plain questions are answered after the first of the six layers, where two judges are sure that there is nothing: one of that layer's states, one of the words
alone, both taught by what the whole network says (`classifier/early.py`). Of validation, 75% of real questions are answered so, and none of 2,273 windows that the whole
network stops; of harmful texts buried in harmless ones 7 of 1,719. All figures below are of the program as it runs, with early answers.
"""

TRAINING = """Two teachers and three students were trained on the same texts, and three students' weights averaged:

- The teachers are all-mpnet-base-v2 encoders (12 layers, 768 wide, 85 million parameters in the layers), fine-tuned on the corpus and the
  data below. They do not ship.
- One student learnt from the labels alone. One learnt from the labels and from the mean of the teachers' logits on the same texts. One
  learnt, half as much from labels, from what the teachers say of texts that nobody labelled too: twins crossed with one another, texts
  cut, mixed with words of others, or with words hidden.
- The students began between the base (0.4) and the fifth model (0.6). What ships is 0.4 of the third, 0.35 of the second and 0.25 of
  the first.
- These weights were made by a script that `make model` has taken over since; it draws other batches, so that it makes a model like this one,
  not this one.

AUC on validation, before weights are rounded to int8 (the first three by violation, the last by crisis). Shares and students were chosen by these figures,
so that they flatter; those of the test split are below.

| | near twins | completions | conversations | crisis |
|---|---|---|---|---|
| fifth model | 0.859 | 0.951 | 0.762 | 0.908 |
| student, labels alone | 0.872 | 0.948 | 0.790 | 0.919 |
| student, labels and teachers | 0.877 | 0.958 | 0.779 | 0.917 |
| student, unlabelled texts too | 0.878 | 0.952 | 0.770 | 0.922 |
| their average, which ships | 0.885 | 0.956 | 0.796 | 0.923 |
| the two teachers together | 0.925 | 0.968 | 0.834 | 0.958 |"""

LIMITS = """- Near twins (a request and a legitimate one in nearly the same words) are the hard part; the table says how hard. Some
  legitimate questions about wrongdoing are stopped, and some politely worded violations pass.
- The thresholds of the default policy are those that validation suggests (10% of the benign queries and of the corpus), by budgets that
  were set before: 0.3% of real questions and answers, 5% of our own blunt messages, 3% of refusals and quotations, 3% of blunt messages
  helped. The last was 1% until a first measurement on the test split; nothing else was changed after it. The test split grew with the corpus, so that its figures cannot be held against those of an earlier model's card.
- The small encoder is a limit now, not only the corpus: fine-tuned on the same texts, an encoder of twelve layers tells near twins
  of validation apart with an AUC of 0.92 (two of them together 0.925), this one with 0.885.
- The corpus was written by few writers, and its test part by the same ones: other writers' texts will be harder.
- Benign data are exam, research and encyclopedic questions, and messages of laypeople that we wrote ourselves.
- The principle is for reports; the labels behind it are its writers' choice.
- English only. What is encoded is decoded before the model; images and other languages are not judged by it.
- Training reads the same disguises that are measured here: the figures say less about disguises that it has not seen."""


def write_card(folder: Path, manifest: dict, lines: list[Line]) -> None:
    """The card of the model in `folder`; every figure is of that very file."""
    rows = "\n".join(f"| {line.name} | {line.items} | {line.figure} | {line.target} |" for line in lines)
    sources = "\n".join(f"- {source['name']}: {source['licence']}" for source in manifest["sources"])
    limits = ", ".join(f"{name} {value}" for name, value in manifest["thresholds"].items())
    text = f"""# {manifest['name']} {manifest['version']}

<!-- Written by classifier/evaluate.py; changes by hand are lost. -->

{USE}

A {manifest['base']} encoder (6 layers, 384 wide), fine-tuned with the help of larger ones, with int8 weights; windows of {manifest['window']} tokens that overlap by
{manifest['overlap']}. `model.onnx` has SHA-256 `{manifest['files']['model.onnx']}`.
{EARLY if 'floors' in manifest else ''}
## Training

{TRAINING}

## Figures

Of the int8 file above inside the program (`nonnocere check --jsonl`) with the default policy, on texts that no weight
or threshold saw. Intervals are 95%: bootstrap by pair for AUC and recall at a budget, Wilson for rates. "Stopped" means refused or
given help instead of an answer. Thresholds, from validation: {limits}.

| what | items | figure | aim |
|---|---|---|---|
{rows}

![Reliability diagram](reliability.svg)

How often texts of each probability do violate, of the corpus's test split and held-out benign texts; larger dots are more texts.

## Limits

{LIMITS}

## Made of

{sources}
"""
    (folder / "MODEL_CARD.md").write_text(text, encoding="utf8")
