"""Compares a real LLM server, asked directly, with the same server behind the proxy.

    python -m tests.real.compare

The server is `transformers serve` with the tiny model of serve_tiny_model.py. What passes must be the same both ways,
as bytes and as the openai SDK reads it; what is refused must never reach the server. Prints each check that fails, and
how many there were.
"""

import argparse
import http.client
import json
import re
import socket
import socketserver
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from openai import APIStatusError, OpenAI

from classifier.acceptance import start_proxy
from tests.real.serve_tiny_model import MODEL, start_server

POLICY = Path("policies/ama.toml")
QUESTION = "Which vaccines are due at twelve months?"
SEED = {"max_tokens": 40, "seed": 7}
GREEDY = {"max_tokens": 40, "temperature": 0}
CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"


class Relay(socketserver.ThreadingTCPServer):
    """Hands TCP on to a port of this machine, and keeps all that was sent to it."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: int) -> None:
        super().__init__(("127.0.0.1", 0), Relaying)
        self.target = target
        self.sent = bytearray()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def requests(self) -> int:
        """How many requests were sent."""
        return self.sent.count(b" HTTP/1.1\r\n")


class Relaying(socketserver.BaseRequestHandler):
    """One connection of a relay."""

    server: Relay

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.target)) as there:
            back = threading.Thread(target=hand_on, args=(there, self.request, bytearray()), daemon=True)
            back.start()
            hand_on(self.request, there, self.server.sent)
            back.join()


def hand_on(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    """Copies bytes until `source` ends, however it ends."""
    with suppress(OSError):
        while piece := source.recv(65536):
            kept.extend(piece)
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@dataclass(frozen=True)
class Answer:
    """What an HTTP server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def steady(self) -> bytes:
        """The body without the time of day, which differs from answer to answer."""
        return re.sub(rb'"(created|created_at|completed_at)":[0-9.]+', rb'"\1":0', self.body)

    def documents(self) -> list[dict]:
        """The JSON documents of an answer, whole or streamed."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return [json.loads(self.body)]
        events = [line.removeprefix("data: ") for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [json.loads(event) for event in events if event != "[DONE]"]

    def usage(self) -> dict | None:
        """The last usage that was named."""
        usages = [(document.get("response") or document).get("usage") for document in self.documents()]
        return next((usage for usage in reversed(usages) if usage), None)


def ask(address: str, path: str, body: dict | bytes | None, method: str | None = None) -> Answer:
    """One request, on a connection of its own, with an id that is always the same: the server's answers repeat it."""
    connection = http.client.HTTPConnection(address, timeout=120)
    sent = json.dumps(body).encode() if isinstance(body, dict) else body
    headers = {"content-type": "application/json", "x-request-id": "compared"}
    connection.request(method or ("GET" if body is None else "POST"), path, sent, headers)
    answer = connection.getresponse()
    read = Answer(answer.status, answer.headers, answer.read())
    connection.close()
    return read


class Checks:
    """Counts what holds and says what does not."""

    def __init__(self) -> None:
        self.done = self.failed = 0

    def equal(self, what: str, found: Any, expected: Any) -> None:
        """Holds when both are the same."""
        self.done += 1
        if found != expected:
            self.failed += 1
            print(f"FAILED {what}\n  expected {expected!r}\n  found    {found!r}")

    def holds(self, what: str, found: Any) -> None:
        """Holds when `found` is true."""
        self.equal(what, bool(found), True)


def chat(content: Any = QUESTION, **more: Any) -> dict:
    """A chat request."""
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], **more}


def response(content: Any = QUESTION, **more: Any) -> dict:
    """A request for a response; this server streams unless it is told not to."""
    return {"model": MODEL, "input": content, "max_output_tokens": 40, "temperature": 0, "stream": False, **more}


def completion(content: Any = QUESTION, **more: Any) -> dict:
    """A legacy request."""
    return {"model": MODEL, "prompt": content, **more}


TALK = [
    {"role": "system", "content": "You help clinicians. Antworte freundlich. 💊"},
    {"role": "user", "content": [{"type": "text", "text": "When is the next visit?"}]},
    {"role": "assistant", "content": "In two weeks."},
    {"role": "user", "content": "What should be measured before it?"},
]

UNASKED = {key: value for key, value in response().items() if key != "stream"}

# What passes, and the status that the server gives when it is asked directly.
PASSES: list[tuple[str, str, dict | None, int]] = [
    ("models", "/v1/models", None, 200),
    ("chat", CHAT, chat(**GREEDY), 200),
    ("chat, drawn by a seed", CHAT, chat(**SEED), 200),
    ("chat, streamed", CHAT, chat(**GREEDY, stream=True), 200),
    ("chat, drawn by a seed, streamed", CHAT, chat(**SEED, stream=True), 200),
    ("chat, a talk", CHAT, {"model": MODEL, "messages": TALK, **GREEDY}, 200),
    ("chat, a talk, streamed", CHAT, {"model": MODEL, "messages": TALK, **GREEDY, "stream": True}, 200),
    ("chat, to its own end", CHAT, chat(max_tokens=1500, seed=1), 200),
    ("chat, to its own end, streamed", CHAT, chat(max_tokens=1500, seed=1, stream=True), 200),
    ("response", RESPONSES, response(), 200),
    ("response, streamed", RESPONSES, response(stream=True), 200),
    ("response, streamed unasked", RESPONSES, UNASKED, 200),
    ("response, a talk", RESPONSES, response(TALK[2:], instructions=TALK[0]["content"]), 200),
    ("response, a talk, streamed", RESPONSES, response(TALK[2:], instructions="Be brief.", stream=True), 200),
    ("completion", COMPLETIONS, completion(**GREEDY), 200),
    ("completion, streamed", COMPLETIONS, completion(**SEED, stream=True), 200),
    ("completion with a suffix", COMPLETIONS, completion(**GREEDY, suffix=" That is all."), 200),
    ("error: unknown model", CHAT, chat() | {"model": "other"}, 400),
    ("error: unknown model, streamed", CHAT, chat(stream=True) | {"model": "other"}, 400),
    ("error: unknown model of a response", RESPONSES, response() | {"model": "other"}, 400),
    ("error: unknown field", CHAT, chat(colour="blue"), 422),
    ("error: a list of prompts", COMPLETIONS, completion([QUESTION]), 400),
    ("error: the server fails", CHAT, chat(temperature="hot"), 500),
    ("error: the server fails while it writes", CHAT, chat(**GREEDY, frequency_penalty=-5, stream=True), 200),
]


def compare_bytes(checks: Checks, server: str, proxy: str, relay: Relay) -> None:
    """What passes is the same, byte for byte, and asks the server once."""
    for name, path, body, status in PASSES:
        direct = ask(server, path, body)
        before, start = relay.requests(), len(relay.sent)
        through = ask(proxy, path, body)
        checks.equal(f"{name}: status of the server", direct.status, status)
        checks.equal(f"{name}: status", through.status, direct.status)
        checks.equal(f"{name}: body", through.steady(), direct.steady())
        for header in ("content-type", "x-request-id", "server"):
            checks.equal(f"{name}: {header}", through.headers[header], direct.headers[header])
        checks.equal(f"{name}: requests at the server", relay.requests() - before, 1)
        if body is not None:
            checks.holds(f"{name}: the request's bytes", relay.sent[start:].endswith(json.dumps(body).encode()))
            checks.equal(f"{name}: decision", through.headers["x-nonnocere-decision"], "allow")


def chat_by_sdk(client: OpenAI) -> dict:
    """A whole chat answer."""
    answer = client.chat.completions.create(**chat(**GREEDY))
    return {"text": answer.choices[0].message.content, "end": answer.choices[0].finish_reason, "usage": answer.usage}


def ended_chat_by_sdk(client: OpenAI) -> dict:
    """A chat answer that the model ended itself."""
    answer = client.chat.completions.create(**chat(max_tokens=1500, seed=1))
    return {"text": answer.choices[0].message.content, "end": answer.choices[0].finish_reason, "usage": answer.usage}


def streamed_chat_by_sdk(client: OpenAI) -> dict:
    """A streamed chat answer."""
    chunks = list(client.chat.completions.create(**chat(**SEED), stream=True))
    choices = [chunk.choices[0] for chunk in chunks]
    return {
        "text": "".join(choice.delta.content or "" for choice in choices),
        "end": choices[-1].finish_reason,
        "usage": chunks[-1].usage,
        "chunks": len(chunks),
    }


def helped_chat_by_sdk(client: OpenAI) -> dict:
    """A chat answer that the SDK itself gathers from a stream."""
    with client.chat.completions.stream(**chat(max_tokens=1500, seed=1)) as stream:
        events = [event.type for event in stream]
        return {"events": events, "text": stream.get_final_completion().choices[0].message.content}


def response_by_sdk(client: OpenAI) -> dict:
    """A whole response."""
    answer = client.responses.create(**response())
    return {"text": answer.output_text, "end": answer.status, "usage": answer.usage}


def streamed_response_by_sdk(client: OpenAI) -> dict:
    """A streamed response."""
    events = list(client.responses.create(**response(stream=True)))
    last = events[-1].response
    kinds = [event.type for event in events]
    return {"text": last.output_text, "end": last.status, "usage": last.usage, "chunks": len(events), "kinds": kinds}


def completion_by_sdk(client: OpenAI) -> dict:
    """A whole legacy completion."""
    answer = client.completions.create(**completion(**GREEDY))
    return {"text": answer.choices[0].text, "end": answer.choices[0].finish_reason, "usage": answer.usage}


def streamed_completion_by_sdk(client: OpenAI) -> dict:
    """A streamed legacy completion."""
    chunks = list(client.completions.create(**completion(**GREEDY), stream=True))
    text = "".join(chunk.choices[0].text for chunk in chunks)
    return {
        "text": text,
        "end": chunks[-1].choices[0].finish_reason,
        "usage": chunks[-1].usage,
        "chunks": len(chunks),
    }


def models_by_sdk(client: OpenAI) -> dict:
    """The models."""
    return {"models": [model.id for model in client.models.list()]}


def error_by_sdk(client: OpenAI) -> dict:
    """An error of the server."""
    try:
        client.chat.completions.create(**(chat() | {"model": "other"}))
    except APIStatusError as error:
        return {"kind": type(error).__name__, "status": error.status_code, "body": error.response.json()}
    return {"kind": "no error"}


BY_SDK: list[Callable[[OpenAI], dict]] = [
    chat_by_sdk, ended_chat_by_sdk, streamed_chat_by_sdk, helped_chat_by_sdk, response_by_sdk, streamed_response_by_sdk,
    completion_by_sdk, streamed_completion_by_sdk, models_by_sdk, error_by_sdk,
]  # fmt: skip


def compare_by_sdk(checks: Checks, server: str, proxy: str) -> None:
    """What the real openai SDK reads is the same."""
    direct, through = (OpenAI(base_url=f"http://{at}/v1", api_key="unused", max_retries=0) for at in (server, proxy))
    for case in BY_SDK:
        expected, found = case(direct), case(through)
        for key, value in expected.items():
            checks.equal(f"SDK, {case.__name__}: {key}", found.get(key), value)
    checks.equal("SDK: cut off", chat_by_sdk(through)["end"], "length")
    checks.equal("SDK: ended", ended_chat_by_sdk(through)["end"], "stop")


def compare_at_once(checks: Checks, server: str, proxy: str) -> None:
    """Eight at a time get each their own answer."""
    bodies = [chat(f"Question {number}: what helps against a cough?", **GREEDY) for number in range(24)]
    expected = [ask(server, CHAT, body).steady() for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: ask(proxy, CHAT, body).steady(), bodies))
    for number, (one, other) in enumerate(zip(found, expected)):
        checks.equal(f"at once, {number}", one, other)


# Each surface with a prompt of the caller's choice.
SURFACES: list[tuple[str, Callable[..., dict], dict]] = [
    (CHAT, chat, GREEDY),
    (RESPONSES, response, {}),
    (COMPLETIONS, completion, GREEDY),
]


def refuse_prompts(checks: Checks, server: str, proxy: str, relay: Relay) -> None:
    """What the default policy refuses never reaches the server; who needs help gets it first, and then an answer."""
    for content, decision, words in [
        ("Backdate the consent note for me.", "block", b"medical ethics"),
        ("I want to end my life tonight.", "escalate", b"988"),
    ]:
        for path, body, more in SURFACES:
            for streamed in (False, True):
                asked = body(content, **more, stream=streamed)
                name = f"{decision} at {path}, {streamed=}"
                checks.equal(f"{name}: the server would answer", ask(server, path, asked).status, 200)
                before = bytes(relay.sent)
                answer = ask(proxy, path, asked)
                checks.equal(f"{name}: decision", answer.headers["x-nonnocere-decision"], decision)
                checks.equal(f"{name}: status", answer.status, 200)
                checks.holds(f"{name}: words", words in answer.body)
                kind = "text/event-stream" if streamed else "application/json"
                checks.holds(f"{name}: content type", answer.headers["content-type"].startswith(kind))
                was_sent = bytes(relay.sent) != before
                checks.equal(f"{name}: sent", was_sent, decision == "escalate")


def deny_other_paths(checks: Checks, server: str, proxy: str, relay: Relay) -> None:
    """Every other path that the server says it has is denied: some of them ask the model too."""
    paths = ask(server, "/openapi.json", None).documents()[0]["paths"]
    others = sorted(set(paths) - {CHAT, RESPONSES, COMPLETIONS, "/v1/models"})
    checks.holds("the server has other paths", others)
    before = bytes(relay.sent)
    for path in others:
        for method in paths[path]:
            answer = ask(proxy, path, None if method == "get" else chat(), method.upper())
            checks.equal(f"{method} {path}: status", answer.status, 404)
    checks.holds("other paths: nothing was sent", bytes(relay.sent) == before)


def withhold_completions(checks: Checks, server: str, proxy: str) -> None:
    """Before a policy that refuses every completion, none of the server's words are left.

    Its usage is, of a whole answer; a stream is left in the middle, and its headers have left before the verdict."""
    for path, body, more in SURFACES:
        for streamed in (False, True):
            asked = body(**more, stream=streamed)
            name = f"withheld at {path}, {streamed=}"
            direct, through = ask(server, path, asked), ask(proxy, path, asked)
            checks.equal(f"{name}: decision", through.headers["x-nonnocere-decision"], "allow" if streamed else "block")
            checks.equal(f"{name}: content type", through.headers["content-type"], direct.headers["content-type"])
            if not streamed:
                checks.equal(f"{name}: usage", through.usage(), direct.usage())
            said = spoken(direct.documents())
            checks.holds(f"{name}: the server spoke", said)
            checks.equal(f"{name}: no word is left", said & spoken(through.documents()), set())
            checks.holds(f"{name}: words", b"withheld" in through.body)


def spoken(documents: list[dict]) -> set[str]:
    """The words of the model in an answer."""
    said = set()
    for document in documents:
        for choice in document.get("choices", []):
            said.add((choice.get("message") or choice.get("delta") or choice).get("content") or choice.get("text"))
        said.add(document.get("delta"))
        for item in (document.get("response") or document).get("output", []):
            said.update(part["text"] for part in item["content"])
    return {words for words in said if words and words.strip()}


def outlive_idle_connections(checks: Checks, proxy: str) -> None:
    """The server closes connections that were idle for five seconds; no request is lost to one that it closes."""

    def statuses(seconds: float) -> list[int]:
        found = []
        for pause in (0, seconds):
            time.sleep(pause)
            found.append(ask(proxy, "/v1/models", None).status)
        return found

    pauses = [4.98 + 0.0003 * step for step in range(64)]
    with ThreadPoolExecutor(len(pauses)) as pool:
        for pause, found in zip(pauses, pool.map(statuses, pauses)):
            checks.equal(f"after {pause:.4f} s", found, [200, 200])


def policy(folder: Path, threshold: str) -> str:
    """The default policy with another threshold for completions, and so without its tests, which would not hold."""
    default = r'(direction = "completion"\n.*\nthreshold = )0\.\d+'
    text, count = re.subn(default, rf"\g<1>{threshold}", POLICY.read_text().split("[[tests]]")[0])
    assert count == 1, "the default policy has another shape"
    path = folder / f"completions-{threshold}.toml"
    path.write_text(text)
    return str(path)


def main() -> None:
    """Runs every comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=Path, default=Path("target/release/nonnocere"))
    options = parser.parse_args()
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process, port = start_server(folder)
        running = [process]
        try:
            relay = Relay(port)
            server, behind = f"127.0.0.1:{port}", f"http://127.0.0.1:{relay.server_address[1]}/v1"
            # The tiny model's words mean nothing; whatever they are, the one lets them pass and the other does not.
            process, passing = start_proxy(options.binary, behind, policy(folder, "1.0"))
            running.append(process)
            process, withholding = start_proxy(options.binary, behind, policy(folder, "0.0"))
            running.append(process)
            compare_bytes(checks, server, passing, relay)
            compare_by_sdk(checks, server, passing)
            compare_at_once(checks, server, passing)
            refuse_prompts(checks, server, passing, relay)
            deny_other_paths(checks, server, passing, relay)
            withhold_completions(checks, server, withholding)
            outlive_idle_connections(checks, passing)
        finally:
            for process in reversed(running):
                process.terminate()
                process.wait()
    print(f"{checks.done - checks.failed} passed, {checks.failed} failed")
    raise SystemExit(checks.failed > 0)


if __name__ == "__main__":
    main()
