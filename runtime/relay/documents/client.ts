/** Tells embedding work whether its client is still connected. */
import type { Exchange } from "../http/exchange.ts";
import type { UsageEntry } from "../usage/entry.ts";
import type { Client } from "./embedding-work.ts";

export function clientOf({ signal, res }: Pick<Exchange, "signal" | "res">, usage: UsageEntry | undefined): Client {
  return {
    usage,
    get hasLeft() {
      return signal.aborted;
    },
    get isAnswered() {
      return res.headersSent;
    },
  };
}
