import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { withProgress } from "../../commands/progress.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function stream(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, written, write: (text: string) => void written.push(text) };
}
const after = <T>(ms: number, value: T) => new Promise<T>((resolve) => setTimeout(() => resolve(value), ms));

it("says nothing when the work is done within two seconds", async () => {
  const out = stream(true);
  const work = withProgress("waiting", after(1_900, "done"), out);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await work).toBe("done");
  expect(out.written).toEqual([]);
});

it("prints one plain line when the output is not a terminal", async () => {
  const out = stream(false);
  const work = withProgress("waiting", after(9_000, 1), out);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(await work).toBe(1);
  expect(out.written).toEqual(["… waiting\n"]);
});

it("counts the seconds on a terminal and erases the line at the end, also after a failure", async () => {
  const out = stream(true);
  const failing = after(4_500, 0).then(() => Promise.reject(new Error("no")));
  const work = expect(withProgress("waiting", failing, out)).rejects.toThrow("no");
  await vi.advanceTimersByTimeAsync(6_000);
  await work;
  expect(out.written).toEqual(["\r… waiting (2 s) ", "\r… waiting (3 s) ", "\r… waiting (4 s) ", "\r\u001b[K"]);
});
