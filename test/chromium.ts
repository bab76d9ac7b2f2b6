/** A real Chromium for the tests of the status page: the machine's own, or on CI one that apt-get installs. */
import { spawnSync } from "node:child_process";
import { executablesOnPath, isExecutable } from "../sandbox/tools/on-path.ts";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const APPLICATIONS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
/** Korean is shown as boxes without a font that has it. */
const PACKAGES = ["chromium", "fonts-nanum"];

/** What to do where none is found; the reason of the skipped tests. */
export const NO_CHROMIUM = "no Chromium: set CHROME_PATH, or install chromium or google-chrome";

/** @returns the program: that of CHROME_PATH, else one on PATH, else a Mac's; undefined if there is none */
export function findChromium(): string | undefined {
  const { CHROME_PATH } = process.env;
  if (CHROME_PATH) {
    if (isExecutable(CHROME_PATH)) return CHROME_PATH;
    throw new Error(`CHROME_PATH is ${CHROME_PATH}, which is not a program: correct it, or unset it`);
  }
  return [...NAMES.flatMap((name) => executablesOnPath(name)), ...APPLICATIONS.filter(isExecutable)][0];
}

/** As `findChromium`; on CI, as root on a system of Debian's kind, it is installed when it is missing. */
export function ensureChromium(log: (line: string) => void): string | undefined {
  const found = findChromium();
  const canInstall = process.env.CI && process.getuid?.() === 0 && executablesOnPath("apt-get").length > 0;
  if (found !== undefined || !canInstall) return found;
  log("chromium: installing by apt-get …");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-y", "--no-install-recommends", ...PACKAGES];
  if (spawnSync("apt-get", install, { env, stdio: "ignore" }).status !== 0) {
    // The package lists may be old, or not there at all, as in a fresh container.
    spawnSync("apt-get", ["update"], { env, stdio: "ignore" });
    spawnSync("apt-get", install, { env, stdio: "ignore" });
  }
  return findChromium();
}
