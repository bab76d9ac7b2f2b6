/** Whether a request that embedding work is done for is still there. */
import type { Exchange } from "../http/exchange.ts";
import type { Client } from "./embedder.ts";

export function clientOf({ leaving, res }: Pick<Exchange, "leaving" | "res">): Client {
  return {
    get hasLeft() {
      return leaving.aborted;
    },
    get isAnswered() {
      return res.headersSent;
    },
  };
}
