"""Fine-tunes a network; writes its averaged weights to `network.pt` of the folder `--out`.

    python -m classifier.train                                        the model that ships, from labels alone
    python -m classifier.train --base mpnet --out target/model/teacher1
    python -m classifier.train --teachers target/model/teacher1/network.pt --hybrids --hard 0.5
"""

import argparse
import os
import time
from pathlib import Path

import torch

from classifier.batches import Batch
from classifier.data import read_items
from classifier.encode import MASK, plain_tokenizer
from classifier.epochs import Plan, epochs
from classifier.loss import distance, loss_of
from classifier.mix import Mix
from classifier.network import BASES, TEACHER, Ensemble, Network, base_folder, device_of, on

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


class Lesson:
    """What a batch teaches a network: its labels and, where there are teachers, what they say of all its rows."""

    def __init__(self, device: str, teachers: list[Path], hard: float, soft: float) -> None:
        self.device, self.hard, self.soft = device, hard, soft
        self.teachers = Ensemble(teachers, TEACHER).to(device) if teachers else None
        # A processor without arithmetic for bfloat16 emulates it, fifty times slower.
        self.short = device == "cuda" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

    def loss(self, network: Network, batch: Batch) -> torch.Tensor:
        """How far the network is from the labels, times `hard`, and from its teachers, times `soft`."""
        inputs, targets = on(self.device, batch.inputs), on(self.device, batch.targets)
        seen = inputs._replace(ids=inputs.ids.masked_fill(torch.from_numpy(batch.hidden).to(self.device), MASK))
        with torch.autocast(self.device, torch.bfloat16, enabled=self.short):
            logits = network(*seen).float()
            taught = self.teachers(inputs) if self.teachers else None
        loss = self.hard * loss_of(logits[: len(targets.labels)], targets)
        return loss if taught is None else loss + self.soft * distance(logits, taught)


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("target/model"))
    parser.add_argument("--base", choices=BASES, default="minilm", help="mpnet for a teacher")
    parser.add_argument("--start", type=Path, help="weights to go on from, of an earlier state of the corpus")
    parser.add_argument("--teachers", type=Path, nargs="*", default=[], help="weights of teachers to learn from")
    parser.add_argument("--hybrids", action="store_true", help="ask the teachers about hybrids of the texts too")
    parser.add_argument("--hard", type=float, default=1.0, help="what the labels count")
    parser.add_argument("--soft", type=float, default=1.0, help="what the teachers count")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=0, help="stop after so many steps, in as many epochs as they take (0: no limit)")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop after so long (0: no limit)")
    parser.add_argument("--tokens", type=int, default=2000, help="of a batch, at most")
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--head-rate", type=float, default=5e-4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, help="processes that make batches (of half the cores where there is a GPU, else none)")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--dropout", type=float, default=0.1)
    options = parser.parse_args()
    if options.hybrids and not options.teachers:
        parser.error("--hybrids are for --teachers to say something of")
    return options


def network_of(options: argparse.Namespace, device: str) -> Network:
    """The network to train, from its base or from the weights to go on from."""
    network = Network(options.dropout, BASES[options.base], "sdpa" if device == "cuda" else "eager")
    if options.start:
        network.load_state_dict(torch.load(options.start, map_location="cpu", weights_only=True))
    return network.train().to(device)


def main() -> None:
    """Trains for `--epochs` or for `--steps` where given, and no longer than `--minutes`; the rate falls to the end."""
    options = read_options()
    os.nice(5)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    device = device_of()

    options.out.mkdir(parents=True, exist_ok=True)
    mix = Mix(read_items(options.data, options.corpus, "train"))
    plan = Plan(mix, plain_tokenizer(base_folder() / "tokenizer.json"), options.tokens, options.hybrids, options.seed)
    workers = options.workers if options.workers is not None else (os.cpu_count() or 2) // 2 * (device == "cuda")
    # An epoch has a step at least.
    made = epochs(plan, options.steps or options.epochs, workers)
    network = network_of(options, device)
    lesson = Lesson(device, options.teachers, options.hard, options.soft)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE)
    )
    optimiser = optimiser_of(network, options.rate, options.head_rate)
    rates = [group["lr"] for group in optimiser.param_groups]
    step, running, started, total, over = 0, 0.0, time.time(), 0, 0.0
    for epoch, batches in enumerate(made):
        total = options.steps or total or len(batches) * options.epochs
        for batch in batches:
            over = max(step / total, (time.time() - started) / (options.minutes * 60) if options.minutes else 0.0)
            if over >= 1.0:
                break
            for group, rate in zip(optimiser.param_groups, rates):
                group["lr"] = rate * pace(over)
            loss = lesson.loss(network, batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            average.update_parameters(network)
            running = running + (loss.detach() - running) / min(step + 1, 100)
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
