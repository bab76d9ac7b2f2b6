/** Recognises failures of `up` that the official provider plugins cause, not the program. */
import { EngineError } from "../stack.ts";

/**
 * Patterns in the engine's output, most specific first. Sources: the engine's own messages (`pkg/resource/plugin`,
 * `sdk/go/common/workspace/plugins.go`), gRPC's status texts, Go's `net` package.
 */
const signs: readonly (readonly [RegExp, string])[] = [
  [
    /https?:\/\/(cloud(-dev|-qa)?\.mongodb\.com|api\.cloudflare\.com)\S*[^\n]*/,
    "a plugin called the real cloud instead of the sandbox's",
  ],
  [/no resource plugin '[^']*' found[^\n]*/, "the engine did not find a plugin"],
  [/could not (load|start) plugin[^\n]*|failed to load plugin[^\n]*/, "a plugin could not be started"],
  [/incompatible[^\n]*plugin[^\n]*|plugin[^\n]*incompatible[^\n]*/i, "a plugin does not fit the engine"],
  [
    /(plugin|provider) (process )?(exited|crashed|terminated)[^\n]*|error reading from server: EOF[^\n]*|transport is closing[^\n]*|^panic: [^\n]*/m,
    "a plugin crashed",
  ],
  [
    /(no such host|network is unreachable|i\/o timeout|TLS handshake timeout)[^\n]*/,
    "a plugin could not reach a server",
  ],
];

/** @returns the reason with the line that shows it, or undefined when the program is the cause */
export function providerTrouble(output: string): string | undefined {
  for (const [sign, what] of signs) {
    const found = sign.exec(output)?.[0];
    if (found !== undefined) return `${what} (${found.trim().slice(0, 300)})`;
  }
  return undefined;
}

/** If the official plugins caused a failed `up`, adds how to continue without them. */
export function withProviderAdvice(error: unknown): unknown {
  if (!(error instanceof EngineError)) return error;
  const trouble = providerTrouble(error.output);
  if (!trouble) return error;
  return new EngineError(
    [
      error.message,
      `This is not the program's fault: with the official provider plugins, ${trouble}.`,
      "To go on with the sandbox's own plugins: SANDBOX_PROVIDERS=ours npm run sandbox",
      "If that meets what the failed run left half-made: SANDBOX_PROVIDERS=ours npm run sandbox -- --reset, then again.",
    ].join("\n"),
    error.output,
  );
}
