/**
 * A whole message as the events of a stream: for a model server that answers a streamed request with one JSON value after
 * heartbeats have committed the stream. Pure. Source: https://docs.anthropic.com/en/api/messages-streaming
 */
import { z } from "zod";

const messageSchema = z.looseObject({
  type: z.literal("message"),
  content: z.array(z.looseObject({ type: z.string() })),
  stop_reason: z.unknown().optional(),
  stop_sequence: z.unknown().optional(),
  usage: z.unknown().optional(),
});

type Block = z.infer<typeof messageSchema>["content"][number];

const event = (value: { readonly type: string; readonly [member: string]: unknown }): string =>
  `event: ${value.type}\ndata: ${JSON.stringify(value)}\n\n`;

/** @returns the events; of a value that is no message one event of its own, which clients skip */
export function messageEvents(json: unknown): string {
  const { data: message } = messageSchema.safeParse(json);
  if (message === undefined) return `event: message\ndata: ${JSON.stringify(json)}\n\n`;
  const { content, stop_reason = null, stop_sequence = null, usage, ...rest } = message;
  const start = { ...rest, content: [], stop_reason: null, stop_sequence: null, usage };
  return [
    event({ type: "message_start", message: start }),
    ...content.flatMap(blockEvents),
    event({ type: "message_delta", delta: { stop_reason, stop_sequence }, usage }),
    event({ type: "message_stop" }),
  ].join("");
}

function blockEvents(block: Block, index: number): string[] {
  const { empty, delta } = inParts(block);
  const begun = event({ type: "content_block_start", index, content_block: empty });
  const end = event({ type: "content_block_stop", index });
  return delta === undefined ? [begun, end] : [begun, event({ type: "content_block_delta", index, delta }), end];
}

/** Clients build a block from its deltas, so its beginning must be without them. */
function inParts(block: Block): { readonly empty: object; readonly delta?: object } {
  switch (block.type) {
    case "text":
      return { empty: { ...block, text: "" }, delta: { type: "text_delta", text: block.text } };
    case "thinking":
      return { empty: { ...block, thinking: "" }, delta: { type: "thinking_delta", thinking: block.thinking } };
    case "tool_use": {
      const partial_json = JSON.stringify(block.input ?? {});
      return { empty: { ...block, input: {} }, delta: { type: "input_json_delta", partial_json } };
    }
    default:
      return { empty: block };
  }
}
