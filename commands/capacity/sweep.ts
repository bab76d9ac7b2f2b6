/** The order of the levels: 1, 2, 4, 8, … at once until it no longer pays, then around the knee. Measures nothing itself. */
import { type KneeBounds, knee, refine, stillGrows } from "./knee.ts";
import type { Level } from "./stats.ts";

/** What a sweep found. */
export interface Sweep {
  /** In the order of `atOnce`. */
  readonly levels: readonly Level[];
  /** The knee; undefined when nothing was measured. */
  readonly knee: Level | undefined;
  /** Whether the neighbours of the knee were measured; false when it was ended early. */
  readonly isComplete: boolean;
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
  const levels: Level[] = [];
  const result = (isComplete: boolean): Sweep => {
    const sorted = [...levels].sort((a, b) => a.atOnce - b.atOnce);
    return { levels: sorted, knee: knee(sorted, bounds), isComplete };
  };
  const add = async (atOnce: number): Promise<boolean> => {
    const level = await measure(atOnce);
    if (level === undefined) return false;
    levels.push(level);
    onLevel(level);
    return true;
  };
  for (let atOnce = 1; ; atOnce = Math.min(2 * atOnce, most)) {
    if (!(await add(atOnce))) return result(false);
    const last = levels.at(-1)!;
    if (last.finished === 0 && last.refused + last.failed > 0) break; // it takes no more
    if (!stillGrows(levels, bounds) || atOnce >= most) break;
  }
  for (let next = refine(levels, bounds); next !== undefined; next = refine(levels, bounds)) {
    if (!(await add(next))) return result(false);
  }
  return result(true);
}
