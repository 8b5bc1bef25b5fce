"""How well trained weights tell the twins of validation apart; of several networks, the mean of their logits.

    python -m classifier.validate target/model/network.pt
    python -m classifier.validate --base mpnet target/model/teacher1/network.pt target/model/teacher2/network.pt
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from classifier.batches import padded
from classifier.data import Item, read_items
from classifier.encode import plain_tokenizer, sequences
from classifier.judge import worst
from classifier.labels import HEADS
from classifier.measure import auc
from classifier.network import BASES, Ensemble, base_folder, device_of, on

HEAD_OF = {"corpus_prompts": "violation", "corpus_completions": "violation", "corpus_conversations": "violation",
           "corpus_crisis": "crisis"}
TOKENS = 8000


@torch.no_grad()
def logits_of(networks: Ensemble, items: list[Item], device: str) -> np.ndarray:
    """Logits of whole texts, float32 [items, labels]: windows in batches of about one length, longest first."""
    tokenizer = plain_tokenizer(base_folder() / "tokenizer.json")
    rows = [(place, s) for place, i in enumerate(items) for s in sequences(tokenizer, i.side, i.context, i.text)]
    rows.sort(key=lambda row: len(row[1].ids))
    windows: list[list[np.ndarray]] = [[] for _ in items]
    while rows:
        count = max(1, TOKENS // len(rows[-1][1].ids))
        some, rows = rows[-count:], rows[:-count]
        found = networks(on(device, padded([sequence for _, sequence in some]))).cpu().numpy()
        for (place, _), row in zip(some, found):
            windows[place].append(row)
    return np.stack([worst(np.stack(each)) for each in windows])


def main() -> None:
    """Prints one AUC for each part of the corpus."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--base", choices=BASES, default="minilm")
    options = parser.parse_args()
    device = device_of()
    networks = Ensemble(options.weights, BASES[options.base]).to(device)
    for source, head in HEAD_OF.items():
        items = [i for i in read_items(options.data, options.corpus, "validation") if i.source == source]
        labels = np.array([getattr(item, head) or 0 for item in items])
        found = auc(logits_of(networks, items, device)[:, HEADS.index(head)], labels)
        print(f"{source}: {len(items)} texts, AUC {found:.4f}")


if __name__ == "__main__":
    main()
