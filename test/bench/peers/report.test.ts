/** The comparison's table and picture: who was left out is named, and nothing that was not measured is drawn. */
import { expect, it } from "vitest";
import { type Peers, pictureOf, tableOf } from "./report.ts";

const peers: Peers = {
  at: "2026-11-28",
  rounds: 2,
  seconds: 1.5,
  medians: {
    direct: { "p50 at 1 connection, ms": 0.05, "requests/CPU s at 64": 90_000, "memory per stream, MB": 1 },
    relay: { "p50 at 1 connection, ms": 0.33, "requests/CPU s at 64": 5200, "turned away after, p50 ms": 12 },
    "a <gate>": {
      "p50 at 1 connection, ms": 16.6,
      "requests/CPU s at 64": 160,
      "turned away after, p50 ms": Number.NaN,
    },
  },
  unavailable: [{ name: "Olla", unavailable: "olla is not on PATH" }],
};

it("has a column for each, names who was left out, and says nothing of the origin's own CPU", () => {
  const table = tableOf(peers);
  expect(table).toContain("|  | direct | relay | a <gate> |");
  expect(table).toContain("| p50 at 1 connection, ms | 0.05 | 0.33 | 17 |");
  expect(table).toContain("| requests/CPU s at 64 | – | 5.2k | 160 |");
  expect(table).toContain("| turned away after, p50 ms | – | 12 | – |");
  expect(table).toContain("Olla is left out: olla is not on PATH");
});

it("draws bars in proportion, on a ground of its own in either theme, and none of what was not measured", () => {
  const svg = pictureOf(peers);
  const widths = [...svg.matchAll(/<rect class="[ro]"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));
  // Latency of three, requests per CPU second of two, turned away of one.
  expect(widths).toHaveLength(6);
  expect(widths[1]! / widths[2]!).toBeCloseTo(0.33 / 16.6, 2);
  expect(svg).toContain("prefers-color-scheme:dark");
  expect(svg).toContain('<rect class="b"');
  expect(svg).toContain("a &lt;gate>");
  expect(svg).not.toContain("memory per stream");
});
