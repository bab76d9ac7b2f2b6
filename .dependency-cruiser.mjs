// Which folder may import which: arrows point down only. A list goes from the top floor to the ground floor; a folder may
// import itself and what stands below it. Checked by `npm run check:layers`.

/** The project. */
const project = ["program.mjs", "index.ts", "commands", "components", "accounts", "ssh", "policy", "config", "runtime"];

/** The relay (runtime/relay). What a request passes first lies lowest: all that comes after builds on it. */
const relay = [
  "main.ts",
  "server.ts", // starts, reloads and stops the relay
  "shutdown.ts",
  "assembly.ts", // opens the parts
  "stores.ts",
  "capacity.ts",
  "observation.ts",
  "relay-options.ts",
  "listeners.ts",
  "admin.ts",
  "handler.ts", // the order of a request
  "model-calls.ts",
  "document-requests.ts",
  "handler-parts.ts",
  "health.ts",
  "direct-lines.ts",
  "tracing",
  "status",
  "alerts",
  "openapi",
  "documents",
  "jobs",
  "model",
  "admission",
  "usage",
  "access",
  "http",
  "dialects",
  "memory",
  "telemetry",
  "threads",
  "too-many-requests.ts",
  "errors.ts",
  "sqlite.ts", // what all SQLite files share
];

const at = (base, entry) => `^${base}${entry.replaceAll(".", "\\.")}${/\.m?[jt]s$/.test(entry) ? "$" : "/"}`;

/** One rule for each entry of a list: it imports nothing that stands above it. */
const layers = (base, entries) =>
  entries.slice(1).map((entry, index) => ({
    name: `${base}${entry} imports nothing above it`,
    severity: "error",
    from: { path: at(base, entry) },
    to: { path: entries.slice(0, index + 1).map((above) => at(base, above)) },
  }));

export default {
  forbidden: [
    ...layers("", project),
    ...layers("runtime/relay/", relay),
    { name: "no circles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "the product does not know its sandbox and its tests",
      severity: "error",
      from: { path: project.map((entry) => at("", entry)) },
      to: { path: "^(sandbox|test)/" },
    },
    {
      name: "the installer and the relay know nothing of each other",
      severity: "error",
      from: { path: "^runtime/(relay|installer)/" },
      to: { path: "^runtime/(relay|installer)/", pathNot: "^runtime/$1/" },
    },
    {
      name: "the relay and the installer bring along only what is bundled for the Mac",
      severity: "error",
      from: { path: "^runtime/(relay|installer)/" },
      to: { path: "node_modules/(@pulumi|cloudflare|ssh2|esbuild)/" },
    },
    {
      name: "a provider's SDK is imported by the file of each resource",
      comment: "the index is a thousand files, and an import of it loads them all at every preview",
      severity: "error",
      from: { path: project.map((entry) => at("", entry)) },
      to: { path: "node_modules/@pulumi/(cloudflare|mongodbatlas)/index\\.", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "a provider loads its client where it is needed: a preview needs none",
      severity: "error",
      from: { path: "^components/(ttl-collection|tunnel-connections)-provider\\.ts$" },
      to: {
        path: [
          "^components/ttl-collection-database\\.ts$",
          "^accounts/cloudflare\\.ts$",
          "node_modules/(mongodb|cloudflare)/",
        ],
        dynamic: false,
        dependencyTypesNot: ["type-only"],
      },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
  },
};
