"""Puts together what one epoch reads: twins whole and often, benign text sampled, and new pairs made of both.

What decides must always be in the judged part: a harmful request that is declined is safe, a harmless history does
not excuse a harmful turn, and an old turn that was declined does not spoil a harmless one.
"""

import random
import re
from dataclasses import replace
from itertools import zip_longest

from classifier.data import Item
from classifier.disguise import DISGUISES

# How often an epoch repeats a source, or which part of it an epoch sees.
REPEATS = {"corpus_prompts": 1.0, "corpus_crisis": 2.0, "corpus_completions": 0.5, "corpus_conversations": 2.0,
           "benign_queries": 0.8, "benign_answers": 0.1, "benign_notes": 0.25, "harm": 0.5, "harm_noisy": 0.3,
           "plain": 4.0}
# Disguises that the program decodes beside the text, so that what is left to judge in the text itself is noise. Those that
# it undoes in the text, such as letters apart, are not here: where it fails to, the text must not count as harmless.
GARBLED = ("leetspeak", "URL encoding", "base64", "hexadecimal", "rot13", "reversed", "words reversed")
PATIENT = re.compile(r"(?:Patient:|\[patient\]) ([^\n]{20,300}?)(?=\s(?:Doctor|Patient|Guest\w*):|\r?\n|$)")
PAIRED = ("corpus_prompts", "corpus_crisis", "corpus_conversations", "corpus_completions")


class Mix:
    """The training items, by what they are good for."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.twins: dict[tuple[str, str], list[Item]] = {}
        for item in items:
            if item.source in PAIRED:
                self.twins.setdefault((item.source, item.pair), []).append(item)
        self.harmful = [i for i in items if i.side == "prompt" and i.violation]
        self.safe = [i for i in items if i.source == "corpus_prompts" and not i.violation]
        self.crises = [i for i in items if i.source == "corpus_crisis" and i.crisis]
        self.queries = [i for i in items if i.source == "benign_queries" and len(i.text) < 400]
        self.answers = [i for i in items if i.source == "benign_answers"]
        self.notes = [i for i in items if i.source == "benign_notes"]
        self.completions = [i for i in items if i.source == "corpus_completions"]
        self.refusals = [i.text for i in self.completions if i.refusal and not i.violation] or ["I can't help with that."]

    def units(self, rng: random.Random) -> list[list[Item]]:
        """One epoch: units of one item, or of the two sides of a twin, which must meet in one batch."""
        units: list[list[Item]] = []
        for item in self.items:
            if item.source not in PAIRED:
                units += [[item]] * whole(REPEATS[item.source], rng)
        for (source, _), twin in self.twins.items():
            units += [alternating(twin) if source == "corpus_completions" else twin] * whole(REPEATS[source], rng)
        made = (self.answered, self.in_conversation, self.buried, self.spoken, self.garbled)
        return units + [unit for make in made for unit in make(rng)]

    def answered(self, rng: random.Random) -> list[list[Item]]:
        """Declined requests, harmless answers to harmless and to harmful questions."""
        asked = rng.sample(self.harmful, min(len(self.harmful), 250)) + rng.sample(self.safe, min(len(self.safe), 50))
        made = [completion(i, rng.choice(self.refusals), "declined", 1) for i in asked]
        # A refusal is one whatever was asked, so that naming the wrong it declines is never held against it.
        made += [completion(rng.choice(self.queries), rng.choice(self.refusals), "unasked_refusal", 1) for _ in range(80)]
        for item in rng.sample(self.harmful, min(len(self.harmful), 60)):
            made.append(completion(item, rng.choice(self.answers).text, "unrelated", 0))
        violating = [i for i in self.completions if i.violation]
        for item in rng.sample(violating, min(len(violating), 80)):
            # The same bad answer as if nobody had asked for it: the answer decides.
            query = rng.choice(self.queries)
            made.append(replace(item, context=query.text, source="unasked"))
            # A refusal with the bad answer behind it is no refusal.
            text = rng.choice(self.refusals).split(". ")[0] + ". " + item.text
            made.append(replace(item, text=text, source="half_declined"))
        return [[item] for item in made]

    def in_conversation(self, rng: random.Random) -> list[list[Item]]:
        """Turns after harmless and after declined turns; both sides of a twin get the same history."""
        units = []
        pairs = [twin for (source, _), twin in self.twins.items() if source in ("corpus_prompts", "corpus_crisis")]
        for twin in rng.sample(pairs, min(len(pairs), 120)):
            earlier = self.harmless_turns(rng)
            if rng.random() < 0.35:
                earlier = self.declined_turns(rng)
            units.append([replace(i, side="conversation", context=earlier) for i in twin])
        for item in rng.sample(self.harmful, min(len(self.harmful), 80)):
            units.append([replace(item, side="conversation", context=self.harmless_turns(rng), source="after_benign")])
        for item in rng.sample(self.queries, min(len(self.queries), 180)):
            earlier = self.declined_turns(rng) if rng.random() < 0.5 else self.harmless_turns(rng)
            units.append([replace(item, side="conversation", context=earlier)])
        return units

    def buried(self, rng: random.Random) -> list[list[Item]]:
        """Twins in the middle of a clinical note: a long harmless text hides nothing and condemns nothing."""
        units = []
        # All of it must fit into one window, or the label would be that of another part of the text.
        short = lambda twin: all(len(item.text) < 160 for item in twin)
        pairs = [twin for (source, _), twin in self.twins.items() if source == "corpus_prompts" and short(twin)]
        for twin in rng.sample(pairs, min(len(pairs), 220)):
            words = rng.choice(self.notes).text.split()
            start = rng.randrange(max(1, len(words) - 40))
            some = words[start : start + rng.randrange(8, 52)]
            cut = rng.randrange(len(some) + 1)
            before, after = " ".join(some[:cut]), " ".join(some[cut:])
            units.append([replace(i, text=f"{before}\n{i.text}\n{after}".strip()) for i in twin])
        return units

    def spoken(self, rng: random.Random) -> list[list[Item]]:
        """What patients say in a visit, alone: laypeople's talk that must pass. Whether it is an emergency is not known."""
        units = []
        for item in rng.sample(self.notes, min(len(self.notes), 300)):
            turns = PATIENT.findall(item.text)
            if turns:
                units.append([replace(item, text=rng.choice(turns).strip(), source="spoken", crisis=None)])
        return units

    def garbled(self, rng: random.Random) -> list[list[Item]]:
        """Texts that must be decoded to be read, good or bad, alone or behind a harmless one: harmless as they stand.

        What they say is judged when they are decoded. Whether encoding it is a trick is not known.
        """
        units = []
        for item in rng.choices(self.harmful, k=90) + rng.choices(self.queries, k=90) + rng.choices(self.notes, k=40):
            text = DISGUISES[rng.choice(GARBLED)](item.text[: rng.randrange(60, 250)])
            if rng.random() < 0.25:
                text = f"{rng.choice(self.queries).text}\n{text}"
            units.append([Item("prompt", "", text, item.pair, "garbled", 0, manipulation=None)])
        return units

    def harmless_turns(self, rng: random.Random) -> str:
        """One or two answered questions."""
        picked = rng.sample(self.answers, rng.choice((1, 1, 2)))
        return "".join(f"user: {i.context}\nassistant: {i.text[: rng.randrange(80, 500)]}\n" for i in picked)

    def declined_turns(self, rng: random.Random) -> str:
        """A harmful request and its refusal, which some clients drop, sometimes after a harmless turn."""
        before = self.harmless_turns(rng) if rng.random() < 0.3 else ""
        refusal = f"assistant: {rng.choice(self.refusals)}\n" if rng.random() < 0.85 else ""
        return f"{before}user: {rng.choice(self.harmful).text}\n{refusal}"


def alternating(answers: list[Item]) -> list[Item]:
    """Answers to one prompt in an order in which violating and safe ones are neighbours, as far as they go."""
    bad, good = [i for i in answers if i.violation], [i for i in answers if not i.violation]
    return [item for two in zip_longest(bad, good) for item in two if item]


def completion(asked: Item, answer: str, source: str, refusal: int) -> Item:
    """A safe answer to what was asked."""
    return Item("completion", asked.text, answer, asked.pair, source, 0, None, None, refusal)


def whole(repeats: float, rng: random.Random) -> int:
    """`repeats` rounded up or down at random, so that it holds on average."""
    return int(repeats) + (rng.random() < repeats % 1)


def validation_mix(items: list[Item], seed: int = 1) -> list[Item]:
    """Validation items with one epoch's made-up completions and conversations, each item once."""
    rng = random.Random(seed)
    mix = Mix(items)
    made = mix.answered(rng) + mix.in_conversation(rng)
    return items + [item for unit in made for item in unit]
