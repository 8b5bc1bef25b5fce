"""Serves a tiny language model with random weights by `transformers serve`, on a free port.

    python -m tests.real.serve_tiny_model

Makes the model on the spot, so that nothing is downloaded, and prints the server's base URL. What the model says has no
meaning, but how it is asked and how it answers is what an OpenAI-compatible server does with any model.
"""

import http.client
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.real.ports import free_port

MODEL = "tiny-llama"
END = "<|end|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SENTENCES = [
    "Take the tablet with a glass of water, after a meal.",
    "The blood pressure is checked twice a day, in the morning and in the evening.",
    "Please ask your care team before you change the dose.",
    "A cough that lasts for more than three weeks should be looked at.",
    'She said: "I feel much better today", and {smiled}.',
    "Die Tablette nach dem Essen nehmen, nicht auf nüchternen Magen.",
    "食後に水で服用してください。",
    "Приём лекарства после еды. 💊",
]


def make_model(folder: Path) -> None:
    """Writes a Llama of two small layers, a tokenizer of bytes and frequent pairs, and a chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=[END, *ROLES], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END, chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    # Drawn, unless a request wants a temperature of 0: so a seed decides what is said.
    model.generation_config = GenerationConfig(
        do_sample=True, eos_token_id=fast.eos_token_id, pad_token_id=fast.pad_token_id
    )
    model.save_pretrained(folder)


def start_server(folder: Path, seconds: float = 300) -> tuple[subprocess.Popen, int]:
    """Serves a model that lies in `folder` under its own name; the process and its port, once it answers."""
    make_model(folder / MODEL)
    port = free_port()
    program = Path(sys.executable).parent / "transformers"
    command = [program, "serve", MODEL, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | settings, stdout=log, stderr=log)
    until = time.monotonic() + seconds
    while not is_healthy(port):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            raise SystemExit(f"the server did not start:\n{(folder / 'server.log').read_text()}")
        time.sleep(0.2)
    return process, port


def is_healthy(port: int) -> bool:
    """Whether the server answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    """Serves until it is interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        process, port = start_server(Path(folder))
        print(f"http://127.0.0.1:{port}/v1, model {MODEL}", flush=True)
        try:
            process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
