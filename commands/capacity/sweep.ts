/**
 * The order of the levels: 1, 2, 4, 8, … at once until it no longer pays, then around the knee, then those around the knee
 * again and again, in turn, until their numbers have settled. Measures nothing itself.
 */
import { type KneeBounds, knee, refine, stillGrows } from "./knee.ts";
import { isSettled, merged } from "./repeats.ts";
import type { Level } from "./stats.ts";

/** What a sweep found. */
export interface Sweep {
  /** In the order of `atOnce`. */
  readonly levels: readonly Level[];
  /** The knee; undefined when nothing was measured. */
  readonly knee: Level | undefined;
  /** Whether the neighbours of the knee were measured; false when it was ended early. */
  readonly isComplete: boolean;
  /** Whether the levels around the knee were measured until their numbers had settled. */
  readonly isSettled: boolean;
}

/** Bounds of a sweep. */
export interface SweepBounds extends KneeBounds {
  /** Most at once that is tried. */
  readonly most: number;
}

/**
 * @param measure one level; undefined ends the sweep with what there is
 * @param onLevel told of each level as soon as it is known
 */
export async function sweep(
  measure: (atOnce: number) => Promise<Level | undefined>,
  { most, ...bounds }: SweepBounds,
  onLevel: (level: Level) => void = () => {},
): Promise<Sweep> {
  const runs = new Map<number, Level[]>();
  const levels = (): Level[] => [...runs.values()].map(merged).sort((a, b) => a.atOnce - b.atOnce);
  const result = (isComplete: boolean, settled = false): Sweep => {
    const all = levels();
    return { levels: all, knee: knee(all, bounds), isComplete, isSettled: settled };
  };
  const add = async (atOnce: number): Promise<boolean> => {
    const level = await measure(atOnce);
    if (level === undefined) return false;
    runs.set(atOnce, [...(runs.get(atOnce) ?? []), level]);
    onLevel(level);
    return true;
  };
  /** Twice as many while it pays, then around the knee. */
  const next = (): number | undefined => {
    const all = levels();
    const last = all.at(-1);
    if (last === undefined) return 1;
    const takesNoMore = last.finished === 0 && last.refused + last.failed > 0;
    if (!takesNoMore && last.atOnce < most && stillGrows(all, bounds)) return Math.min(2 * last.atOnce, most);
    return refine(all, bounds);
  };
  for (;;) {
    for (let atOnce = next(); atOnce !== undefined; atOnce = next()) if (!(await add(atOnce))) return result(false);
    // In turn, so that what else this machine does falls on each of them. The knee may move meanwhile.
    const open = around(levels(), bounds).filter((atOnce) => !isSettled(runs.get(atOnce)!));
    if (open.length === 0) return result(true, true);
    for (const atOnce of open) if (!(await add(atOnce))) return result(true);
  }
}

/** The levels that the result rests on: one at a time, the knee, and those next to it. */
function around(levels: readonly Level[], bounds: KneeBounds): number[] {
  const at = knee(levels, bounds);
  if (at === undefined || at.finished === 0) return [];
  const index = levels.indexOf(at);
  const wanted = [levels[0], levels[index - 1], at, levels[index + 1]];
  return [...new Set(wanted.flatMap((level) => (level && level.finished > 0 ? [level.atOnce] : [])))];
}
