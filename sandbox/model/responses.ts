/** `/v1/responses`. Source: OpenAI API reference, "Responses" and "Streaming events". */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { contentSchema, textOf } from "./content.ts";
import type { Exchange, Generated } from "./exchange.ts";

const schema = z.looseObject({
  model: z.string().default(""),
  input: z.union([z.string(), z.array(z.looseObject({ role: z.string().optional(), content: contentSchema }))]),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().nullish(),
});

/** What a response says of what its request left out. */
const unset = {
  object: "response",
  background: false,
  error: null,
  frequency_penalty: 0,
  incomplete_details: null,
  instructions: null,
  max_tool_calls: null,
  metadata: {},
  parallel_tool_calls: true,
  presence_penalty: 0,
  previous_response_id: null,
  prompt_cache_key: null,
  reasoning: null,
  safety_identifier: null,
  service_tier: "default",
  store: false,
  temperature: 1,
  text: { format: { type: "text" } },
  tool_choice: "auto",
  tools: [],
  top_logprobs: 0,
  top_p: 1,
  truncation: "disabled",
};

/** Answers `POST /v1/responses`, streamed or whole. @throws ModelError */
export async function respond(exchange: Exchange): Promise<void> {
  const body = await exchange.body(schema);
  exchange.model(body.model, "talk");
  const { input } = body;
  const prompt = typeof input === "string" ? input : textOf(input.findLast(({ role }) => role === "user")?.content);
  const limit = body.max_output_tokens ?? undefined;
  const created_at = Math.floor(Date.now() / 1000);
  const base = {
    ...unset,
    id: `resp_${randomUUID()}`,
    created_at,
    model: body.model,
    max_output_tokens: limit ?? null,
  };
  const id = `msg_${randomUUID()}`;
  const textPart = (text: string): object => ({ type: "output_text", text, annotations: [], logprobs: [] });
  const item = (status: string, text?: string): object => ({
    type: "message",
    id,
    status,
    role: "assistant",
    content: text === undefined ? [] : [textPart(text)],
  });
  const begun = { ...base, status: "in_progress", completed_at: null, output: [], usage: null };
  const whole = ({ text, tokens, promptTokens }: Generated) => ({
    ...base,
    // Also when the bound on the answer was reached: Ollama does not tell.
    status: "completed",
    completed_at: Math.floor(Date.now() / 1000),
    output: [item("completed", text)],
    usage: {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: promptTokens + tokens,
    },
  });
  if (body.stream !== true) {
    return exchange.json(200, whole(await exchange.generate(prompt, limit)), "application/json");
  }

  let sequence_number = 0;
  const send = (type: string, fields: object): Promise<void> => {
    const data = JSON.stringify({ type, sequence_number: sequence_number++, ...fields });
    return exchange.write("text/event-stream", `event: ${type}\ndata: ${data}\n\n`, { "cache-control": "no-cache" });
  };
  const place = { item_id: id, output_index: 0, content_index: 0 };
  let first = true;
  const begin = async (): Promise<void> => {
    if (!first) return;
    first = false;
    await send("response.created", { response: begun });
    await send("response.in_progress", { response: begun });
    await send("response.output_item.added", { output_index: 0, item: item("in_progress") });
    await send("response.content_part.added", { ...place, part: textPart("") });
  };
  const done = await exchange.generate(prompt, limit, async (delta) => {
    await begin();
    await send("response.output_text.delta", { ...place, delta, logprobs: [] });
  });
  await begin();
  const response = whole(done);
  await send("response.output_text.done", { ...place, text: done.text, logprobs: [] });
  await send("response.content_part.done", { ...place, part: textPart(done.text) });
  await send("response.output_item.done", { output_index: 0, item: item(response.status, done.text) });
  await send(`response.${response.status}`, { response });
  exchange.end();
}
