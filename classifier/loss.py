"""What the network is punished for."""

import torch
from torch.nn import functional as F

from classifier.labels import HEADS
from classifier.targets import Targets

SMOOTHING = 0.02
MARGIN = 3.0
SHARE = {"violation": 1.0, "manipulation": 0.5, "crisis": 0.7, "refusal": 0.4}
TYPE_SHARE, TWIN_SHARE = 0.15, 0.7
# Beyond this a teacher is sure, and how sure says nothing.
SURE = 7.0


def loss_of(logits: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Cross entropy of each known label, of the type, and the margin between twins; logits are [n, labels].

    Logits and targets are tensors of one device.
    """
    heads, types = logits[:, : len(HEADS)], logits[:, len(HEADS) :]
    labels = targets.labels * (1 - 2 * SMOOTHING) + SMOOTHING
    each = F.binary_cross_entropy_with_logits(heads, labels, reduction="none") * targets.weights * shares(logits)
    return (each.sum() + TYPE_SHARE * type_loss(types, targets) + TWIN_SHARE * twin_margin(heads, targets.twins)) / len(logits)


def type_loss(logits: torch.Tensor, targets: Targets) -> torch.Tensor:
    """Minus the logarithm of the probability of all types that may be right, where any is known; summed."""
    # Not minus infinity, which has no gradient where a row knows no type.
    log = F.log_softmax(logits, dim=1).masked_fill(~targets.types, -1e4)
    return -(torch.logsumexp(log, dim=1) * targets.type_weights).sum()


def twin_margin(heads: torch.Tensor, twins: torch.Tensor) -> torch.Tensor:
    """How far the two sides of the batch's twins fall short of being MARGIN apart; summed."""
    worse, other, head = twins
    return F.relu(MARGIN - (heads[worse, head] - heads[other, head])).sum()


def distance(logits: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
    """How far a network is from its teachers: both [rows, labels].

    By logit in the heads, as far as the teachers are not sure; by divergence in the types, as far as they see a violation.
    """
    sure = lambda rows: rows[:, : len(HEADS)].clamp(-SURE, SURE)
    log = lambda rows: F.log_softmax(rows[:, len(HEADS) :], dim=1)
    heads = F.smooth_l1_loss(sure(logits), sure(taught), reduction="none") * shares(logits)
    types = F.kl_div(log(logits), log(taught), log_target=True, reduction="none").sum(1) * torch.sigmoid(taught[:, 0])
    return (heads.sum() + TYPE_SHARE * types.sum()) / len(logits)


def shares(logits: torch.Tensor) -> torch.Tensor:
    """SHARE of each head, in the order of HEADS, on the device of `logits`."""
    return torch.tensor([SHARE[head] for head in HEADS], device=logits.device)
