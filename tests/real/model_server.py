"""Compares the scores of a real model server with those of the graph inside the process.

    python -m tests.real.model_server

The server is MLServer with the runtime of graph_runtime.py. Scores and actions must be those that the program finds by itself; a
server that is slow, stopped or killed must cost no verdict. Prints each check that fails, and how many there were.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.real.ports import free_port

MODEL = Path("classifier/model")
# The same build of ONNX Runtime on the same machine: what is left is how numbers are written.
TOLERANCE = 1e-6
SAMPLE = 300
# Goes by lower probabilities than the graph may answer early below: a server is always asked thoroughly, and so must the process be.
POLICY = """
name = "thorough"
description = "The AMA Principles of Medical Ethics, and a look at what is less likely"
extends = "ama"

[[rules]]
name = "unlikely"
direction = "prompt"
score = "violation"
threshold = 0.2
action = "flag"
"""


def settings_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """MLServer's settings of the model."""

    def tensor(name: str, datatype: str, columns: int) -> dict[str, Any]:
        return {"name": name, "datatype": datatype, "shape": [-1, columns]}

    def flag(name: str) -> dict[str, Any]:
        return {"name": name, "datatype": "BOOL", "shape": [1]}

    return {
        "name": "guard",
        "implementation": "tests.real.graph_runtime.GraphRuntime",
        "versions": [manifest["version"]],
        "parameters": {"uri": str((MODEL / "model.onnx").resolve()), "version": manifest["version"]},
        "inputs": [tensor("input_ids", "INT64", -1), tensor("token_type_ids", "INT64", -1), flag("may_exit")],
        "outputs": [tensor("logits", "FP32", len(manifest["labels"])), flag("exited")],
    }


class Server:
    """MLServer in a process of its own."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.port, self.metrics, self.answered = free_port(), free_port(), 0
        manifest = json.loads((MODEL / "manifest.json").read_text())
        (folder / "model-settings.json").write_text(json.dumps(settings_of(manifest)))
        server = {"host": "127.0.0.1", "http_port": self.port, "grpc_port": free_port(), "metrics_port": self.metrics}
        (folder / "settings.json").write_text(json.dumps(server | {"parallel_workers": 0, "debug": False}))
        program = Path(sys.executable).parent / "mlserver"
        environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "GRAPH_DELAY": str(delay)}
        self.log = folder / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([program, "start", folder], env=environment, stdout=log, stderr=log)
        until = time.monotonic() + 300
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise SystemExit(f"MLServer did not start:\n{self.log.read_text()}")
            time.sleep(0.2)

    def is_ready(self) -> bool:
        """Whether the model can be asked."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/v2/models/guard/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def metadata(self) -> dict[str, Any]:
        """What it says of the model."""
        with urlopen(f"http://127.0.0.1:{self.port}/v2/models/guard", timeout=5) as answer:
            return json.load(answer)

    def requests(self) -> int:
        """How many requests for logits it has answered, by its own count."""
        with urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=5) as answer:
            series = answer.read().decode()
        counted = re.findall(r"^model_infer_request_success_total\{.*\} (\S+)$", series, re.MULTILINE)
        return int(sum(map(float, counted)))

    def stop(self) -> None:
        """Ends it."""
        self.process.kill()
        self.process.wait()


@contextmanager
def serving(delay: float = 0.0) -> Iterator[Server]:
    """A server for as long as the block runs."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), delay)
        try:
            yield server
        finally:
            server.stop()


def check(program: Path, lines: list[dict[str, Any]], **remote: str) -> list[dict[str, Any]]:
    """What `check --jsonl` says of `lines`, by the server that `remote` sets."""
    environment = os.environ | {f"NONNOCERE_GUARD__REMOTE__{key.upper()}": value for key, value in remote.items()}
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as policy:
        policy.write(POLICY)
        policy.flush()
        environment["NONNOCERE_GUARD__POLICY"] = policy.name
        done = subprocess.run([program, "check", "--jsonl"], input=text, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        print(done.stderr, file=sys.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def kill_midway(server: Server, requests: int) -> None:
    """Kills a server that has answered so many requests."""
    while server.answered < requests:
        server.answered = server.requests()
        time.sleep(0.02)
    server.stop()


def sample(corpus: Path, size: int) -> list[dict[str, Any]]:
    """Some rows of the corpus: prompts, and completions with their prompts."""
    rows = []
    for file in sorted(corpus.rglob("*.jsonl")):
        rows += [json.loads(line) for line in file.read_text().splitlines()]
    random.Random(8).shuffle(rows)
    lines = []
    for row in rows:
        line = {key: row[key] for key in ("messages", "prompt", "completion") if row.get(key)}
        if ("prompt" in line) != ("messages" in line):
            lines.append(line | {"id": len(lines)})
        if len(lines) == size:
            break
    return lines


def distance(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """The largest difference of two verdicts' scores; infinite where they are not the same verdict."""
    same = ("id", "direction", "action", "principle", "type", "scan", "policy")
    if any(ours.get(key) != theirs.get(key) for key in same):
        return float("inf")
    scores = [(ours["scores"][name], theirs["scores"][name]) for name in ("violation", "manipulation", "crisis", "refusal")]
    scores += [(p, theirs["scores"]["principles"][name]) for name, p in ours["scores"]["principles"].items()]
    return max(abs(one - other) for one, other in scores)


class Checks:
    """What was checked, and what failed."""

    def __init__(self) -> None:
        self.made, self.failed = 0, 0

    def holds(self, what: str, condition: bool, seen: object = "") -> None:
        """Notes a check."""
        self.made += 1
        if not condition:
            self.failed += 1
            print(f"FAILED: {what} {seen}")

    def same(self, what: str, ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
        """Notes that two runs say the same."""
        self.holds(f"{what}: as many lines", len(ours) == len(theirs), (len(ours), len(theirs)))
        worst = max((distance(*pair) for pair in zip(ours, theirs)), default=float("inf"))
        print(f"{what}: {len(theirs)} lines, largest difference of a score {worst:.1e}")
        self.holds(f"{what}: within {TOLERANCE}", worst <= TOLERANCE, worst)


def main() -> None:
    """Runs all checks; the exit code is 1 when one fails."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", type=Path, default=Path("target/release/nonnocere"))
    arguments.add_argument("--corpus", type=Path, default=Path("classifier/corpus"))
    arguments.add_argument("--sample", type=int, default=SAMPLE)
    asked = arguments.parse_args()
    lines, checks = sample(asked.corpus, asked.sample), Checks()
    here = check(asked.program, lines)

    with serving() as server:
        remote = {"url": f"http://127.0.0.1:{server.port}", "model": "guard"}
        there = check(asked.program, lines, **remote, fallback="none", timeout="9s")
        checks.same("by MLServer", here, there)
        checks.holds("it is known by the hash of its graph", there[0]["model"] == here[0]["model"], server.metadata())
        answered = server.requests()
        print(f"MLServer answered {answered} requests for logits")
        checks.holds("it was asked", answered >= len(lines), answered)
        other = check(asked.program, lines[:10], **remote, fallback="none", version="7")
        checks.holds("an unknown version is not judged by", other == [], other[:1])
        os.kill(server.process.pid, signal.SIGSTOP)
        stopped = check(asked.program, lines[:40], **remote, timeout="200ms")
        os.kill(server.process.pid, signal.SIGCONT)
        checks.same("while MLServer is stopped", here[:40], stopped)
    checks.same("when MLServer is gone", here[:40], check(asked.program, lines[:40], **remote))
    refused = check(asked.program, lines[:40], **remote, fallback="none")
    checks.holds("killed, and nothing stands in: no verdict", refused == [], refused[:1])

    with serving() as server:
        killing = threading.Thread(target=kill_midway, args=(server, answered // 3))
        killing.start()
        midway = check(asked.program, lines, url=f"http://127.0.0.1:{server.port}", model="guard")
        killing.join()
        print(f"MLServer was killed after {server.answered} requests")
        checks.holds("it was killed midway", 0 < server.answered < answered, server.answered)
        checks.same("when MLServer is killed midway", here, midway)

    with serving(delay=1.0) as server:
        slow = check(asked.program, lines[:20], url=f"http://127.0.0.1:{server.port}", model="guard", timeout="100ms")
        checks.same("while MLServer takes a second", here[:20], slow)

    print(f"{checks.made - checks.failed} of {checks.made} checks hold")
    raise SystemExit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
