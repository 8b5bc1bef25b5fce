// An LLM server that answers by a script: whole or streamed, under any path of chats.

import { createServer } from "node:http";

const ANSWERS = [
  "Check the dose against the weight and the renal function, and write down why you chose it.",
  "Offer a private room and an interpreter first; then go through the form page by page.",
  "Yes. The patient may have a copy, and the office must say within thirty days when it will send it.",
  "Watch for fever, new pain or bleeding, and call the ward at any hour if one of these appears.",
  "I would ask the pharmacist on call: two of these medicines raise each other's levels.",
];

const chunk = (delta, end = null) =>
  `data: ${JSON.stringify({
    id: "c-1",
    object: "chat.completion.chunk",
    created: 1,
    model: "m",
    choices: [{ index: 0, delta, finish_reason: end }],
  })}\n\n`;

/** Starts one; `said` gives what is answered to a text, where it is no answer of the list. */
export async function upstream(said = {}) {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    if (!request.url.endsWith("/chat/completions")) {
      response.writeHead(404, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { message: "There is no such endpoint." } }));
    }
    const { messages, stream } = JSON.parse(Buffer.concat(parts));
    const asked = messages.at(-1).content;
    const content = said[asked] ?? ANSWERS[asked.length % ANSWERS.length];
    if (stream) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write(chunk({ role: "assistant", content: "" }));
      for (const word of content.match(/\S+\s*/g)) response.write(chunk({ content: word }));
      return response.end(chunk({}, "stop") + "data: [DONE]\n\n");
    }
    response.writeHead(200, { "content-type": "application/json" });
    const choices = [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }];
    const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 };
    response.end(JSON.stringify({ id: "c-1", object: "chat.completion", created: 1, model: "m", choices, usage }));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  return { url: `http://127.0.0.1:${port}/v1`, close: () => (server.closeAllConnections(), server.close()) };
}
