/** Whether a request that embedding work is done for is still there. */
import type { Exchange } from "../http/exchange.ts";
import type { Client } from "./embedding-work.ts";

export function clientOf({ signal, res }: Pick<Exchange, "signal" | "res">): Client {
  return {
    get hasLeft() {
      return signal.aborted;
    },
    get isAnswered() {
      return res.headersSent;
    },
  };
}
