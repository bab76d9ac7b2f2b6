/** The form of JSON: which fields there are and of which type; the values only where they are words of the protocol. */

/** A type, a protocol's word in quotes, a list's form, or an object's fields. */
export type Form = string | readonly Form[] | { readonly [field: string]: Form };

/** Fields whose values are words of the protocol. */
const WORDS = new Set([
  "object",
  "role",
  "finish_reason",
  "done_reason",
  "type",
  "status",
  "done",
  "code",
  "param",
  "incomplete_details",
  "index",
  "output_index",
  "content_index",
  "format",
  "truncation",
  "tool_choice",
]);
/** What depends on the model, not on the server. */
const OF_THE_MODEL = new Set([
  "model_info",
  "details",
  "meta",
  "default_generation_settings",
  "generation_settings",
  "tensors",
]);
/** Why an answer ended depends on what the model says. */
const ENDS = new Set(["stop", "length"]);

/** @returns the form of a parsed JSON value */
export function formOf(value: unknown, field = ""): Form {
  if (value === null) return "null";
  if (OF_THE_MODEL.has(field)) return "of the model";
  if (Array.isArray(value)) {
    const forms = value.map((one) => formOf(one));
    const unique = forms.filter((one, i) => forms.findIndex((other) => same(other, one)) === i);
    return unique;
  }
  if (typeof value === "object") {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return Object.fromEntries(entries.map(([name, one]) => [name, formOf(one, name)]));
  }
  if (/_reason$/.test(field) && ENDS.has(String(value))) return "stop or length";
  if (WORDS.has(field)) return JSON.stringify(value);
  return typeof value;
}

const same = (a: Form, b: Form): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The pieces of a stream (SSE or NDJSON); those of one form after another are told once. */
export function streamForm(text: string): Form[] {
  const pieces =
    text.includes("\n\n") || text.startsWith("data:") || text.startsWith("event:") ? sse(text) : lines(text);
  return pieces.filter((one, i) => i === 0 || !same(one, pieces[i - 1]!));
}

function sse(text: string): Form[] {
  return text
    .split("\n\n")
    .filter((block) => block !== "")
    .map((block): Form => {
      const fields = block.split("\n");
      const event = fields
        .find((line) => line.startsWith("event:"))
        ?.slice(6)
        .trim();
      const data =
        fields
          .find((line) => line.startsWith("data:"))
          ?.slice(5)
          .trim() ?? "";
      const form = data === "[DONE]" ? "[DONE]" : formOf(JSON.parse(data));
      return event === undefined ? { data: form } : { event: JSON.stringify(event), data: form };
    });
}

const lines = (text: string): Form[] =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => formOf(JSON.parse(line)));
