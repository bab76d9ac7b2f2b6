/** A lane with a clock of its own: requests take the time and the tokens the test says, and nothing sleeps. */
import { RequestQueue } from "../../../../runtime/relay/admission/queue.ts";
import type { Slot, SlotRequest } from "../../../../runtime/relay/admission/slot-request.ts";
import { Waiter } from "../../../../runtime/relay/admission/waiting-list.ts";

export interface Request {
  readonly caller: string;
  readonly company?: string;
  readonly weight?: number;
  readonly background?: boolean;
  /** Tokens: what is charged at the start, and what the end says. */
  readonly estimate: number;
  readonly used: number;
  readonly ms: number;
  readonly bytes?: number;
}

const never = new AbortController().signal;

export function slotRequestOf({
  caller: name,
  company,
  weight = 1,
  background = false,
  estimate,
  bytes = 1000,
}: Request) {
  const caller = { name, clientId: name, companies: ["*"], weight, enabled: true };
  return {
    queue: "chat",
    caller,
    company,
    estimatedTokens: estimate,
    bytes,
    signal: never,
    background,
  } satisfies SlotRequest;
}

export class QueueSimulation {
  now = 0;
  readonly queue: RequestQueue;
  /** In the order in which they got a slot. */
  readonly started: Request[] = [];
  /** Called whenever something has happened. */
  onEvent = (): void => {};
  /** Called when a request has ended, for clients that send the next one then. */
  onEnd = (_request: Request): void => {};
  /** Called when a request has got its slot, with the time it waited. */
  onStart = (_request: Request, _waitedMs: number): void => {};
  readonly #events: { at: number; act: () => void }[] = [];

  constructor(slots: number, backgroundSlots?: number) {
    this.queue = new RequestQueue(slots, backgroundSlots, () => this.now);
  }

  submit(request: Request): void {
    const slotRequest = slotRequestOf(request);
    const start = (slot: Slot) => {
      this.started.push(request);
      this.onStart(request, slot.waitedMs);
      this.at(this.now + request.ms, () => {
        slot.release(request.used);
        this.onEnd(request);
      });
    };
    if (this.queue.isFreeFor(slotRequest.background)) start(this.queue.start(slotRequest));
    else this.queue.add(new Waiter(slotRequest, this.now, start, () => {}));
    this.onEvent();
  }

  /** Does something at that time of the clock. */
  at(ms: number, act: () => void): void {
    this.#events.push({ at: ms, act });
  }

  /** Goes on to what happens next: most often the end of a request. @returns false if nothing will happen any more */
  step(): boolean {
    this.#events.sort((a, b) => a.at - b.at);
    const next = this.#events.shift();
    if (next === undefined) return false;
    this.now = next.at;
    next.act();
    this.onEvent();
    return true;
  }

  /** Until nothing happens any more, or `done` says so. */
  run(done: () => boolean = () => false): void {
    while (!done() && this.step());
  }
}

/** How many of the requests are of this caller. */
export const countOf = (requests: readonly Request[], caller: string): number =>
  requests.filter((request) => request.caller === caller).length;

/** Tokens used, by a name that `key` gives each request. */
export function tokensBy(requests: readonly Request[], key: (request: Request) => string): Map<string, number> {
  const sums = new Map<string, number>();
  for (const request of requests) sums.set(key(request), (sums.get(key(request)) ?? 0) + request.used);
  return sums;
}
