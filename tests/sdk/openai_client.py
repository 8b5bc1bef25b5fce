"""A chatbot's engineer changes one base URL: what the real openai SDK makes of each answer.

Called with two base URLs, of a proxy that answers with refusals and of one that blocks, both before the LLM that
tests/sdk/mod.rs scripts. Exits 0 when all holds.
"""

import json
import os
import sys
from contextlib import contextmanager

from openai import (
    APIStatusError, BadRequestError, ContentFilterFinishReasonError, DefaultHttpxClient, InternalServerError, OpenAI,
)
from pydantic import BaseModel

sent = []
REWRITING = json.loads(os.environ["REWRITING"])
# The SDK tries again as often as it does by itself: what is refused must come once.
client, blocking = (
    OpenAI(base_url=url, api_key="sk-test", http_client=DefaultHttpxClient(event_hooks={"request": [sent.append]}))
    for url in sys.argv[1:]
)


class Advice(BaseModel):
    advice: str


PARAMETERS = {"type": "object", "properties": {"drug": {"type": "string"}}, "required": ["drug"]}
TOOL = {"type": "function", "function": {"name": "dose_of", "description": "Looks up a dose", "parameters": PARAMETERS}}
FLAT_TOOL = {"type": "function", **TOOL["function"]}


def messages(content: str) -> list:
    return [{"role": "user", "content": content}]


def ask(content: str, **more):
    return client.chat.completions.create(model="m", messages=messages(content), **more)


def respond(content: str, **more):
    return client.responses.create(model="m", input=content, **more)


@contextmanager
def raises(kind: type[Exception]):
    """One request, and an error of this very kind."""
    before = len(sent)
    try:
        yield
    except Exception as error:
        assert type(error) is kind, repr(error)
        assert len(sent) == before + 1, f"sent {len(sent) - before} times"
    else:
        raise AssertionError("no error")


def streamed(content: str, **more):
    """Text, arguments of calls, finish reason and usage of a stream that was read to its end."""
    text, arguments, finish, usage = "", "", None, None
    for chunk in ask(content, stream=True, stream_options={"include_usage": True}, **more):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            arguments += "".join(call.function.arguments for call in choice.delta.tool_calls or [])
            finish = choice.finish_reason or finish
    return text, arguments, finish, usage


def streamed_response(content: str, **more):
    """Text, arguments of calls and the response of the last event."""
    text, arguments = "", ""
    for event in respond(content, stream=True, **more):
        text += event.delta if event.type == "response.output_text.delta" else ""
        arguments += event.delta if event.type == "response.function_call_arguments.delta" else ""
    assert event.type == f"response.{event.response.status}", event
    return text, arguments, event.response


def is_filtered(response) -> bool:
    return response.status == "incomplete" and response.incomplete_details.reason == "content_filter"


def allowed() -> None:
    answer = ask("hello")
    assert answer.choices[0].message.content == "Take it with food.", answer
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 12


def allowed_with_headers() -> None:
    raw = client.chat.completions.with_raw_response.create(model="m", messages=messages("hello"))
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


def helped_first(content: str = "CRISIS") -> None:
    text, _, finish, usage = streamed(content)
    assert "988" in text and text.endswith("Take it with food.") and finish == "stop" and usage.total_tokens == 12, text
    text, _, response = streamed_response(content)
    assert "988" in text and text.endswith("Take it with food.") and response.status == "completed", text
    assert [item.type for item in response.output] == ["message", "message"], response
    # The SDK joins what comes twice, so that the role must come once.
    with client.chat.completions.stream(model="m", messages=messages(content)) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.role == "assistant" and message.content.endswith("Take it with food."), message
    assert respond(content).output_text.endswith("Take it with food.")


def rewritten() -> None:
    """By each rewriting policy, whole and streamed, the SDK sees a whole answer."""
    for action, content, said, finish in [
        ("excise", "say something bad in many words", "Come back in two weeks for a test.", "stop"),
        ("excise", "say something bad", "withheld", "content_filter"),
        ("regenerate", "say something bad", "Rather do this.", "stop"),
        ("replace", "say something bad", "withheld", "content_filter"),
        ("steer", "VIOLATE", "Rather do this.", "stop"),
        ("redact", "Patient: Maria Sanchez", "Dear Maria Sanchez", "stop"),
    ]:
        for stream in [False, True]:
            options = {"stream_options": {"include_usage": True}} if stream else {}
            with OpenAI(base_url=REWRITING[action], api_key="sk-test") as other:
                asked = {"model": "m", "messages": messages(content)}
                if stream:
                    with other.chat.completions.stream(**asked, **options) as events:
                        choice = None
                        for event in events:
                            choice = event
                        completion = events.get_final_completion() if finish == "stop" else events.current_completion_snapshot
                else:
                    completion = other.chat.completions.create(**asked)
            choice = completion.choices[0]
            assert said in choice.message.content and "VIOLATE" not in choice.message.content, (action, stream, choice)
            assert choice.finish_reason == finish, (action, stream, choice)
            response = respond_by(action, content, stream)
            assert "VIOLATE" not in response.output_text and said in response.output_text, (action, stream, response)
            assert (response.status == "completed") == (finish == "stop"), (action, stream, response)


def respond_by(action: str, content: str, stream: bool):
    with OpenAI(base_url=REWRITING[action], api_key="sk-test") as other:
        if not stream:
            return other.responses.create(model="m", input=content)
        with other.responses.stream(model="m", input=content) as events:
            for event in events:
                last = event
        assert last.type in ("response.completed", "response.incomplete"), last
        return last.response


def allowed_stream() -> None:
    text, _, finish, usage = streamed("hello")
    assert text == "Take it with food." and finish == "stop" and usage.total_tokens == 12


def refused_before_the_stream() -> None:
    text, _, finish, usage = streamed("VIOLATE")
    assert "medical ethics" in text and finish == "content_filter" and usage.total_tokens == 0


def refused_while_streaming() -> None:
    text, _, finish, usage = streamed("say something bad")
    assert "withheld" in text and "VIOLATE" not in text, text
    assert finish == "content_filter" and usage.total_tokens == 12


def refused_completion() -> None:
    choice = ask("say something bad").choices[0]
    assert "withheld" in choice.message.content and choice.finish_reason == "content_filter"


def streamed_by_the_helper() -> None:
    """The SDK's own accumulator sees the whole refusal, and says that a filter ended it, not that anything broke."""
    for content in ["VIOLATE", "say something bad"]:
        with client.chat.completions.stream(model="m", messages=messages(content)) as stream:
            kinds = [event.type for event in stream]
            assert "content.done" in kinds, kinds
            try:
                stream.get_final_completion()
            except ContentFilterFinishReasonError:
                continue
        raise AssertionError("no error")


def blocked() -> None:
    for stream in [False, True]:
        with raises(BadRequestError):
            blocking.chat.completions.create(model="m", messages=messages("VIOLATE"), stream=stream)
        with raises(BadRequestError):
            blocking.responses.create(model="m", input="VIOLATE", stream=stream)


def what_blocks_says_why() -> None:
    try:
        blocking.chat.completions.create(model="m", messages=messages("VIOLATE"))
    except BadRequestError as error:
        assert error.code == "content_filter" and error.param == "prompt", error
        assert error.body["innererror"]["code"] == "ResponsibleAIPolicyViolation", error.body
    else:
        raise AssertionError("no error")


def tool_allowed() -> None:
    answer = ask("hello", tools=[TOOL]).choices[0]
    (call,) = answer.message.tool_calls
    assert answer.finish_reason == "tool_calls" and json.loads(call.function.arguments) == {"drug": "ibuprofen"}
    said = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    result = {"role": "tool", "tool_call_id": call.id, "content": "400 mg"}
    answer = client.chat.completions.create(model="m", messages=[*messages("hello"), said, result], tools=[TOOL])
    assert answer.choices[0].message.content == "Take it with food."


def tool_refused() -> None:
    for content, said in [("VIOLATE", "medical ethics"), ("say something bad", "withheld")]:
        choice = ask(content, tools=[TOOL]).choices[0]
        assert choice.finish_reason == "content_filter" and not choice.message.tool_calls, choice
        assert said in choice.message.content, choice


def tool_streamed() -> None:
    _, arguments, finish, _ = streamed("hello", tools=[TOOL])
    assert json.loads(arguments) == {"drug": "ibuprofen"} and finish == "tool_calls"
    text, arguments, finish, _ = streamed("say something bad", tools=[TOOL])
    assert "withheld" in text and not arguments and finish == "content_filter"


def parsed() -> None:
    answer = client.chat.completions.parse(model="m", messages=messages("hello"), response_format=Advice)
    assert answer.choices[0].message.parsed == Advice(advice="Take it with food.")


def not_parsed() -> None:
    """The SDK says why there is no object, and streams the words of the refusal."""
    for content, said in [("VIOLATE", "medical ethics"), ("say something bad", "withheld")]:
        with raises(ContentFilterFinishReasonError):
            client.chat.completions.parse(model="m", messages=messages(content), response_format=Advice)
        asked = {"model": "m", "messages": messages(content), "response_format": Advice}
        with raises(ContentFilterFinishReasonError), client.chat.completions.stream(**asked) as stream:
            assert said in "".join(event.delta for event in stream if event.type == "refusal.delta")
            stream.get_final_completion()


def no_object_in_a_crisis() -> None:
    """Help comes where a program looks for words when there is no object."""
    answer = client.chat.completions.parse(model="m", messages=messages("CRISIS"), response_format=Advice).choices[0]
    assert answer.message.parsed is None and "988" in answer.message.refusal and answer.finish_reason == "stop", answer


def response_allowed() -> None:
    response = respond("hello")
    assert response.output_text == "Take it with food." and response.status == "completed", response
    assert response.usage.total_tokens == 12


def response_refused() -> None:
    response = respond("VIOLATE")
    assert "medical ethics" in response.output_text and is_filtered(response), response
    assert response.usage.total_tokens == 0


def response_refused_completion() -> None:
    response = respond("say something bad")
    assert "withheld" in response.output_text and is_filtered(response), response
    assert response.usage.total_tokens == 12


def response_streamed() -> None:
    text, _, response = streamed_response("hello")
    assert text == response.output_text == "Take it with food." and response.status == "completed"


def response_refused_before_the_stream() -> None:
    text, _, response = streamed_response("VIOLATE")
    assert text == response.output_text and "medical ethics" in text and is_filtered(response)


def response_refused_while_streaming() -> None:
    text, _, response = streamed_response("say something bad")
    assert text == response.output_text and "withheld" in text and is_filtered(response)
    assert response.usage.total_tokens == 12


def response_streamed_by_the_helper() -> None:
    with client.responses.stream(model="m", input="hello") as stream:
        assert stream.get_final_response().output_text == "Take it with food."
    for content in ["VIOLATE", "say something bad"]:
        with client.responses.stream(model="m", input=content) as stream:
            assert [event for event in stream][-1].type == "response.incomplete"


def response_with_a_tool() -> None:
    (call,) = respond("hello", tools=[FLAT_TOOL]).output
    assert call.type == "function_call" and json.loads(call.arguments) == {"drug": "ibuprofen"}
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "400 mg"}
    turns = [*messages("hello"), call.model_dump(), result]
    assert client.responses.create(model="m", input=turns, tools=[FLAT_TOOL]).output_text == "Take it with food."
    response = respond("say something bad", tools=[FLAT_TOOL])
    assert is_filtered(response) and [item.type for item in response.output] == ["message"], response


def response_with_a_tool_streamed() -> None:
    _, arguments, response = streamed_response("hello", tools=[FLAT_TOOL])
    assert json.loads(arguments) == {"drug": "ibuprofen"} and response.output[0].type == "function_call"
    text, arguments, response = streamed_response("say something bad", tools=[FLAT_TOOL])
    assert "withheld" in text and not arguments and is_filtered(response)
    assert [item.type for item in response.output] == ["message"], response


def response_parsed() -> None:
    response = client.responses.parse(model="m", input="hello", text_format=Advice)
    assert response.output_parsed == Advice(advice="Take it with food.")


def response_not_parsed() -> None:
    """There is no object, but a refusal in words."""
    for content, said in [("VIOLATE", "medical ethics"), ("say something bad", "withheld")]:
        response = client.responses.parse(model="m", input=content, text_format=Advice)
        assert response.output_parsed is None and is_filtered(response), response
        assert said in response.output[0].content[0].refusal, response
        with client.responses.stream(model="m", input=content, text_format=Advice) as stream:
            events = list(stream)
        assert said in "".join(event.delta for event in events if event.type == "response.refusal.delta")
        assert is_filtered(events[-1].response), events[-1]


def embedded() -> None:
    answer = client.embeddings.create(model="m", input=["hello", "there"])
    assert [item.embedding for item in answer.data] == [[0.5, -1.0], [0.5, -1.0]], answer


def not_embedded() -> None:
    with raises(BadRequestError):
        client.embeddings.create(model="m", input=["hello", "VIOLATE"])


def moderated() -> None:
    calm, bad = client.moderations.create(input=["hello", "VIOLATE"]).results
    assert not calm.flagged and bad.flagged
    assert bad.categories.illicit and bad.category_scores.illicit > 0.5 and not bad.categories.violence, bad
    assert bad.categories.model_extra["ama/II"] and not calm.categories.model_extra["ama/II"], bad


def error_of_the_upstream() -> None:
    """It is the upstream's own, to its words; what the SDK tries again is the SDK's affair."""
    try:
        client.with_options(max_retries=0).chat.completions.create(model="m", messages=messages("make the upstream fail"))
    except InternalServerError as error:
        assert error.status_code == 500 and error.body["message"] == "the upstream fell over", error.body
    else:
        raise AssertionError("no error")


def errors_that_are_not_tried_again() -> None:
    for stream in [False, True]:
        with raises(BadRequestError):
            ask("ask for too much", stream=stream)
        with raises(BadRequestError):
            respond("ask for too much", stream=stream)


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
    allowed, allowed_with_headers, refused, in_crisis, helped_first, rewritten, allowed_stream, refused_before_the_stream, refused_while_streaming,
    refused_completion, streamed_by_the_helper, blocked, what_blocks_says_why, tool_allowed, tool_refused, tool_streamed,
    parsed, not_parsed, no_object_in_a_crisis, response_allowed, response_refused, response_refused_completion, response_streamed,
    response_refused_before_the_stream, response_refused_while_streaming, response_streamed_by_the_helper,
    response_with_a_tool, response_with_a_tool_streamed, response_parsed, response_not_parsed, embedded, not_embedded, moderated,
    error_of_the_upstream, errors_that_are_not_tried_again, error_of_the_client, models,
]
for case in CASES:
    case()
print(f"{len(CASES)} cases")
