"""From trained weights to the graphs that run: fp32 ONNX, then int8 with dynamic activations."""

import tempfile
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from classifier.network import Network, trained

OPSET = 17
FP32, INT8, WEIGHTS = "model.fp32.onnx", "model.int8.onnx", "network.pt"


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


def write_int8(source: Path, path: Path) -> None:
    """Weights and embeddings as int8, a scale for each output channel; activations are scaled as they come.

    Seven-bit weights (`reduce_range`): processors without VNNI add two products in 16 bits, which eight bits overflow.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_dynamic(
            str(prepared), str(path), per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gather", "Gemm"],
        )
    model = onnx.load(str(path))
    onnx.checker.check_model(model)


def build(folder: Path) -> tuple[Path, Path]:
    """Paths of the fp32 and the int8 graph of the weights in `folder`, written anew where they are older."""
    weights, fp32, int8 = (folder / name for name in (WEIGHTS, FP32, INT8))
    if not fp32.exists() or fp32.stat().st_mtime < weights.stat().st_mtime:
        write_fp32(trained(weights), fp32)
    if not int8.exists() or int8.stat().st_mtime < fp32.stat().st_mtime:
        write_int8(fp32, int8)
    return fp32, int8
