/**
 * Who has to go when too much waits in a lane. Each caller's share of the requests and of the bytes that may wait is in
 * proportion to its weight among the callers that have something waiting, and its companies have equal parts of that. While
 * there is room a caller may use more than its share. Over the bound the newest request of the longest company of the
 * longest caller goes, not the newcomer. Pure.
 */
import { NO_COMPANY } from "./flow-names.ts";
import type { FlowTree } from "./flow-tree.ts";
import type { SlotRequest } from "./slot-request.ts";
import type { Waiter } from "./waiting-list.ts";

/** What may wait in a lane, without background work. */
export interface WaitingBounds {
  readonly requests: number;
  readonly bytes: number;
}

type Measure = "requests" | "bytes";

/** A company's part of what would wait if the newcomer were let in. */
interface CompanyUsage {
  requests: number;
  bytes: number;
  readonly isOwn: boolean;
  /** Those that can be turned away, newest first; without the newcomer. */
  readonly evictable: Iterator<Waiter, undefined>;
}

interface CallerUsage {
  readonly weight: number;
  requests: number;
  bytes: number;
  readonly isOwn: boolean;
  readonly companies: CompanyUsage[];
}

/** Who goes so that the newcomer can wait. `refuse`: the newcomer itself. */
export type RoomDecision = { readonly kind: "refuse" } | { readonly kind: "admit"; readonly evict: readonly Waiter[] };

/** How far above the bounds newcomers are let in while nothing can be evicted. */
const HARD_BOUND_FACTOR = 2;
const REFUSE: RoomDecision = { kind: "refuse" };

/**
 * Finds room for one more direct request. The newcomer is refused when it is itself the newest of the longest (ties are
 * decided against it), or when there is nobody to evict: nothing is evicted that has begun to be answered, and nobody who
 * is within their share. But when those who are over their share cannot be evicted since their answers have begun, a
 * newcomer within its own share is let in all the same, above the bound: nobody can lock the others out. That ends at twice
 * the bounds, but for each caller's first request.
 */
export function makeRoom(tree: FlowTree, newcomer: SlotRequest, bounds: WaitingBounds): RoomDecision {
  const fits = tree.waiting < bounds.requests;
  // A single request can always wait, however large: otherwise it could never be served under load.
  if (fits && (tree.waiting === 0 || tree.bytes + newcomer.bytes <= bounds.bytes)) return { kind: "admit", evict: [] };
  if (bounds.requests === 0) return REFUSE;

  const callers = usageWith(tree, newcomer);
  const total = { requests: tree.waiting + 1, bytes: tree.bytes + newcomer.bytes };
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
  /** Somebody else is over their share, and nothing of theirs can be evicted. */
  let blocked = false;
  for (const group of longestFirst(callers, ({ weight, [over]: amount }) => amount / weight)) {
    const share = (bound * group.weight) / weights;
    // A caller with one request waiting is within its share, whatever its size: the first of each caller finds room.
    if (group.requests <= 1 || group[over] <= share) continue;
    const { companies } = group;
    // Among the newcomer's own caller's companies the shares decide; of another caller the longest company has to give.
    const ofCompany = group.isOwn ? Math.max(share / companies.length, over === "requests" ? 1 : 0) : 0;
    if (group.isOwn) blocked = false;
    for (const company of longestFirst(companies, (one) => one[over])) {
      if (company[over] <= ofCompany) continue;
      if (company.isOwn) return "refuse"; // the newcomer is its newest
      const waiter = company.evictable.next().value;
      if (waiter !== undefined) return { group, company, waiter };
      blocked = true;
    }
    // Callers that are shorter than the newcomer's own do not make room for it.
    if (group.isOwn) break;
  }
  return blocked ? "admit" : "refuse";
}

/** Sorted by length, longest first; at equal length the newcomer's own first, so that the one who comes loses. */
function longestFirst<T extends { readonly isOwn: boolean }>(all: readonly T[], length: (one: T) => number): T[] {
  return [...all].sort((a, b) => length(b) - length(a) || Number(b.isOwn) - Number(a.isOwn));
}

/** What waits, by caller and company, as it would be with the newcomer. */
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
