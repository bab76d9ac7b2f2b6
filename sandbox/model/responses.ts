/** `/v1/responses`. Source: OpenAI API reference, "Responses" and "Streaming events". */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { contentSchema, textOf } from "./content.ts";
import type { Exchange, Generated } from "./exchange.ts";

const schema = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(z.looseObject({ role: z.string().optional(), content: contentSchema }))]),
  stream: z.boolean().nullish(),
  max_output_tokens: z.int().nullish(),
});

/** Answers `POST /v1/responses`, streamed or whole. @throws ModelError */
export async function respond(exchange: Exchange): Promise<void> {
  const body = await exchange.body(schema);
  exchange.model(body.model, "talk");
  const { input } = body;
  const prompt = typeof input === "string" ? input : textOf(input.findLast(({ role }) => role === "user")?.content);
  const limit = body.max_output_tokens ?? undefined;
  const created_at = Math.floor(Date.now() / 1000);
  const base = { id: `resp_${randomUUID()}`, object: "response", created_at, model: body.model, error: null };
  const id = `msg_${randomUUID()}`;
  const textPart = (text: string): object => ({ type: "output_text", text, annotations: [], logprobs: [] });
  const item = (status: string, text?: string): object => ({
    type: "message",
    id,
    status,
    role: "assistant",
    content: text === undefined ? [] : [textPart(text)],
  });
  const begun = { ...base, status: "in_progress", incomplete_details: null, output: [], usage: null };
  const whole = ({ text, tokens, promptTokens, reason }: Generated) => ({
    ...base,
    status: reason === "stop" ? "completed" : "incomplete",
    incomplete_details: reason === "stop" ? null : { reason: "max_output_tokens" },
    output: [item(reason === "stop" ? "completed" : "incomplete", text)],
    usage: {
      input_tokens: promptTokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: tokens,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: promptTokens + tokens,
    },
  });
  if (body.stream !== true) return exchange.json(200, whole(await exchange.generate(prompt, limit)));

  let sequence_number = 0;
  const send = (type: string, fields: object): Promise<void> => {
    const data = JSON.stringify({ type, sequence_number: sequence_number++, ...fields });
    return exchange.write("text/event-stream", `event: ${type}\ndata: ${data}\n\n`);
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
