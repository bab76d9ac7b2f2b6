/**
 * Anthropic's Messages API, as Ollama serves it: no `/v1/messages/count_tokens`. Source: anthropic/anthropic.go of
 * https://github.com/ollama/ollama, https://docs.ollama.com/api/anthropic-compatibility
 */
import { randomUUID } from "node:crypto";
import { z } from "zod";
import { type Exchange, type Generated, ModelError } from "./exchange.ts";

const block = z.looseObject({
  type: z.string(),
  text: z.string().optional(),
  content: z.unknown().optional(),
  source: z.looseObject({ type: z.string(), data: z.string().optional() }).optional(),
});
const schema = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.int().min(1),
  messages: z.array(z.looseObject({ role: z.string(), content: z.union([z.string(), z.array(block)]) })).min(1),
  system: z.union([z.string(), z.array(block)]).nullish(),
  stream: z.boolean().nullish(),
  tools: z.array(z.looseObject({ name: z.string() })).nullish(),
  tool_choice: z.looseObject({ type: z.string(), name: z.string().optional() }).nullish(),
  thinking: z.looseObject({ type: z.string() }).nullish(),
});

type Request = z.infer<typeof schema>;

/** Types of errors by status. Source: NewError of Ollama's anthropic/anthropic.go */
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  429: "rate_limit_error",
  503: "overloaded_error",
};

/** An error in Anthropic's form. */
export function anthropicError({ status, message }: ModelError): object {
  const type = ERROR_TYPES[status] ?? "api_error";
  return { type: "error", error: { type, message }, request_id: `req_${randomUUID()}` };
}

/** What is said last: texts, and the results of tools. Images only count as seen. @throws ModelError for a bad one */
function saidLast({ messages }: Request): string {
  const content = messages.findLast(({ role }) => role === "user")?.content ?? "";
  if (typeof content === "string") return content;
  const parts = content.map(({ type, text, source, content: result }) => {
    if (type === "image") {
      if (source?.type !== "base64" || source.data === undefined) throw new ModelError(400, "invalid image source");
      return `[그림 ${Buffer.from(source.data, "base64").length} B]`;
    }
    if (type === "tool_result") return typeof result === "string" ? result : JSON.stringify(result);
    return text ?? "";
  });
  return parts.join("");
}

/** The tool that is called: the model calls one only when it must. */
function toolCalled({ tools, tool_choice }: Request): string | undefined {
  if (tool_choice?.type === "tool") return tool_choice.name;
  return tool_choice?.type === "any" ? tools?.[0]?.name : undefined;
}

function contentOf(request: Request, { text }: Generated): object[] {
  const thought = request.thinking?.type === "enabled" ? [{ type: "thinking", thinking: "음…", signature: "" }] : [];
  const name = toolCalled(request);
  if (name === undefined) return [...thought, { type: "text", text }];
  return [...thought, { type: "tool_use", id: `toolu_${randomUUID()}`, name, input: { text } }];
}

function stopReason(request: Request, { reason }: Generated): string {
  if (toolCalled(request) !== undefined) return "tool_use";
  return reason === "length" ? "max_tokens" : "end_turn";
}

/** Answers `POST /v1/messages`, streamed or whole. @throws ModelError */
export async function messages(exchange: Exchange): Promise<void> {
  const request = await exchange.body(schema);
  exchange.model(request.model, "talk");
  const prompt = saidLast(request);
  const message = { id: `msg_${randomUUID()}`, type: "message", role: "assistant", model: request.model };
  if (request.stream !== true) {
    const done = await exchange.generate(prompt, request.max_tokens);
    return exchange.json(200, {
      ...message,
      content: contentOf(request, done),
      stop_reason: stopReason(request, done),
      usage: { input_tokens: done.promptTokens, output_tokens: done.tokens },
    });
  }
  const send = (type: string, fields: object): Promise<void> =>
    exchange.write("text/event-stream", `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`);
  const usage = { input_tokens: prompt.length, output_tokens: 0 };
  const start = (): Promise<void> => send("message_start", { message: { ...message, content: [], usage } });
  const isTool = toolCalled(request) !== undefined;
  const thinks = request.thinking?.type === "enabled";
  let begun = false;
  const begin = async (): Promise<void> => {
    if (begun) return;
    begun = true;
    await start();
    if (thinks) await thinkingBlock(send);
    if (!isTool)
      await send("content_block_start", { index: Number(thinks), content_block: { type: "text", text: "" } });
  };
  const done = await exchange.generate(prompt, request.max_tokens, async (text) => {
    await begin();
    if (!isTool) await send("content_block_delta", { index: Number(thinks), delta: { type: "text_delta", text } });
  });
  await begin();
  if (isTool) await toolBlock(send, contentOf(request, done).at(-1)!, Number(thinks));
  else await send("content_block_stop", { index: Number(thinks) });
  await send("message_delta", {
    delta: { stop_reason: stopReason(request, done) },
    usage: { input_tokens: done.promptTokens, output_tokens: done.tokens },
  });
  await send("message_stop", {});
  exchange.end();
}

type Send = (type: string, fields: object) => Promise<void>;

async function thinkingBlock(send: Send): Promise<void> {
  await send("content_block_start", { index: 0, content_block: { type: "thinking", thinking: "" } });
  await send("content_block_delta", { index: 0, delta: { type: "thinking_delta", thinking: "음…" } });
  await send("content_block_stop", { index: 0 });
}

async function toolBlock(send: Send, tool: object, index: number): Promise<void> {
  const { input } = tool as { input?: unknown };
  await send("content_block_start", { index, content_block: { ...tool, input: {} } });
  const partial_json = JSON.stringify(input);
  await send("content_block_delta", { index, delta: { type: "input_json_delta", partial_json } });
  await send("content_block_stop", { index });
}
