// Entry of the program. Plain JavaScript, so that a plain `pulumi` with an old Node gets one sentence: on index.ts it would fail
// with "Unknown file extension", which names neither Node nor a version. (`npm run pulumi` brings the right Node.)
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  const sentence = `Node ${process.versions.node} cannot run this program's TypeScript, which needs 22.18 or later: use \`npm run pulumi --\` in place of \`pulumi\`, or put the Node that comes with the packages first (export PATH="$PWD/node_modules/.bin:$PATH")`;
  console.error(sentence);
  process.exit(1);
}

/** @returns the stack's outputs */
export default async function program() {
  // Node's own stack traces: Pulumi's language host installs hooks that look every frame up in source maps, and the SDK takes a trace
  // for each resource and promise. Node strips types in place, so the program's positions need no map.
  Error.prepareStackTrace = undefined;
  await import("./components/compile-cache.ts");
  return { ...(await import("./index.ts")) };
}
