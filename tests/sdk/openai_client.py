"""A chatbot's engineer changes one base URL: what the real openai SDK makes of each answer.

Called with the base URL of a proxy before the upstream that tests/openai_sdk.rs scripts. Exits 0 when all holds.
"""

import sys

from openai import APIStatusError, ContentFilterFinishReasonError, InternalServerError, OpenAI

client = OpenAI(base_url=sys.argv[1], api_key="sk-test", max_retries=0)


def ask(content: str, **more):
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": content}], **more)


def streamed(content: str):
    """Text, finish reason and usage of a stream that was read to its end."""
    text, finish, usage = "", None, None
    for chunk in ask(content, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return text, finish, usage


def allowed() -> None:
    answer = ask("hello")
    assert answer.choices[0].message.content == "Take it with food.", answer
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 12


def allowed_with_headers() -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "hello"}])
    assert raw.headers["x-nonnocere-decision"] == "allow"
    assert raw.parse().choices[0].message.role == "assistant"


def refused() -> None:
    answer = ask("VIOLATE", n=2)
    assert len(answer.choices) == 2
    for choice in answer.choices:
        assert "medical ethics" in choice.message.content, choice
        assert choice.finish_reason == "content_filter"
    assert answer.usage.total_tokens == 0


def in_crisis() -> None:
    answer = ask("CRISIS")
    assert "988" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"


def allowed_stream() -> None:
    assert streamed("hello")[:2] == ("Take it with food.", "stop")
    assert streamed("hello")[2].total_tokens == 12


def refused_before_the_stream() -> None:
    text, finish, usage = streamed("VIOLATE")
    assert "medical ethics" in text and finish == "content_filter" and usage.total_tokens == 0


def refused_while_streaming() -> None:
    text, finish, usage = streamed("say something bad")
    assert "withheld" in text and "VIOLATE" not in text, text
    assert finish == "content_filter" and usage.total_tokens == 12


def refused_completion() -> None:
    choice = ask("say something bad").choices[0]
    assert "withheld" in choice.message.content and choice.finish_reason == "content_filter"


def streamed_by_the_helper() -> None:
    """The SDK's own accumulator sees the whole refusal, and says that a filter ended it, not that anything broke."""
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "VIOLATE"}]) as stream:
        kinds = [event.type for event in stream]
        assert "content.done" in kinds, kinds
        try:
            stream.get_final_completion()
        except ContentFilterFinishReasonError:
            return
    raise AssertionError("no error")


def error_of_the_upstream() -> None:
    try:
        ask("make the upstream fail")
    except InternalServerError as error:
        assert error.status_code == 500 and error.body["message"] == "the upstream fell over", error.body
    else:
        raise AssertionError("no error")


def error_of_the_client() -> None:
    try:
        ask("hello", n=0)
    except APIStatusError as error:
        assert error.status_code == 400 and error.param == "n" and error.code == "invalid_value", error
    else:
        raise AssertionError("no error")


def models() -> None:
    assert [model.id for model in client.models.list()] == ["m"]


CASES = [
    allowed, allowed_with_headers, refused, in_crisis, allowed_stream, refused_before_the_stream, refused_while_streaming,
    refused_completion, streamed_by_the_helper, error_of_the_upstream, error_of_the_client, models,
]
for case in CASES:
    case()
print(f"{len(CASES)} cases")
