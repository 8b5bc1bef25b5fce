"""Writes the model that ships: classifier/model/{model.onnx,tokenizer.json,manifest.json}.

    python -m classifier.export --version 3
"""

import argparse
import hashlib
import json
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnxruntime

from classifier.data import read_items
from classifier.encode import CONTEXT, MARKERS, OVERLAP, WINDOW, plain_tokenizer
from classifier.graph import EARLY, OPSET, build, floors
from classifier.judge import judge, onnx_model
from classifier.labels import LABELS
from classifier.measure import auc
from classifier.network import BASE, base_folder

LARGEST = 25 * 1024 * 1024
TOLERATED = 0.005
SOURCES = [
    {"name": "nonnocere corpus", "licence": "the project's own"},
    {"name": "sentence-transformers/all-MiniLM-L6-v2 (base weights)", "licence": "Apache-2.0"},
    {"name": "sentence-transformers/all-mpnet-base-v2 (base weights of the teachers)", "licence": "Apache-2.0"},
    {"name": "MedQuAD (benign queries, answers)", "licence": "CC BY 4.0"},
    {"name": "PubMedQA, MedQA, MedMCQA, ExpertQA (benign queries, answers)", "licence": "MIT"},
    {"name": "MTS-Dialog, ACI-Bench (benign notes)", "licence": "CC BY 4.0"},
    {"name": "AdvBench (general harm)", "licence": "MIT"},
    {"name": "HarmfulQA (general harm, filtered)", "licence": "Apache-2.0"},
]


def sha256(path: Path) -> str:
    """Lower-case hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def loss_by_rounding(fp32: Path, int8: Path, data: Path, corpus: Path) -> float:
    """How much AUC the int8 graph loses against fp32, on validation twins, prompts and completions together."""
    items = [i for i in read_items(data, corpus, "validation") if i.source.startswith("corpus")]
    labels = np.array([item.violation for item in items])
    tokenizer = plain_tokenizer(base_folder() / "tokenizer.json")
    found = [auc(judge(onnx_model(path), tokenizer, items)[:, 0], labels) for path in (fp32, int8)]
    print(f"validation AUC of {len(items)} corpus items: fp32 {found[0]:.4f}, int8 {found[1]:.4f}")
    return found[0] - found[1]


def main() -> None:
    """Packs the int8 graph, the tokenizer and what says how to use them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    parser.add_argument("--out", type=Path, default=Path("target/model"))
    parser.add_argument("--model", type=Path, default=Path("classifier/model"))
    parser.add_argument("--version", default="3")
    options = parser.parse_args()
    fp32, int8 = build(options.out)
    if int8.stat().st_size > LARGEST:
        sys.exit(f"{int8} is {int8.stat().st_size} bytes, more than {LARGEST}")
    lost = loss_by_rounding(fp32, int8, options.data, options.corpus)
    if lost > TOLERATED:
        print(f"WARNING: int8 loses {lost:.4f} AUC against fp32, more than {TOLERATED}", file=sys.stderr)
    options.model.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(int8, options.model / "model.onnx")
    plain_tokenizer(base_folder() / "tokenizer.json").save(str(options.model / "tokenizer.json"), pretty=False)
    calibration = json.loads((options.out / "calibration.json").read_text(encoding="utf8"))
    manifest = {
        "name": "nonnocere-minilm",
        "version": options.version,
        "created": datetime.now(UTC).date().isoformat(),
        "base": BASE,
        "window": WINDOW,
        "overlap": OVERLAP,
        "context": CONTEXT,
        "markers": MARKERS,
        "labels": list(LABELS),
        **calibration,
        **({"floors": floors(calibration["thresholds"])} if (options.out / EARLY).exists() else {}),
        "files": {name: sha256(options.model / name) for name in ("model.onnx", "tokenizer.json")},
        "sources": SOURCES,
        "opset": OPSET,
        "onnxruntime": onnxruntime.__version__,
    }
    (options.model / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf8")
    print(f"{options.model}: {int8.stat().st_size / 1e6:.1f} MB, version {options.version}")


if __name__ == "__main__":
    main()
