// Runs before `npm run sandbox`, `npm test` and `npm run check`, with whatever Node is there (18 or later) and before
// anything is installed: brings node_modules to what package-lock.json says. Node 24 comes with it, as the npm package
// `node`, whose bin is first in PATH under `npm run`.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
const stamp = join(root, "node_modules", ".slm-network-setup");
const installed = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";

// Standard output is kept for what the command itself prints (`npm run -s sandbox -- --env` is for eval).
const quiet = ["ignore", process.stderr.fd, "inherit"];

if (installed !== lock) {
  console.error("setup: installing the packages of package-lock.json (npm ci): about a minute, once …");
  const npm = process.env.npm_execpath;
  const args = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const run = npm
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: quiet })
    : spawnSync("npm", args, { cwd: root, stdio: quiet });
  if (run.status !== 0) {
    console.error(
      "setup: `npm ci` failed (its message is above). This needs a way to the npm registry; then run the same command again.",
    );
    process.exit(1);
  }
  const node = spawnSync(join(root, "node_modules", ".bin", "node"), ["--version"], { encoding: "utf8" });
  const major = Number(/^v(\d+)\./.exec(node.stdout ?? "")?.[1] ?? 0);
  if (major < 24) {
    console.error(
      `setup: Node 24 is needed and node_modules/.bin/node says ${node.stdout?.trim() || "nothing"}. npm must be allowed to run the install script of the package "node"; or install Node 24 from https://nodejs.org.`,
    );
    process.exit(1);
  }
  writeFileSync(stamp, lock);
}
