"""From trained weights to the graphs that run: fp32 ONNX for comparison, and the int8 graph that ships.

The int8 graph is written node by node, with the operators of `com.microsoft` that ONNX Runtime would otherwise look for, and some that it
does not find: one product for query, key and value, attention as one node, no mask (one sequence a run needs none). Its weights
are int8 with a scale for each output channel, activations are scaled as they come. Where an early head was trained (classifier/early.py),
the layers behind it are a branch that is entered when it is not sure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import GraphProto, TensorProto, helper, numpy_helper

from classifier.labels import LABELS, SIDES
from classifier.network import Network, trained

OPSET, LAYERS, HEADS, EPSILON = 17, 6, 12, 1e-12
FP32, INT8, WEIGHTS, EARLY = "model.fp32.onnx", "model.int8.onnx", "network.pt", "early.pt"
MICROSOFT = "com.microsoft"
# Seven-bit weights: processors without VNNI add two products in 16 bits, which eight bits overflow.
LARGEST_WEIGHT, LARGEST_EMBEDDING = 64, 127

# Probabilities from this part of a threshold on are no longer surely nothing, so that a policy may be stricter than the default.
PART = 0.5

Weights = Mapping[str, np.ndarray]


def write_fp32(network: Network, path: Path) -> None:
    """The network as ONNX, batch and sequence free."""
    ids = torch.tensor([[101, 2, 2129, 2079, 102], [101, 2, 2054, 102, 0]])
    axes = {0: "batch", 1: "sequence"}
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        network, (ids, (ids > 0).long(), torch.zeros_like(ids)), str(path), dynamo=False, opset_version=OPSET,
        input_names=names, output_names=["logits"],
        dynamic_axes={**{name: axes for name in names}, "logits": {0: "batch"}},
    )
    onnx.checker.check_model(str(path))


@dataclass
class Nodes:
    """A graph while it is written; each method adds nodes and gives the name of what they put out."""

    weights: Weights
    prefix: str = ""
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), self.prefix + name))
        return self.prefix + name

    def node(self, kind: str, inputs: list[str], outputs: int = 1, **attributes: object) -> list[str]:
        name = f"{self.prefix}{kind}_{len(self.nodes)}"
        names = [f"{name}_{place}" for place in range(outputs)]
        domain = MICROSOFT if kind in ("DynamicQuantizeMatMul", "MultiHeadAttention", "Gelu") else ""
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes))
        return names

    def linear(self, state: str, weight: np.ndarray, bias: np.ndarray, name: str) -> str:
        """`state @ weight + bias`, of a float32 weight [inputs, outputs] as int8."""
        scale = np.maximum(np.abs(weight).max(axis=0), EPSILON) / LARGEST_WEIGHT
        rounded = np.clip(np.rint(weight / scale), -LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int8)
        constants = {"weight": rounded, "scale": scale.astype(np.float32), "zero": np.zeros(len(scale), np.int8), "bias": bias}
        names = [self.constant(f"{name}.{part}", value) for part, value in constants.items()]
        return self.node("DynamicQuantizeMatMul", [state, *names])[0]

    def dense(self, state: str, *names: str) -> str:
        """Linear layers of the network that read one state, side by side."""
        weight = np.concatenate([self.weights[f"{name}.weight"].T for name in names], axis=1)
        return self.linear(state, weight, np.concatenate([self.weights[f"{name}.bias"] for name in names]), names[0])

    def gelu(self, state: str) -> str:
        return self.node("Gelu", [state])[0]

    def normalised(self, state: str, name: str) -> str:
        scale, bias = (self.constant(f"{name}.{part}", self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", [state, scale, bias], axis=-1, epsilon=EPSILON)[0]

    def sum(self, one: str, other: str) -> str:
        return self.node("Add", [one, other])[0]

    def embedded(self) -> str:
        """The embeddings of `input_ids` and `token_type_ids`, [1, sequence, width]."""
        name = "encoder.embeddings."
        words = self.looked_up(self.weights[name + "word_embeddings.weight"], "words")
        types = self.node("Gather", [self.constant("types", self.weights[name + "token_type_embeddings.weight"]), "token_type_ids"])[0]
        places = self.constant("places", self.weights[name + "position_embeddings.weight"])
        bounds = [self.constant("first", np.array([0])), self.node("Shape", ["input_ids"], start=1)[0]]
        places = self.node("Slice", [places, *bounds, self.constant("axis", np.array([0]))])[0]
        return self.normalised(self.sum(self.sum(words, types), places), name + "LayerNorm")

    def looked_up(self, table: np.ndarray, name: str) -> str:
        """The rows of a table for `input_ids`; the table is int8."""
        scale = np.float32(np.abs(table).max() / LARGEST_EMBEDDING)
        rounded = np.clip(np.rint(table / scale), -LARGEST_EMBEDDING, LARGEST_EMBEDDING).astype(np.int8)
        rows = self.node("Gather", [self.constant(name, rounded), "input_ids"])[0]
        return self.node("DequantizeLinear", [rows, self.constant(f"{name}.scale", np.array(scale))])[0]

    def layer(self, state: str, number: int) -> str:
        """One layer of the encoder."""
        name = f"encoder.encoder.layer.{number}."
        own = name + "attention."
        at_once = self.dense(state, *(f"{own}self.{part}" for part in ("query", "key", "value")))
        width = self.weights[f"{own}self.query.bias"].shape[0]
        parts = self.node("Split", [at_once, self.constant(f"{own}parts", np.array([width] * 3))], 3, axis=-1)
        attended = self.node("MultiHeadAttention", parts, num_heads=HEADS)[0]
        # An addition and a normalisation: ONNX Runtime's fusion of the two takes twice as long as both.
        state = self.normalised(self.sum(state, self.dense(attended, own + "output.dense")), own + "output.LayerNorm")
        inner = self.gelu(self.dense(state, name + "intermediate.dense"))
        return self.normalised(self.sum(state, self.dense(inner, name + "output.dense")), name + "output.LayerNorm")

    def pooled(self, state: str) -> str:
        """Mean and maximum over the tokens, [1, twice the width]."""
        both = [self.node(kind, [state], axes=[1], keepdims=0)[0] for kind in ("ReduceMean", "ReduceMax")]
        return self.node("Concat", both, axis=-1)[0]

    def judged(self, state: str) -> str:
        """The logits, from the last layer."""
        return self.dense(self.gelu(self.dense(self.pooled(state), "hidden.0")), "output")

    def graph(self, name: str, inputs: list, outputs: list) -> GraphProto:
        return helper.make_graph(self.nodes, name, inputs, outputs, self.constants)


def inputs() -> list:
    return [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"]) for name in ("input_ids", "token_type_ids")]


def put_out(name: str = "logits") -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", len(LABELS)])


def write(graph: GraphProto, path: Path) -> None:
    sets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=sets, producer_name="nonnocere")
    model.ir_version = 8
    onnx.save(model, str(path))


def as_arrays(path: Path) -> Weights:
    """Weights of a file, float32."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: value.float().numpy() for name, value in state.items()}


@dataclass(frozen=True)
class Early:
    """What may answer after the first layers: its weights (classifier/early.py), after which layer, and from which risks on it is not sure."""

    weights: Weights
    layers: int
    cuts: tuple[float, float]


def sure(nodes: Nodes, state: str, early: Early) -> tuple[str, str]:
    """The early logits, and whether they are enough: both judges, of the first layers and of the words alone, must be sure, and the caller allow it."""
    nodes.weights = early.weights
    found = nodes.dense(nodes.gelu(nodes.dense(nodes.pooled(state), "states.hidden")), "states.output")
    sizes = nodes.constant("outputs", np.array([1, len(LABELS)]))
    risk, logits = nodes.node("Split", [found, sizes], 2, axis=-1)
    words = nodes.pooled(nodes.looked_up(early.weights["words.table.weight"], "risky"))
    by_words = nodes.dense(nodes.gelu(nodes.dense(words, "words.hidden")), "words.output")
    allowed = nodes.node("Identity", ["may_exit"])[0]
    for place, (value, cut) in enumerate(zip((risk, by_words), early.cuts)):
        below = nodes.node("Less", [nodes.node("ReduceMax", [value], keepdims=0)[0], nodes.constant(f"cut{place}", np.array(cut, np.float32))])[0]
        allowed = nodes.node("And", [allowed, below])[0]
    return logits, allowed


def write_int8(weights: Weights, path: Path, early: Early | None = None) -> None:
    """The graph that ships: `logits` of one sequence from `input_ids` and `token_type_ids`; with an early head `may_exit` (bool) allows
    it to answer, and `exited` says whether it did."""
    first = early.layers if early else LAYERS
    nodes = Nodes(weights)
    state = nodes.embedded()
    for number in range(first):
        state = nodes.layer(state, number)
    if early is None:
        nodes.nodes.append(helper.make_node("Identity", [nodes.judged(state)], ["logits"]))
        write(nodes.graph("nonnocere", inputs(), [put_out()]), path)
        return
    logits, exits = sure(nodes, state, early)
    rest = Nodes(weights, "rest.")
    for number in range(first, LAYERS):
        state = rest.layer(state, number)
    last = rest.judged(state)
    shallow = helper.make_graph([helper.make_node("Identity", [logits], ["early"])], "early", [], [put_out("early")])
    branches = {"then_branch": shallow, "else_branch": rest.graph("rest", [], [put_out(last)])}
    nodes.nodes.append(helper.make_node("If", [exits], ["logits"], name="if", **branches))
    nodes.nodes.append(helper.make_node("Identity", [exits], ["exited"]))
    asked = [*inputs(), helper.make_tensor_value_info("may_exit", TensorProto.BOOL, [1])]
    write(nodes.graph("nonnocere", asked, [put_out(), helper.make_tensor_value_info("exited", TensorProto.BOOL, [1])]), path)


def write_states(weights: Weights, layers: int, path: Path) -> None:
    """What an early head is trained on: `states`, mean and maximum after the first layers, beside `logits`."""
    nodes = Nodes(weights)
    state = nodes.embedded()
    for number in range(LAYERS):
        state = nodes.layer(state, number)
        if number + 1 == layers:
            nodes.nodes.append(helper.make_node("Identity", [nodes.pooled(state)], ["states"]))
    nodes.nodes.append(helper.make_node("Identity", [nodes.judged(state)], ["logits"]))
    width = len(weights["hidden.0.weight"][0])
    states = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["batch", width])
    write(nodes.graph("states", inputs(), [states, put_out()]), path)


def build(folder: Path) -> tuple[Path, Path]:
    """Paths of the fp32 and the int8 graph of the weights in `folder`, written anew where they are older."""
    weights, fp32, int8, early = (folder / name for name in (WEIGHTS, FP32, INT8, EARLY))
    if not fp32.exists() or fp32.stat().st_mtime < weights.stat().st_mtime:
        write_fp32(trained(weights), fp32)
    write_int8(as_arrays(weights), int8, read_early(early) if early.exists() else None)
    return fp32, int8


def floors(thresholds: dict[str, float]) -> dict[str, float]:
    """From which probabilities on the early head is taught to leave a text to the whole network."""
    return {name: round(value * PART if name in SIDES else value, 4) for name, value in thresholds.items()}


def read_early(path: Path) -> Early:
    """What classifier/early.py wrote."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    weights = {name: value.float().numpy() for name, value in found["weights"].items()}
    return Early(weights, found["layers"], tuple(found["cuts"]))
