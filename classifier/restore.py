"""Reads the weights back from the graph that ships, as far as seven bits keep them, so that a training can go on from it.

    python -m classifier.restore --out target/model/restored.pt
"""

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from classifier.network import Network


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The graph's parameters by the names that they have in Network."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scope = lambda node: node.name.rsplit("/", 1)[0]
    found = {name: array for name, array in stored.items() if name.endswith((".bias", "LayerNorm.weight"))}
    # A matrix has lost its name, but stands in the scope in which its bias is added.
    named = {scope(node): name for node in model.graph.node if node.op_type == "Add" for name in node.input if name in found}
    for node in model.graph.node:
        if node.op_type == "MatMulInteger" and node.input[1] in stored:
            found[named[scope(node)].replace(".bias", ".weight")] = exact(stored, node.input[1]).T
        if node.op_type == "Gather" and node.input[0].endswith(".weight_quantized"):
            found[node.input[0].removesuffix("_quantized")] = exact(stored, node.input[0])
    return found


def exact(stored: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A quantised matrix as float32; scale and zero point are one number or one for each column."""
    stem = name.removesuffix("_quantized")
    return (stored[name].astype(np.float32) - stored[f"{stem}_zero_point"].astype(np.float32)) * stored[f"{stem}_scale"]


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
