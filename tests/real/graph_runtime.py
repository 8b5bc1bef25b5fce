"""The shipped graph as a model of MLServer: what an operator would write to serve it there.

Named by the `implementation` of a model's settings; `parameters.uri` is the path of `model.onnx`.
"""

import asyncio
import hashlib
import os
from pathlib import Path

import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, MetadataModelResponse, Parameters


class GraphRuntime(MLModel):
    """Runs the graph by ONNX Runtime, one request at a time."""

    async def load(self) -> bool:
        """Loads the graph; the same options as in the proxy, so that the same machine gives the same numbers."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.graph = onnxruntime.InferenceSession(
            self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
        )
        self.sha256 = hashlib.sha256(Path(self.settings.parameters.uri).read_bytes()).hexdigest()
        return True

    async def metadata(self) -> MetadataModelResponse:
        """What the model is: its tensors, and the hash of its graph, by which a proxy knows it."""
        described = await super().metadata()
        described.parameters = Parameters(sha256=self.sha256)
        return described

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The logits of the sequences that a request holds."""
        delay = float(os.environ.get("GRAPH_DELAY", "0"))
        if delay:
            await asyncio.sleep(delay)
        tensors = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        (logits,) = self.graph.run(["logits"], tensors)
        output = NumpyCodec.encode_output("logits", logits)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
