/**
 * Selects what is evicted when too much waits in a queue. Each caller's share of the waiting requests and bytes is in
 * proportion to its weight among the callers with waiting requests; its companies have equal parts of that. While there is
 * room, a caller can use more than its share. Beyond the bound, the newest request of the longest company of the longest
 * caller is evicted, not the new request. Pure.
 */
import { NO_COMPANY } from "./flow-names.ts";
import type { FlowTree } from "./flow-tree.ts";
import type { SlotRequest } from "./slot-request.ts";
import type { Waiter } from "./waiting-list.ts";

/** Limits on what waits in a queue, without background work. */
export interface WaitingBounds {
  readonly requests: number;
  readonly bytes: number;
}

type Measure = "requests" | "bytes";

/** What a company would have waiting if the new request were admitted. */
interface CompanyUsage {
  requests: number;
  bytes: number;
  readonly isOwn: boolean;
  /** Requests that can be evicted, newest first; without the new one. */
  readonly evictable: Iterator<Waiter, undefined>;
}

/** What a caller would have waiting if the new request were admitted. */
interface CallerUsage {
  readonly weight: number;
  requests: number;
  bytes: number;
  readonly isOwn: boolean;
  readonly companies: CompanyUsage[];
}

/** Whether the new request can wait, and what is evicted for it. */
export type RoomDecision = { readonly kind: "refuse" } | { readonly kind: "admit"; readonly evict: readonly Waiter[] };

/** New requests are admitted up to this multiple of the bounds while nothing can be evicted. */
const HARD_BOUND_FACTOR = 2;
const REFUSE: RoomDecision = { kind: "refuse" };

/**
 * Finds room for one more direct request. It is refused if it is itself the newest of the longest (ties count against it),
 * or if nothing can be evicted: requests whose response has begun and requests within their share are never evicted.
 * If requests over their share cannot be evicted because their responses have begun, a new request within its own share is
 * admitted above the bound, so that nobody can lock the others out. The limit for that is twice the bounds; each caller's
 * first request is always admitted.
 */
export function makeRoom(tree: FlowTree, added: SlotRequest, bounds: WaitingBounds): RoomDecision {
  const fits = tree.waiting < bounds.requests;
  // A single request can always wait, whatever its size: otherwise it could never be served under load.
  if (fits && (tree.waiting === 0 || tree.bytes + added.bytes <= bounds.bytes)) return { kind: "admit", evict: [] };
  if (bounds.requests === 0) return REFUSE;

  const callers = usageWith(tree, added);
  const total = { requests: tree.waiting + 1, bytes: tree.bytes + added.bytes };
  const evict: Waiter[] = [];
  for (;;) {
    const over = total.requests > bounds.requests ? "requests" : total.bytes > bounds.bytes ? "bytes" : undefined;
    if (over === undefined) return { kind: "admit", evict };
    const victim = findVictim(callers, over, bounds[over]);
    if (victim === "admit") {
      const isFirst = callers.some(({ isOwn, requests }) => isOwn && requests === 1);
      const tooMuch =
        total.requests > HARD_BOUND_FACTOR * bounds.requests || total.bytes > HARD_BOUND_FACTOR * bounds.bytes;
      return tooMuch && !isFirst ? REFUSE : { kind: "admit", evict };
    }
    if (victim === "refuse") return REFUSE;
    const { group, company, waiter } = victim;
    for (const part of [group, company, total]) {
      part.requests -= 1;
      part.bytes -= waiter.request.bytes;
    }
    evict.push(waiter);
  }
}

function findVictim(
  callers: readonly CallerUsage[],
  over: Measure,
  bound: number,
): "admit" | "refuse" | { readonly group: CallerUsage; readonly company: CompanyUsage; readonly waiter: Waiter } {
  let weights = 0;
  for (const { weight, requests } of callers) if (requests > 0) weights += weight;
  /** Another flow is over its share, and none of its requests can be evicted. */
  let blocked = false;
  for (const group of longestFirst(callers, ({ weight, [over]: amount }) => amount / weight)) {
    const share = (bound * group.weight) / weights;
    // A caller with one waiting request is within its share, whatever the size: each caller's first request finds room.
    if (group.requests <= 1 || group[over] <= share) continue;
    const { companies } = group;
    // Within the new request's caller, companies have shares; of another caller, the longest company gives way.
    const ofCompany = group.isOwn ? Math.max(share / companies.length, over === "requests" ? 1 : 0) : 0;
    if (group.isOwn) blocked = false;
    for (const company of longestFirst(companies, (one) => one[over])) {
      if (company[over] <= ofCompany) continue;
      if (company.isOwn) return "refuse"; // the new request is its newest
      const waiter = company.evictable.next().value;
      if (waiter !== undefined) return { group, company, waiter };
      blocked = true;
    }
    // Shorter callers do not make room.
    if (group.isOwn) break;
  }
  return blocked ? "admit" : "refuse";
}

/** Longest first; at equal length the new request's own first, so that ties count against it. */
function longestFirst<T extends { readonly isOwn: boolean }>(all: readonly T[], length: (one: T) => number): T[] {
  return [...all].sort((a, b) => length(b) - length(a) || Number(b.isOwn) - Number(a.isOwn));
}

/** What waits by caller and company, including the new request. */
function usageWith(tree: FlowTree, { caller, company = NO_COMPANY, bytes }: SlotRequest): CallerUsage[] {
  const ownFlow = tree.caller(caller.name)?.findCompany(company);
  const groups = tree.active.map(
    (flow): CallerUsage => ({
      weight: flow.weight,
      requests: flow.waiting,
      bytes: flow.bytes,
      isOwn: flow.name === caller.name,
      companies: flow.scheduler.active.map((one) => ({
        requests: one.waiting,
        bytes: one.bytes,
        isOwn: one === ownFlow,
        evictable: evictable(one.queue.newestFirst()),
      })),
    }),
  );
  let group = groups.find(({ isOwn }) => isOwn);
  if (group === undefined) {
    group = { weight: caller.weight, requests: 0, bytes: 0, isOwn: true, companies: [] };
    groups.push(group);
  }
  let own = group.companies.find(({ isOwn }) => isOwn);
  if (own === undefined) {
    own = { requests: 0, bytes: 0, isOwn: true, evictable: evictable([]) };
    group.companies.push(own);
  }
  for (const part of [group, own]) {
    part.requests += 1;
    part.bytes += bytes;
  }
  return groups;
}

function* evictable(waiters: Iterable<Waiter>): Generator<Waiter, undefined> {
  for (const waiter of waiters) if (waiter.evictable) yield waiter;
  return undefined;
}
