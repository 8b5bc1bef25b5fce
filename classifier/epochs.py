"""Epochs of batches, made while the network learns from the one before: a GPU would wait for a tokenizer."""

import random
from collections import deque
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.pool import Pool
from typing import Iterator

from tokenizers import Tokenizer

from classifier.batches import Batch, batch_of, encoded, pack
from classifier.hybrids import hybrids
from classifier.mix import Mix


@dataclass(frozen=True)
class Plan:
    """What epochs are made of: batches of at most `tokens` tokens, with as many hybrids again where `hybrids` is set."""

    mix: Mix
    tokenizer: Tokenizer
    tokens: int
    hybrids: bool
    seed: int

    def epoch(self, number: int) -> list[Batch]:
        """The batches of an epoch, the same whenever it is made."""
        rng = random.Random(f"{self.seed} {number}")
        units = [encoded(self.tokenizer, unit, rng) for unit in self.mix.units(rng)]
        return [batch_of(rows, hybrids(rows, rng) if self.hybrids else [], rng) for rows in pack(units, self.tokens, rng)]


def epochs(plan: Plan, count: int, workers: int) -> Iterator[list[Batch]]:
    """`count` epochs in their order, made by `workers` processes ahead of their use, or here where there are none.

    The processes begin at once: they must be forked off before anything talks to a GPU.
    """
    if not workers:
        return map(plan.epoch, range(count))
    return ahead(get_context("fork").Pool(workers, take, (plan,)), count, workers)


def ahead(pool: Pool, count: int, most: int) -> Iterator[list[Batch]]:
    """What the pool's processes make, at most `most` epochs ahead, so that memory does not fill."""
    with pool:
        waiting = deque(pool.apply_async(make, (number,)) for number in range(min(most, count)))
        for number in range(most, count + most):
            yield waiting.popleft().get()
            if number < count:
                waiting.append(pool.apply_async(make, (number,)))


def take(plan: Plan) -> None:
    """In each process, once: the plan, which is large, need not travel with every epoch."""
    global PLAN
    PLAN = plan


def make(number: int) -> list[Batch]:
    """In a process that took its plan: an epoch."""
    return PLAN.epoch(number)
