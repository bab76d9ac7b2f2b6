// Runs before every command with whatever Node is there, before anything is installed: brings node_modules to what
// package-lock.json says. Node 24 comes with it as the npm package `node`, whose bin is first in PATH under `npm run`.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Ends with one sentence. */
function stop(sentence) {
  console.error(`setup: ${sentence}`);
  process.exit(1);
}

if (process.platform === "win32") {
  stop('Windows itself is not supported: run this inside WSL2, as README.md describes under "Windows".');
}

const root = fileURLToPath(new URL("..", import.meta.url));
const lock = createHash("sha256")
  .update(readFileSync(join(root, "package-lock.json")))
  .digest("hex");
const stamp = join(root, "node_modules", ".slm-network-setup");
const installed = existsSync(stamp) ? readFileSync(stamp, "utf8") : "";

/**
 * Runs the npm that runs this, its output on standard error: standard output belongs to the command (`--env` is for eval).
 * With the Node that runs npm, not with this one: this may be the one in node_modules, which `npm ci` deletes.
 */
function npm(...args) {
  const { npm_execpath: program, npm_node_execpath: node } = process.env;
  const [command, ...before] = program && node ? [node, program] : ["npm"];
  return (
    spawnSync(command, [...before, ...args], { cwd: root, stdio: ["ignore", process.stderr.fd, "inherit"] }).status ===
    0
  );
}

if (installed !== lock) {
  console.error("setup: installing the packages of package-lock.json: about a minute, once …");
  // No package runs a script of its own at installation but those that package.json names: what they bring is needed.
  const { allowScripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const named = Object.keys(allowScripts).filter((name) => allowScripts[name]);
  if (!npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")) {
    stop(
      "`npm ci` failed (its message is above): it needs access to the npm registry; then run the same command again.",
    );
  }
  if (!npm("rebuild", ...named, "--ignore-scripts=false", "--loglevel=error")) {
    stop(
      `the install scripts of ${named.join(" and ")} failed (the message is above); then run the same command again.`,
    );
  }
}

// `npm run` starts the command with this same PATH, where node_modules/.bin comes first.
const bin = join(root, "node_modules", ".bin", "node");
const { stdout } = spawnSync(existsSync(bin) ? bin : "node", ["--version"], { encoding: "utf8" });
const [major = 0, minor = 0] = (stdout ?? "").trim().replace("v", "").split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  stop(
    `Node ${stdout?.trim() || "of the npm package `node`"} cannot run TypeScript, which needs 22.18 or later: delete node_modules and run the same command again, or install Node 24 from https://nodejs.org.`,
  );
}
if (installed !== lock) writeFileSync(stamp, lock);
