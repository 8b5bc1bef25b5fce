"""Fine-tunes the network; writes its averaged weights to target/model/network.pt.

    python -m classifier.train --data ../shared/data --corpus classifier/corpus
"""

import argparse
import os
import random
import time
from pathlib import Path

import torch

from classifier.batches import encoded, pack
from classifier.data import read_items
from classifier.encode import plain_tokenizer
from classifier.loss import loss_of
from classifier.mix import Mix
from classifier.network import Network, base_folder
from classifier.noise import hidden

SEED = 20261124
DECAY = 0.01
AVERAGE = 0.995


def optimiser_of(network: Network, rate: float, head_rate: float) -> torch.optim.Optimizer:
    """AdamW; what is new learns faster than what is pretrained."""
    new = [*network.hidden.parameters(), *network.output.parameters()]
    return torch.optim.AdamW(
        [{"params": network.encoder.parameters(), "lr": rate}, {"params": new, "lr": head_rate}], weight_decay=DECAY, fused=True
    )


def pace(share: float) -> float:
    """The learning rate's factor when `share` of the time or steps is over: up over 6%, then down in a line."""
    return min(share / 0.06, max(0.02, (1.0 - share) / 0.94), 1.0)


def main() -> None:
    """Trains for `--epochs`, for `--steps` where given, and no longer than `--minutes`; the rate falls to the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("target/model"))
    parser.add_argument("--start", type=Path, help="weights to go on from, of an earlier state of the corpus")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps (0: no limit)")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long (0: no limit)")
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--head-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--dropout", type=float, default=0.1)
    options = parser.parse_args()
    os.nice(5)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    # A processor without arithmetic for bfloat16 emulates it, fifty times slower.
    short = device == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

    options.out.mkdir(parents=True, exist_ok=True)
    mix = Mix(read_items(options.data, options.corpus, "train"))
    tokenizer = plain_tokenizer(base_folder() / "tokenizer.json")
    network = Network(options.dropout).train().to(device)
    if options.start:
        network.load_state_dict(torch.load(options.start, map_location=device, weights_only=True))
    network.encoder.embeddings.word_embeddings.weight.requires_grad_(False)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    )
    optimiser = optimiser_of(network, options.rate, options.head_rate)
    rates = [group["lr"] for group in optimiser.param_groups]
    step, running, started, total, over = 0, 0.0, time.time(), 0, 0.0
    for epoch in range(options.epochs):
        batches = pack([encoded(tokenizer, unit, rng) for unit in mix.units(rng)], rng)
        total = options.steps or total or len(batches) * options.epochs
        for batch in batches:
            over = max(step / total, (time.time() - started) / (options.minutes * 60) if options.minutes else 0.0)
            if over >= 1.0:
                break
            for group, rate in zip(optimiser.param_groups, rates):
                group["lr"] = rate * pace(over)
            ids, mask, segments = batch.inputs
            inputs = (hidden(ids, rng), mask, segments)
            with torch.autocast(device, torch.bfloat16, enabled=short):
                logits = network(*(tensor.to(device) for tensor in inputs))
            loss = loss_of(logits.float().cpu(), batch.items)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(network)
            running += (loss.item() - running) / min(step + 1, 100)
            step += 1
            if step % 100 == 0:
                print(f"epoch {epoch} step {step} of {total} loss {running:.4f} {time.time() - started:.0f} s", flush=True)
        # After each epoch, so that a run that is stopped is not lost.
        torch.save(average.module.state_dict(), options.out / "network.pt")
        if over >= 1.0:
            break
    print(f"{step} steps in {time.time() - started:.0f} s; {options.out / 'network.pt'}")


if __name__ == "__main__":
    main()
