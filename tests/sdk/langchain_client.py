"""What LangChain makes of each answer, by its chat model over both surfaces.

Called with two base URLs, of a proxy that answers with refusals and of one that blocks, both before the LLM that
tests/sdk/mod.rs scripts. Exits 0 when all holds.
"""

import sys
from contextlib import contextmanager
from functools import partial

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_openai.chat_models.base import OpenAIRefusalError
from openai import BadRequestError, ContentFilterFinishReasonError, DefaultHttpxClient, InternalServerError
from pydantic import BaseModel

sent = []
counted = DefaultHttpxClient(event_hooks={"request": [sent.append]})
URL, BLOCKING_URL = sys.argv[1:]


class Advice(BaseModel):
    """What to do."""

    advice: str


@tool
def dose_of(drug: str) -> str:
    """Look up a dose."""
    return f"400 mg of {drug}"


def model(responses: bool, url: str = URL, **more) -> ChatOpenAI:
    """A chat model that tries again as often as it does by itself."""
    return ChatOpenAI(model="m", base_url=url, api_key="sk-test", http_client=counted, use_responses_api=responses,
                      stream_usage=True, **more)


@contextmanager
def raises(kind: type[Exception]):
    """One request, and an error of this kind."""
    before = len(sent)
    try:
        yield
    except kind:
        assert len(sent) == before + 1, f"sent {len(sent) - before} times"
    else:
        raise AssertionError("no error")


def is_filtered(message) -> bool:
    """Whether a message ends as one that a filter stopped, on the surface that it came by."""
    ended = message.response_metadata
    if "status" in ended:
        return ended["status"] == "incomplete" and ended["incomplete_details"]["reason"] == "content_filter"
    return ended["finish_reason"] == "content_filter"


def streamed(llm, content: str):
    """The message that all chunks add up to."""
    first, *others = llm.stream(content)
    return sum(others, first)


def allowed(responses: bool) -> None:
    for message in [model(responses).invoke("hello"), streamed(model(responses), "hello")]:
        assert message.text == "Take it with food." and not is_filtered(message), message
        assert message.usage_metadata["total_tokens"] == 12, message


REFUSED = [("VIOLATE", "medical ethics", 0), ("say something bad", "withheld", 12)]


def refused(responses: bool) -> None:
    for content, said, tokens in REFUSED:
        message = model(responses).invoke(content)
        assert said in message.text and is_filtered(message), message
        assert message.usage_metadata["total_tokens"] == tokens, message


def refused_stream(responses: bool) -> None:
    for content, said, tokens in REFUSED:
        message = streamed(model(responses), content)
        assert said in message.text and "VIOLATE" not in message.text and is_filtered(message), message
        assert message.usage_metadata["total_tokens"] == tokens, message


def in_crisis(responses: bool) -> None:
    message = model(responses).invoke("CRISIS")
    assert "988" in message.text and not is_filtered(message), message


def tool_called(responses: bool) -> None:
    llm = model(responses).bind_tools([dose_of])
    for message in [llm.invoke("hello"), streamed(llm, "hello")]:
        (call,) = message.tool_calls
        assert call["args"] == {"drug": "ibuprofen"}, message
        result = dose_of.invoke(call)
        assert isinstance(result, ToolMessage)
        answer = llm.invoke([HumanMessage("hello"), message, result])
        assert answer.text == "Take it with food." and not answer.tool_calls, answer


def tool_not_called(responses: bool) -> None:
    llm = model(responses).bind_tools([dose_of])
    for content, said, _ in REFUSED:
        for message in [llm.invoke(content), streamed(llm, content)]:
            assert not message.tool_calls and not message.invalid_tool_calls, message
            assert said in message.text and is_filtered(message), message


def structured(responses: bool) -> None:
    llm = model(responses).with_structured_output(Advice)
    assert llm.invoke("hello") == Advice(advice="Take it with food.")
    assert list(llm.stream("hello"))[-1] == Advice(advice="Take it with food.")


def not_structured(responses: bool) -> None:
    """The openai SDK says why a chat has no object before LangChain can; over responses, LangChain says it itself."""
    llm = model(responses).with_structured_output(Advice)
    error = OpenAIRefusalError if responses else ContentFilterFinishReasonError
    for content, _, _ in REFUSED:
        with raises(error):
            llm.invoke(content)
        with raises(error):
            list(llm.stream(content))


def blocked(responses: bool) -> None:
    llm = model(responses, BLOCKING_URL)
    with raises(BadRequestError):
        llm.invoke("VIOLATE")
    with raises(BadRequestError):
        streamed(llm, "VIOLATE")


def error_of_the_upstream(responses: bool) -> None:
    with raises(InternalServerError):
        model(responses, max_retries=0).invoke("make the upstream fail")
    with raises(InternalServerError):
        streamed(model(responses, max_retries=0), "make the upstream fail")
    with raises(BadRequestError):
        model(responses).invoke("ask for too much")


def embedded() -> None:
    """Texts are sent as they are: the SDK cuts them into token ids otherwise, which cannot be judged."""
    embeddings = OpenAIEmbeddings(model="m", base_url=URL, api_key="sk-test", http_client=counted,
                                  check_embedding_ctx_length=False)
    assert embeddings.embed_documents(["hello", "there"]) == [[0.5, -1.0], [0.5, -1.0]]
    with raises(BadRequestError):
        embeddings.embed_documents(["hello", "VIOLATE"])


BY_BOTH = [
    allowed, refused, refused_stream, in_crisis, tool_called, tool_not_called, structured, not_structured, blocked,
    error_of_the_upstream,
]
CASES = [partial(case, responses) for case in BY_BOTH for responses in [False, True]] + [embedded]
for case in CASES:
    case()
print(f"{len(CASES)} cases")
