"""Averages the weights of several networks: of students into one that knows more than each, and of a trained one with its base.

    python -m classifier.average --out target/model/start.pt 0.4:base 0.6:target/model/restored.pt
    python -m classifier.average --out target/model/network.pt 0.4:a/network.pt 0.6:b/network.pt
"""

import argparse
from pathlib import Path

import torch

from classifier.network import Network

State = dict[str, torch.Tensor]


def average(states: list[tuple[float, State]]) -> State:
    """The weighted mean of each tensor, over those states that have it: a base has no heads."""
    names = {name: tensor for _, state in states for name, tensor in state.items()}
    return {name: mean([(share, state[name]) for share, state in states if name in state]) for name in names}


def mean(tensors: list[tuple[float, torch.Tensor]]) -> torch.Tensor:
    """The weighted mean; of whole numbers, which are places and not weights, the first."""
    if not tensors[0][1].is_floating_point():
        return tensors[0][1]
    return sum(share * tensor for share, tensor in tensors) / sum(share for share, _ in tensors)


def read(weights: str) -> State:
    """Weights of a file, or the pretrained encoder for `base`."""
    if weights == "base":
        return {f"encoder.{name}": tensor for name, tensor in Network().encoder.state_dict().items()}
    return torch.load(weights, map_location="cpu", weights_only=True)


def main() -> None:
    """Writes the average."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="+", metavar="SHARE:FILE", help="FILE may be `base`")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts = [part.split(":", 1) for part in options.weights]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(average([(float(share), read(weights)) for share, weights in parts]), options.out)


if __name__ == "__main__":
    main()
