// What the real openai SDK for node makes of each answer.
//
// Called with two base URLs, of a proxy that answers with refusals and of one that blocks, both before the LLM that
// tests/sdk/mod.rs scripts. Exits 0 when all holds.

import assert from "node:assert/strict";
import OpenAI, { BadRequestError, InternalServerError } from "openai";
import { ContentFilterFinishReasonError } from "openai/error";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

let sent = 0;
const counted = (...request) => {
  sent += 1;
  return fetch(...request);
};
// The SDK tries again as often as it does by itself: what is refused must come once.
const [client, blocking] = process.argv
  .slice(-2)
  .map((baseURL) => new OpenAI({ baseURL, apiKey: "sk-test", fetch: counted }));

const rewriting = JSON.parse(process.env.REWRITING);
const REWRITTEN = [
  ["excise", "say something bad in many words", "Come back in two weeks for a test.", "stop"],
  ["excise", "say something bad", "withheld", "content_filter"],
  ["regenerate", "say something bad", "Rather do this.", "stop"],
  ["replace", "say something bad", "withheld", "content_filter"],
  ["steer", "VIOLATE", "Rather do this.", "stop"],
  ["redact", "Patient: Maria Sanchez", "Dear Maria Sanchez", "stop"],
];

const Advice = z.object({ advice: z.string() });
const parameters = { type: "object", properties: { drug: { type: "string" } }, required: ["drug"] };
const definition = { name: "dose_of", description: "Looks up a dose", parameters };
const tools = [{ type: "function", function: definition }];
const flatTools = [{ type: "function", ...definition, strict: false }];
const response_format = zodResponseFormat(Advice, "advice");
const text = { format: zodTextFormat(Advice, "advice") };

const body = (content, more) => ({ model: "m", messages: [{ role: "user", content }], ...more });
const ask = (content, more) => client.chat.completions.create(body(content, more));
const respond = (input, more) => client.responses.create({ model: "m", input, ...more });

// One request, and an error of this kind.
async function rejects(kind, call) {
  const before = sent;
  let thrown;
  await assert.rejects(call, (error) => {
    thrown = error;
    assert.ok(error instanceof kind, error);
    return true;
  });
  assert.equal(sent, before + 1);
  return thrown;
}

// Text, arguments of calls, finish reason and usage of a stream that was read to its end.
async function streamed(content, more) {
  const read = { text: "", called: "", finish: null, usage: null };
  for await (const chunk of await ask(content, { stream: true, stream_options: { include_usage: true }, ...more })) {
    read.usage = chunk.usage ?? read.usage;
    for (const choice of chunk.choices) {
      read.text += choice.delta.content ?? "";
      read.called += (choice.delta.tool_calls ?? []).map((call) => call.function.arguments).join("");
      read.finish = choice.finish_reason ?? read.finish;
    }
  }
  return read;
}

// Text, arguments of calls and the response of the last event.
async function streamedResponse(content, more) {
  const read = { text: "", called: "", response: null };
  let last;
  for await (const event of await respond(content, { stream: true, ...more })) {
    if (event.type === "response.output_text.delta") read.text += event.delta;
    if (event.type === "response.function_call_arguments.delta") read.called += event.delta;
    last = event;
  }
  assert.equal(last.type, `response.${last.response.status}`);
  read.response = last.response;
  return read;
}

function isFiltered(response) {
  assert.equal(response.status, "incomplete");
  assert.equal(response.incomplete_details.reason, "content_filter");
  assert.deepEqual(
    response.output.map((item) => item.type),
    ["message"],
  );
}

const REFUSED = [
  ["VIOLATE", /medical ethics/, 0],
  ["say something bad", /withheld/, 12],
];

const CASES = {
  async allowed() {
    const answer = await ask("hello");
    assert.equal(answer.choices[0].message.content, "Take it with food.");
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.usage.total_tokens, 12);
  },

  async refused() {
    for (const [content, said, tokens] of REFUSED) {
      const answer = await ask(content, { n: 2 });
      assert.equal(answer.choices.length, 2);
      for (const choice of answer.choices) {
        assert.match(choice.message.content, said);
        assert.equal(choice.finish_reason, "content_filter");
      }
      assert.equal(answer.usage.total_tokens, tokens);
    }
  },

  async inCrisis() {
    const [choice] = (await ask("CRISIS")).choices;
    assert.match(choice.message.content, /988/);
    assert.equal(choice.finish_reason, "stop");
  },

  async allowedStream() {
    const { text, finish, usage } = await streamed("hello");
    assert.deepEqual([text, finish, usage.total_tokens], ["Take it with food.", "stop", 12]);
  },

  async refusedStream() {
    for (const [content, said, tokens] of REFUSED) {
      const { text, finish, usage } = await streamed(content);
      assert.match(text, said);
      assert.doesNotMatch(text, /VIOLATE|First/);
      assert.deepEqual([finish, usage.total_tokens], ["content_filter", tokens]);
    }
  },

  async streamedByTheHelper() {
    const stream = client.chat.completions.stream(body("hello"));
    assert.equal(await stream.finalContent(), "Take it with food.");
    for (const [content, said] of REFUSED) {
      const stream = client.chat.completions.stream(body(content));
      const [choice] = (await stream.finalChatCompletion()).choices;
      assert.match(choice.message.content, said);
      assert.equal(choice.finish_reason, "content_filter");
    }
  },

  async blocked() {
    for (const stream of [false, true]) {
      const error = await rejects(BadRequestError, () => blocking.chat.completions.create(body("VIOLATE", { stream })));
      assert.deepEqual([error.code, error.param], ["content_filter", "prompt"]);
      await rejects(BadRequestError, () => blocking.responses.create({ model: "m", input: "VIOLATE", stream }));
    }
  },

  async tool() {
    const [choice] = (await ask("hello", { tools })).choices;
    const [call] = choice.message.tool_calls;
    assert.equal(choice.finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(call.function.arguments), { drug: "ibuprofen" });
    const result = { role: "tool", tool_call_id: call.id, content: "400 mg" };
    const turns = [...body("hello").messages, choice.message, result];
    const answer = await client.chat.completions.create({ model: "m", messages: turns, tools });
    assert.equal(answer.choices[0].message.content, "Take it with food.");
  },

  async toolRefused() {
    for (const [content, said] of REFUSED) {
      const [choice] = (await ask(content, { tools })).choices;
      assert.match(choice.message.content, said);
      assert.equal(choice.finish_reason, "content_filter");
      assert.equal(choice.message.tool_calls, undefined);
    }
  },

  async toolStreamed() {
    const { called, finish } = await streamed("hello", { tools });
    assert.deepEqual([JSON.parse(called), finish], [{ drug: "ibuprofen" }, "tool_calls"]);
    for (const [content, said] of REFUSED) {
      const { text, called, finish } = await streamed(content, { tools });
      assert.match(text, said);
      assert.deepEqual([called, finish], ["", "content_filter"]);
    }
  },

  // The SDK calls the tool by itself: never one that was refused.
  async toolRunByTheHelper() {
    const called = [];
    const run = { ...definition, parse: JSON.parse, function: ({ drug }) => `${called.push(drug)} of ${drug}` };
    const runTools = (content) =>
      client.chat.completions.runTools(body(content, { tools: [{ type: "function", function: run }] }));
    assert.equal(await runTools("hello").finalContent(), "Take it with food.");
    assert.deepEqual(called, ["ibuprofen"]);
    for (const [content] of REFUSED) {
      await rejects(ContentFilterFinishReasonError, () => runTools(content).finalContent());
    }
    assert.deepEqual(called, ["ibuprofen"]);
  },

  async parsed() {
    const answer = await client.chat.completions.parse(body("hello", { response_format }));
    assert.deepEqual(answer.choices[0].message.parsed, { advice: "Take it with food." });
  },

  async notParsed() {
    for (const [content] of REFUSED) {
      const asked = body(content, { response_format });
      await rejects(ContentFilterFinishReasonError, () => client.chat.completions.parse(asked));
      await rejects(ContentFilterFinishReasonError, () => client.chat.completions.stream(asked).finalChatCompletion());
    }
  },

  async response() {
    const response = await respond("hello");
    assert.deepEqual([response.output_text, response.status], ["Take it with food.", "completed"]);
    assert.equal(response.usage.total_tokens, 12);
  },

  async responseRefused() {
    for (const [content, said, tokens] of REFUSED) {
      const response = await respond(content);
      assert.match(response.output_text, said);
      assert.equal(response.usage.total_tokens, tokens);
      isFiltered(response);
    }
  },

  async responseStreamed() {
    const { text, response } = await streamedResponse("hello");
    assert.deepEqual([text, response.status], ["Take it with food.", "completed"]);
  },

  async responseRefusedStream() {
    for (const [content, said, tokens] of REFUSED) {
      const { text, response } = await streamedResponse(content);
      assert.match(text, said);
      assert.equal(response.usage.total_tokens, tokens);
      isFiltered(response);
    }
  },

  async responseStreamedByTheHelper() {
    const response = await client.responses.stream({ model: "m", input: "hello" }).finalResponse();
    assert.equal(response.output_text, "Take it with food.");
    for (const [content, said] of REFUSED) {
      const response = await client.responses.stream({ model: "m", input: content }).finalResponse();
      assert.match(response.output_text, said);
      isFiltered(response);
    }
  },

  async responseTool() {
    const response = await respond("hello", { tools: flatTools });
    const [call] = response.output;
    assert.deepEqual([call.type, JSON.parse(call.arguments)], ["function_call", { drug: "ibuprofen" }]);
    const result = { type: "function_call_output", call_id: call.call_id, output: "400 mg" };
    const turns = [{ role: "user", content: "hello" }, call, result];
    assert.equal((await respond(turns, { tools: flatTools })).output_text, "Take it with food.");
    for (const [content] of REFUSED) {
      isFiltered(await respond(content, { tools: flatTools }));
    }
  },

  async responseToolStreamed() {
    const { called, response } = await streamedResponse("hello", { tools: flatTools });
    assert.deepEqual([JSON.parse(called), response.status], [{ drug: "ibuprofen" }, "completed"]);
    for (const [content, said] of REFUSED) {
      const { text, called, response } = await streamedResponse(content, { tools: flatTools });
      assert.match(text, said);
      assert.equal(called, "");
      isFiltered(response);
    }
  },

  async responseParsed() {
    const response = await client.responses.parse({ model: "m", input: "hello", text });
    assert.deepEqual(response.output_parsed, { advice: "Take it with food." });
    for (const [content, said] of REFUSED) {
      const asked = { model: "m", input: content, text };
      for (const response of [
        await client.responses.parse(asked),
        await client.responses.stream(asked).finalResponse(),
      ]) {
        assert.equal(response.output_parsed, null);
        assert.match(response.output[0].content[0].refusal, said);
        isFiltered(response);
      }
    }
  },

  async embedded() {
    const answer = await client.embeddings.create({ model: "m", input: ["hello", "there"] });
    assert.deepEqual(
      answer.data.map((item) => item.embedding),
      [
        [0.5, -1],
        [0.5, -1],
      ],
    );
    await rejects(BadRequestError, () => client.embeddings.create({ model: "m", input: ["hello", "VIOLATE"] }));
  },

  async moderated() {
    const [calm, bad] = (await client.moderations.create({ input: ["hello", "VIOLATE"] })).results;
    assert.deepEqual([calm.flagged, bad.flagged], [false, true]);
    assert.deepEqual([bad.categories.illicit, bad.categories["ama/II"]], [true, true]);
  },

  async helpedFirst() {
    const { text, finish, usage } = await streamed("CRISIS");
    assert.match(text, /988[^]*Take it with food\.$/);
    assert.deepEqual([finish, usage.total_tokens], ["stop", 12]);
    const { text: said, response } = await streamedResponse("CRISIS");
    assert.match(said, /988[^]*Take it with food\.$/);
    assert.deepEqual([response.status, response.output.length], ["completed", 2]);
  },

  // By each rewriting policy, whole and streamed, the SDK sees a whole answer.
  async rewritten() {
    for (const [action, content, said, finish] of REWRITTEN) {
      const other = new OpenAI({ baseURL: rewriting[action], apiKey: "sk-test" });
      const asked = body(content);
      const whole = await other.chat.completions.create(asked);
      const runner = other.chat.completions.stream(asked);
      const flowing = await runner.finalChatCompletion();
      for (const [choice] of [whole.choices, flowing.choices]) {
        assert.ok(choice.message.content.includes(said) && !choice.message.content.includes("VIOLATE"), action);
        assert.equal(choice.finish_reason, finish, action);
      }
      const input = { model: "m", input: content };
      for (const response of [await other.responses.create(input), await other.responses.stream(input).finalResponse()]) {
        const { output_text, status } = response;
        assert.ok(output_text.includes(said) && !output_text.includes("VIOLATE"), `${action}: ${output_text}`);
        assert.equal(status === "completed", finish === "stop", action);
      }
    }
  },

  // It is the upstream's own, to its words; what the SDK tries again is the SDK's affair.
  async errorOfTheUpstream() {
    for (const stream of [false, true]) {
      const once = client.withOptions({ maxRetries: 0 });
      const asked = body("make the upstream fail", { stream });
      const error = await rejects(InternalServerError, () => once.chat.completions.create(asked));
      assert.deepEqual([error.status, error.error.message], [500, "the upstream fell over"]);
      const full = await rejects(BadRequestError, () => ask("ask for too much", { stream }));
      assert.equal(full.code, "context_length_exceeded");
      await rejects(BadRequestError, () => respond("ask for too much", { stream }));
    }
  },

  async errorOfTheClient() {
    const error = await rejects(BadRequestError, () => ask("hello", { n: 0 }));
    assert.deepEqual([error.code, error.param], ["invalid_value", "n"]);
  },

  async models() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert.deepEqual(ids, ["m"]);
  },
};

for (const [name, holds] of Object.entries(CASES)) {
  await holds().catch((error) => {
    throw new Error(name, { cause: error });
  });
}
console.log(`${Object.keys(CASES).length} cases`);
