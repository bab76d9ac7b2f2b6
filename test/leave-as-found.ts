/** Set up in the project `unit`, whose files share a process: what a file replaces for its tests is as it was for the next file. */
import { afterAll, vi } from "vitest";

const environment = { ...process.env };
const { exitCode } = process;

afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  for (const name of Object.keys(process.env)) if (!(name in environment)) delete process.env[name];
  Object.assign(process.env, environment);
  process.exitCode = exitCode;
});
