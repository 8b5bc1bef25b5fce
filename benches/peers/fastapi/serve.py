"""A guard as most write it, and as LLM Guard's server does it: FastAPI, uvicorn, ONNX Runtime in Python, httpx to the LLM."""

import os
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from benches.peers.guard import REFUSAL, Guard, last_user_turn

guard = Guard()
upstream = os.environ["UPSTREAM"]


@asynccontextmanager
async def lifespan(app: FastAPI):
    limits = httpx.Limits(max_connections=1000, max_keepalive_connections=1000)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


def refusal() -> JSONResponse:
    """What is answered in place of what violates."""
    message = {"role": "assistant", "content": REFUSAL}
    return JSONResponse({"choices": [{"index": 0, "message": message, "finish_reason": "content_filter"}]})


# The model runs in the event loop: on one core, a thread would only take turns with it.
@app.post("/v1/chat/completions")
async def complete(request: Request) -> Response:
    """Judges the prompt, asks the LLM, judges its answer."""
    body = await request.json()
    prompt = last_user_turn(body["messages"])
    if guard.refuses_prompt(prompt):
        return refusal()
    answer = await request.app.state.client.post(f"{upstream}/v1/chat/completions", json=body)
    for choice in answer.json()["choices"]:
        if guard.refuses_completion(prompt, choice["message"]["content"]):
            return refusal()
    return Response(answer.content, answer.status_code, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", access_log=False)
