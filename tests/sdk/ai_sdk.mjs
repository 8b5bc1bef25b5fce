// What the AI SDK makes of each answer, over each of the providers that speak to an OpenAI-compatible server.
//
// Called with two base URLs, of a proxy that answers with refusals and of one that blocks, both before the LLM that
// tests/sdk/mod.rs scripts. Exits 0 when all holds.

import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, NoObjectGeneratedError, Output, embedMany, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

let sent = 0;
const counted = (...request) => {
  sent += 1;
  return fetch(...request);
};

function modelsAt(baseURL) {
  const settings = { baseURL, apiKey: "sk-test", fetch: counted };
  const openai = createOpenAI(settings);
  const compatible = createOpenAICompatible({
    ...settings,
    name: "proxy",
    includeUsage: true,
    supportsStructuredOutputs: true,
  });
  return { chat: openai.chat("m"), responses: openai.responses("m"), compatible: compatible("m"), openai };
}

const [models, blocking] = process.argv.slice(-2).map(modelsAt);
const PROVIDERS = ["chat", "responses", "compatible"];

const output = Output.object({ schema: z.object({ advice: z.string() }) });
const REFUSED = [
  ["VIOLATE", /medical ethics/, 0],
  ["say something bad", /withheld/, 12],
];

// A tool that remembers what it was called with.
function doseOf(called) {
  const inputSchema = z.object({ drug: z.string() });
  const execute = ({ drug }) => `${called.push(drug)} of ${drug}`;
  return { tools: { dose_of: tool({ description: "Looks up a dose", inputSchema, execute }) }, stopWhen: stepCountIs(3) };
}

// One request, and an error of this kind.
async function rejects(kind, call) {
  const before = sent;
  let thrown;
  await assert.rejects(call, (error) => {
    thrown = error;
    assert.ok(kind.isInstance(error), error);
    return true;
  });
  assert.equal(sent, before + 1);
  return thrown;
}

// A stream that was read to its end: every error in it, and what it came to.
async function streamed(options) {
  const errors = [];
  const result = streamText({ ...options, onError: ({ error }) => errors.push(error) });
  let text = "";
  for await (const part of result.textStream) text += part;
  return { text, errors, result };
}

const CASES = {
  async allowed(model) {
    const { text, finishReason, usage } = await generateText({ model, prompt: "hello" });
    assert.deepEqual([text, finishReason, usage.totalTokens], ["Take it with food.", "stop", 12]);
  },

  async refused(model) {
    for (const [prompt, said, tokens] of REFUSED) {
      const { text, finishReason, usage } = await generateText({ model, prompt });
      assert.match(text, said);
      assert.deepEqual([finishReason, usage.totalTokens], ["content-filter", tokens]);
    }
  },

  async inCrisis(model) {
    const { text, finishReason } = await generateText({ model, prompt: "CRISIS" });
    assert.match(text, /988/);
    assert.equal(finishReason, "stop");
  },

  async allowedStream(model) {
    const { text, errors, result } = await streamed({ model, prompt: "hello" });
    assert.deepEqual([text, errors, await result.finishReason], ["Take it with food.", [], "stop"]);
    assert.equal((await result.usage).totalTokens, 12);
  },

  async refusedStream(model) {
    for (const [prompt, said, tokens] of REFUSED) {
      const { text, errors, result } = await streamed({ model, prompt });
      assert.match(text, said);
      assert.doesNotMatch(text, /VIOLATE|First/);
      assert.deepEqual([errors, await result.finishReason], [[], "content-filter"]);
      assert.equal((await result.usage).totalTokens, tokens);
    }
  },

  async toolCalled(model) {
    const called = [];
    const { text, finishReason } = await generateText({ model, prompt: "hello", ...doseOf(called) });
    assert.deepEqual([text, finishReason, called], ["Take it with food.", "stop", ["ibuprofen"]]);
    const stream = await streamed({ model, prompt: "hello", ...doseOf(called) });
    assert.deepEqual([stream.text, stream.errors, called], ["Take it with food.", [], ["ibuprofen", "ibuprofen"]]);
  },

  async toolNotCalled(model) {
    for (const [prompt, said] of REFUSED) {
      const called = [];
      const { text, finishReason, steps } = await generateText({ model, prompt, ...doseOf(called) });
      assert.match(text, said);
      assert.deepEqual([finishReason, steps.length, called], ["content-filter", 1, []]);
      const stream = await streamed({ model, prompt, ...doseOf(called) });
      assert.match(stream.text, said);
      assert.deepEqual([stream.errors, await stream.result.finishReason], [[], "content-filter"]);
      assert.deepEqual([(await stream.result.steps).length, called], [1, []]);
    }
  },

  async object(model) {
    const answer = await generateText({ model, prompt: "hello", output });
    assert.deepEqual(answer.output, { advice: "Take it with food." });
    const { errors, result } = await streamed({ model, prompt: "hello", output });
    assert.deepEqual([await result.output, errors], [{ advice: "Take it with food." }, []]);
  },

  async noObject(model) {
    for (const [prompt, said] of REFUSED) {
      const error = await rejects(NoObjectGeneratedError, () => generateText({ model, prompt, output }));
      assert.equal(error.finishReason, "content-filter");
      assert.match(error.text, said);
      const { text, errors, result } = await streamed({ model, prompt, output });
      assert.match(text, said);
      assert.deepEqual([errors, await result.finishReason], [[], "content-filter"]);
      await assert.rejects(result.output, NoObjectGeneratedError.isInstance);
    }
  },

  async errorOfTheUpstream(model) {
    const once = { model, prompt: "make the upstream fail", maxRetries: 0 };
    const error = await rejects(APICallError, () => generateText(once));
    assert.deepEqual([error.statusCode, error.message], [500, "the upstream fell over"]);
    const { text, errors } = await streamed(once);
    assert.deepEqual([text, errors.length, errors[0].statusCode], ["", 1, 500]);
    const full = await rejects(APICallError, () => generateText({ model, prompt: "ask for too much" }));
    assert.deepEqual([full.statusCode, full.isRetryable], [400, false]);
  },

  async blocked(_, provider) {
    const model = blocking[provider];
    const error = await rejects(APICallError, () => generateText({ model, prompt: "VIOLATE" }));
    assert.deepEqual([error.statusCode, error.isRetryable, error.data.error.code], [400, false, "content_filter"]);
    const before = sent;
    const { text, errors, result } = await streamed({ model, prompt: "VIOLATE" });
    assert.deepEqual([text, errors.length, errors[0].statusCode, sent], ["", 1, 400, before + 1]);
    await assert.rejects(result.finishReason);
  },
};

// By each rewriting policy, whole and streamed, the SDK sees a whole answer.
async function rewritten() {
  for (const [action, prompt, said, finish] of [
    ["excise", "say something bad in many words", "Come back in two weeks for a test.", "stop"],
    ["excise", "say something bad", "withheld", "content-filter"],
    ["regenerate", "say something bad", "Rather do this.", "stop"],
    ["replace", "say something bad", "withheld", "content-filter"],
    ["steer", "VIOLATE", "Rather do this.", "stop"],
    ["redact", "Patient: Maria Sanchez", "Dear Maria Sanchez", "stop"],
  ]) {
    const others = modelsAt(JSON.parse(process.env.REWRITING)[action]);
    for (const provider of PROVIDERS) {
      const model = others[provider];
      const whole = await generateText({ model, prompt });
      const { text, errors, result } = await streamed({ model, prompt });
      assert.deepEqual(errors, []);
      for (const [words, reason] of [[whole.text, whole.finishReason], [text, await result.finishReason]]) {
        assert.ok(words.includes(said) && !words.includes("VIOLATE"), `${action}: ${words}`);
        assert.equal(reason, finish, action);
      }
    }
  }
  const { text } = await streamed({ model: models.chat, prompt: "CRISIS" });
  assert.match(text, /988[^]*Take it with food\.$/);
}

async function embeds() {
  const model = models.openai.embedding("m");
  const { embeddings } = await embedMany({ model, values: ["hello", "there"] });
  assert.deepEqual(embeddings, [
    [0.5, -1],
    [0.5, -1],
  ]);
  const error = await rejects(APICallError, () => embedMany({ model, values: ["hello", "VIOLATE"] }));
  assert.deepEqual([error.statusCode, error.isRetryable], [400, false]);
}

const all = Object.entries(CASES).flatMap(([name, holds]) =>
  PROVIDERS.map((provider) => [`${name} by ${provider}`, () => holds(models[provider], provider)]),
);
all.push(["embeds", embeds], ["rewritten", rewritten]);
for (const [name, holds] of all) {
  await holds().catch((error) => {
    throw new Error(name, { cause: error });
  });
}
console.log(`${all.length} cases`);
