"""What the network is punished for."""

import torch
from torch.nn import functional as F

from classifier.data import Item
from classifier.labels import HEADS

SMOOTHING = 0.02
MARGIN = 3.0
SHARE = {"violation": 1.0, "manipulation": 0.5, "crisis": 0.7, "refusal": 0.4}
TYPE_SHARE, TWIN_SHARE = 0.15, 0.7


def loss_of(logits: torch.Tensor, items: list[Item]) -> torch.Tensor:
    """Cross entropy of each known label, of the type, and the margin between twins; logits are [batch, labels]."""
    total = TWIN_SHARE * twin_margin(logits, items) + TYPE_SHARE * type_loss(logits[:, len(HEADS) :], items)
    for place, head in enumerate(HEADS):
        labels = [getattr(item, head) for item in items]
        weights = torch.tensor([0.0 if label is None else item.weight for label, item in zip(labels, items)])
        target = torch.tensor([float(label or 0) for label in labels]) * (1 - 2 * SMOOTHING) + SMOOTHING
        each = F.binary_cross_entropy_with_logits(logits[:, place], target, reduction="none")
        total = total + SHARE[head] * (each * weights).sum() / len(items)
    return total


def type_loss(logits: torch.Tensor, items: list[Item]) -> torch.Tensor:
    """Minus the logarithm of the probability of all types that may be right, where any is known."""
    known = [row for row, item in enumerate(items) if item.types]
    if not known:
        return logits.new_zeros(())
    log = F.log_softmax(logits, dim=1)
    each = [-torch.logsumexp(log[row, list(items[row].types)], dim=0) * items[row].weight for row in known]
    return torch.stack(each).sum() / len(items)


def twin_margin(logits: torch.Tensor, items: list[Item]) -> torch.Tensor:
    """How far the two sides of the batch's twins, which are neighbours, fall short of being MARGIN apart."""
    first, second, heads = [], [], []
    for row, (one, other) in enumerate(zip(items, items[1:])):
        if one.pair != other.pair or one.side != other.side:
            continue
        for head in ("violation", "crisis"):
            if {getattr(one, head), getattr(other, head)} == {0, 1}:
                worse = row if getattr(one, head) else row + 1
                first.append(worse), second.append(2 * row + 1 - worse), heads.append(HEADS.index(head))
    if not first:
        return logits.new_zeros(())
    return F.relu(MARGIN - (logits[first, heads] - logits[second, heads])).sum() / len(items)
