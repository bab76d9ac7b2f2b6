/** Durations as people and Cloudflare write them. */

const unitMs: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** @returns milliseconds of e.g. `7d`, `36h` or `1d12h` (s, m, h, d, w); undefined when the text is not a duration */
export function durationMs(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?[smhdw])+$/.test(text)) return undefined;
  return [...text.matchAll(/([\d.]+)([smhdw])/g)].reduce(
    (sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ""] ?? 0),
    0,
  );
}

/** @returns the duration in the largest unit that fits: `7 days`, `5 hours`, `40 minutes`, `30 seconds` */
export function inWords(ms: number): string {
  const units = [
    [2 * 86_400_000, 86_400_000, "day"],
    [2 * 3_600_000, 3_600_000, "hour"],
    [60_000, 60_000, "minute"],
  ] as const;
  const [, size, word] = units.find(([least]) => ms >= least) ?? [0, 1_000, "second"];
  const count = Math.floor(ms / size);
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** @returns RFC 3339 in UTC, whole seconds */
export const rfc3339 = (ms: number): string =>
  new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace(".000Z", "Z");
