/** docs/monitoring names only metrics and labels that the relay really has, and pages that exist. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { createLocalJWKSet } from "jose";
import { type Metric, Registry } from "prom-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { alertThresholdsSchema } from "../../runtime/alert-config.ts";
import { limitsSchema } from "../../runtime/limits-config.ts";
import { type Relay, startRelay } from "../../runtime/relay/server.ts";
import { createLog } from "../../runtime/relay/telemetry/log.ts";
import { jwks, testConfig } from "../runtime/relay/harness.ts";

const project = join(import.meta.dirname, "../..");
const read = (path: string) => readFile(join(project, path), "utf8");

/** What prom-client knows of a metric. */
interface Registered {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** `Counter`, `Gauge`, `Histogram`. */
const kindOf = (metric: Registered): string => metric.constructor.name;

/** Labels of each series by its name, of a relay with everything switched on. */
const series = new Map<string, ReadonlySet<string>>();
const registered: Registered[] = [];
let relay: Relay | undefined;
let folder: string;

const dashboardSchema = z.object({
  schemaVersion: z.int().min(39),
  uid: z.string(),
  templating: z.object({ list: z.array(z.object({ name: z.string(), type: z.string(), query: z.unknown() })) }),
  panels: z.array(
    z.object({
      id: z.int(),
      type: z.enum(["row", "stat", "timeseries"]),
      title: z.string().min(3),
      description: z.string().optional(),
      datasource: z.object({ type: z.literal("prometheus"), uid: z.literal(`\${datasource}`) }).optional(),
      gridPos: z.object({ x: z.int(), y: z.int(), w: z.int().min(1), h: z.int().min(1) }),
      targets: z.array(z.object({ refId: z.string(), expr: z.string(), legendFormat: z.string() })).optional(),
    }),
  ),
});
const rulesSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^Slm[A-Z]\w+$/),
          expr: z.string(),
          for: z
            .string()
            .regex(/^\d+[smh]$/)
            .optional(),
          labels: z.strictObject({ severity: z.enum(["critical", "warning", "info"]) }),
          annotations: z.strictObject({
            summary: z.string().min(10),
            description: z.string().min(20),
            runbook_url: z.string(),
          }),
        }),
      ),
    }),
  ),
});
const dashboard = dashboardSchema.parse(JSON.parse(await read("docs/monitoring/dashboard.json")));
const rules = rulesSchema
  .parse(parse(await read("docs/monitoring/alerts.yaml")))
  .groups.flatMap((group) => group.rules);
const targets = dashboard.panels.flatMap(({ title, targets: all = [] }) =>
  all.map(({ expr, legendFormat }) => ({ where: title, expr, text: legendFormat })),
);
const alerting = rules.map(({ alert, expr, annotations }) => ({
  where: alert,
  expr,
  text: `${annotations.summary} ${annotations.description}`,
}));

/** What an expression selects, and the labels that its aggregations and matchings name. */
function namesIn(expr: string) {
  const text = expr.replaceAll("$__rate_interval", "5m");
  const selected: { metric: string; labels: string[] }[] = [];
  const grouped: string[] = [];
  const problems: string[] = [];
  parser.parse(text).iterate({
    enter({ type, from, to, node }) {
      const of = text.slice(from, to);
      if (type.isError) problems.push(`error at ${from}: ${text.slice(from, from + 20)}`);
      if (type.name === "VectorSelector") {
        const metric = node.getChild("Identifier");
        const labels: string[] = [];
        node.cursor().iterate((inner) => {
          if (inner.type.name === "LabelName") labels.push(text.slice(inner.from, inner.to));
        });
        selected.push({ metric: metric ? text.slice(metric.from, metric.to) : of, labels });
      }
      if (type.name === "GroupingLabels")
        grouped.push(
          ...of
            .replace(/[()\s]/g, "")
            .split(",")
            .filter(Boolean),
        );
    },
  });
  return { selected, grouped, problems };
}

beforeAll(async () => {
  const register = Registry.prototype.registerMetric;
  Registry.prototype.registerMetric = function registerMetric<T extends string>(this: Registry, metric: Metric<T>) {
    registered.push(metric as unknown as Registered);
    register.call(this, metric as unknown as Metric);
  };
  try {
    folder = await mkdtemp(join(tmpdir(), "slm-monitoring-"));
    const config = testConfig("http://127.0.0.1:9", folder, {
      telemetry: { otlp: { endpoint: "http://127.0.0.1:9", samplingRatio: 0, serviceName: "x" } },
      alerts: {
        thresholds: alertThresholdsSchema.parse({}),
        webhooks: [{ format: "slack", language: "en" }],
      },
      tokens: { backend: { expiresAt: "2099-01-01T00:00:00Z" } },
      fallback: { url: "http://127.0.0.1:9", companies: ["*"] },
      direct: { lines: [{ server: "backend", port: 0 }] },
      limits: limitsSchema.parse({ chatAuto: { min: 1, max: 4 } }),
    });
    const secrets = { alertWebhooks: [{ url: "http://127.0.0.1:9" }] };
    relay = await startRelay(config, secrets, { log: createLog({ write() {} }), keys: createLocalJWKSet(jwks) });
  } finally {
    Registry.prototype.registerMetric = register;
  }
  const ofPrometheus = ["job", "instance"];
  series.set("up", new Set(ofPrometheus));
  for (const metric of registered) {
    const { name, labelNames = [] } = metric;
    const labels = [...labelNames, ...ofPrometheus];
    if (kindOf(metric) !== "Histogram") series.set(name, new Set(labels));
    else {
      series.set(`${name}_bucket`, new Set([...labels, "le"]));
      for (const end of ["_sum", "_count"]) series.set(name + end, new Set(labels));
    }
  }
});

afterAll(async () => {
  await relay?.close();
  await rm(folder, { recursive: true, force: true });
});

it("the relay's metrics have plain help texts, units in their names and bounded labels", () => {
  const own = registered.filter(({ name }) => name.startsWith("slm_"));
  expect(own.length).toBeGreaterThan(50);
  for (const metric of own) {
    const { name, help, labelNames = [] } = metric;
    expect(help, name).toMatch(/^[A-Z1].{10,}\.$/);
    expect(name.endsWith("_total"), name).toBe(kindOf(metric) === "Counter");
    for (const label of labelNames) expect(label, name).not.toMatch(/^(path|company|title|id|user|model)$/);
  }
});

describe.each([...targets, ...alerting])("$where: $expr", ({ expr, text }) => {
  const { selected, grouped, problems } = namesIn(expr);

  it("is PromQL, of metrics and labels that the relay has", () => {
    expect(problems).toEqual([]);
    expect(selected.length).toBeGreaterThan(0);
    for (const { metric, labels } of selected) {
      expect([...series.keys()], expr).toContain(metric);
      expect(
        labels.filter((label) => !series.get(metric)!.has(label)),
        metric,
      ).toEqual([]);
      expect(labels, "every selector names its job").toContain("job");
    }
    const known = new Set(selected.flatMap(({ metric }) => [...(series.get(metric) ?? [])]));
    expect(grouped.filter((label) => !known.has(label))).toEqual([]);
    // Labels in legends and texts: what the expression leaves of them.
    const shown = [...text.matchAll(/\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}/g)].map(([, label]) => label!);
    const left = grouped.length > 0 ? new Set(grouped) : known;
    expect(shown.filter((label) => !left.has(label))).toEqual([]);
  });
});

it("a metric or a label that does not exist would be found", () => {
  expect(namesIn("sum by (le) (rate(slm_nothing{a='b'}[5m]))")).toMatchObject({
    selected: [{ metric: "slm_nothing", labels: ["a"] }],
    grouped: ["le"],
    problems: [],
  });
  expect(namesIn("rate(slm_x[").problems).not.toEqual([]);
});

describe("the dashboard", () => {
  it("takes its data source from a variable, everywhere", () => {
    expect(dashboard.templating.list.map(({ name, type }) => [name, type])).toEqual([
      ["datasource", "datasource"],
      ["job", "query"],
    ]);
    const data = dashboard.panels.filter(({ type }) => type !== "row");
    expect(data.length).toBeGreaterThan(20);
    for (const { title, datasource, description, targets: all } of data) {
      expect(datasource, title).toBeDefined();
      expect(description?.length, title).toBeGreaterThan(15);
      expect(all?.length, title).toBeGreaterThan(0);
    }
  });

  it("has panels of their own number and place", () => {
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), title).toBe(false);
          taken.add(`${x},${y}`);
        }
      }
    }
  });
});

describe.each(rules)("the rule $alert", ({ alert, annotations }) => {
  it("has a runbook that is there, and is in the README", async () => {
    const [file, anchor] = annotations.runbook_url.split("#") as [string, string | undefined];
    const headings = [...(await read(file)).matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(/\s/g, "-"),
    );
    if (anchor !== undefined) expect(headings).toContain(anchor);
    expect(await read("docs/monitoring/README.md")).toContain(`\`${alert}\``);
  });
});
