/** Sizes and times as a person reads them. */

const sizes = ["KiB", "MiB", "GiB", "TiB"];

/** @param kib whole KiB. @returns e.g. `412 GiB` */
export function size(kib: number): string {
  let value = kib;
  let unit = 0;
  while (value >= 1024 && unit < sizes.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 10 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${sizes[unit]}`;
}

/** @returns e.g. `90 s`, `5 min`, `2 h`, `3 days` */
export function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
