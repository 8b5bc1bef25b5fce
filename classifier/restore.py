"""Reads the weights back from the graph that ships, as far as seven bits keep them, so that a training can go on from it.

    python -m classifier.restore --out target/model/restored.pt
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from classifier.network import Network


EMBEDDINGS = {"words": "word_embeddings", "types": "token_type_embeddings", "places": "position_embeddings"}
ATTENTION = ("query", "key", "value")


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The graph's parameters by the names that they have in Network."""
    stored = dict(constants(model.graph))
    found = {}
    for name, array in stored.items():
        stem, _, part = name.rpartition(".")
        if f"{stem}.scale" in stored and part == "weight":
            # One for each column.
            found |= apart(stem, (array * stored[f"{stem}.scale"]).T, "weight")
        elif f"{stem}.scale" in stored and part == "bias":
            found |= apart(stem, array, "bias")
        elif "LayerNorm" in name:
            found[name] = array
        elif name in EMBEDDINGS:
            scale = stored.get(f"{name}.scale", np.float32(1.0))
            found[f"encoder.embeddings.{EMBEDDINGS[name]}.weight"] = array * scale
    return {name: array.astype(np.float32) for name, array in found.items() if not name.startswith(("states.", "words."))}


def constants(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    """Of a graph and its branches, by their names in the network."""
    for tensor in graph.initializer:
        yield tensor.name.removeprefix("rest."), numpy_helper.to_array(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from constants(attribute.g)


def apart(stem: str, array: np.ndarray, part: str) -> dict[str, np.ndarray]:
    """What belongs to one layer; query, key and value are one product in the graph."""
    if not stem.endswith(".query"):
        return {f"{stem}.{part}": array}
    names = [stem.removesuffix("query") + name for name in ATTENTION]
    return {f"{name}.{part}": piece for name, piece in zip(names, np.split(array, len(names)))}


def main() -> None:
    """Writes the weights; fails where the graph is not one of Network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("classifier/model/model.onnx"))
    parser.add_argument("--out", type=Path, default=Path("target/model/restored.pt"))
    options = parser.parse_args()
    network = Network()
    # Copied, since a transposed array is no tensor's.
    weights = {name: torch.from_numpy(array.copy()) for name, array in weights_of(onnx.load(str(options.model))).items()}
    missing = network.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise SystemExit(f"{options.model} has no {', '.join(missing)}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), options.out)


if __name__ == "__main__":
    main()
