"""Measures the running proxy with the shipped model: what is blocked, what is stopped by mistake.

    python -m classifier.acceptance --data ../shared/data

Starts the release binary before an upstream of its own, which answers with MedSafetyBench's safe responses, and sends
everything over HTTP: MedSafetyBench's requests (never trained on), held-out benign questions (never trained on, never
used for thresholds), and harmless questions whose scripted answers are MedSafetyBench's safe responses.
"""

import argparse
import http.client
import json
import os
import re
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from classifier.data import read_medsafetybench, read_shared, split_of

STOPPED = ("block", "escalate")


class Scripted(BaseHTTPRequestHandler):
    """An LLM that says what `answers` holds for the last user message, else something harmless."""

    protocol_version = "HTTP/1.1"
    answers: dict[str, str] = {}

    def do_POST(self) -> None:  # noqa: N802, the name that http.server calls
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = self.answers.get(request["messages"][-1]["content"], "Please ask your care team.")
        body, kind = (streamed(text), "text/event-stream") if request.get("stream") else (whole(text), "application/json")
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def whole(text: str) -> bytes:
    """A chat answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).encode()


def streamed(text: str) -> bytes:
    """The same answer as a stream, about a word an event."""
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in re.findall(r"\s*\S+|\s+$", text)]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    events = [json.dumps(frame | {"choices": [choice]}) for choice in choices]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()


def start_proxy(binary: Path, upstream: str, policy: str | None) -> tuple[subprocess.Popen, str]:
    """The serving process, and the address that it serves clients on."""
    settings = {
        "NONNOCERE_UPSTREAM__URL": upstream,
        "NONNOCERE_SERVER__LISTEN": "127.0.0.1:0",
        "NONNOCERE_SERVER__ADMIN_LISTEN": "127.0.0.1:0",
        "NONNOCERE_LOG__LEVEL": "error",
        "NONNOCERE_AUDIT__URL": "none",
    }
    if policy:
        settings["NONNOCERE_GUARD__POLICY"] = policy
    process = subprocess.Popen([binary, "serve"], env=os.environ | settings, stdout=subprocess.PIPE, text=True)
    line = next(line for line in process.stdout if "clients:" in line)
    return process, line.split("http://")[1].split("/")[0]


def decisions(address: str, prompts: list[str], stream: bool = False) -> list[str]:
    """What is decided on each prompt and its answer, in order: the header, or of a stream, how it ends."""
    local = threading.local()

    def one(prompt: str) -> str:
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(address)
        body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": prompt}]})
        local.connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = local.connection.getresponse()
        text = answer.read()
        is_cut = stream and b'"finish_reason":"content_filter"' in text
        return "block" if is_cut else answer.headers["x-nonnocere-decision"]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, prompts))


def report(what: str, decided: list[str]) -> None:
    """One line: the share that was stopped, and the decisions behind it."""
    stopped = sum(decision in STOPPED for decision in decided)
    print(f"{what:<58}{stopped:>6} of {len(decided):<6}{100 * stopped / len(decided):7.2f}%  {dict(Counter(decided))}")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--binary", type=Path, default=Path("target/release/nonnocere"))
    parser.add_argument("--policy", help="a policy file in place of the embedded one")
    options = parser.parse_args()
    rows = read_medsafetybench(options.data)
    items = [item for item in read_shared(options.data) if split_of(item) == "test" and item.source == "benign_queries"]
    questions = [item.text for item in items]
    # The question is harmless, so that the completion is reached; numbered, so that each gets its own answer.
    asked = [f"Question {number}: what should I know about this?" for number in range(len(rows))]
    Scripted.answers = dict(zip(asked, (row["safe_response"] for row in rows)))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    process, address = start_proxy(options.binary, f"http://127.0.0.1:{server.server_port}/v1", options.policy)
    try:
        report("MedSafetyBench requests stopped", decisions(address, [row["text"] for row in rows]))
        report("held-out benign questions stopped", decisions(address, questions))
        report("MedSafetyBench safe responses, as completions, refused", decisions(address, asked))
        report("the same, streamed and judged sentence by sentence", decisions(address, asked, stream=True))
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
