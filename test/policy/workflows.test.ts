/** What docs/pull-requests.md says of the workflows, as far as their files can show it. */
import { access, constants, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { pulumi } from "../../sandbox/tools/recipes.ts";
import { type Job, pulumiStep, workflow } from "./workflows.ts";

const project = join(import.meta.dirname, "../..");
const preview = await workflow("preview");
const drift = await workflow("drift");
const jobs: [string, Job][] = [...Object.entries(preview.jobs), ...Object.entries(drift.jobs)];
const job = (name: string): Job => {
  const found = jobs.find(([known]) => known === name)?.[1];
  if (!found) throw new Error(`no job ${name}, only ${jobs.map(([known]) => known).join(", ")}`);
  return found;
};

/** The parts of a condition that must all hold. */
const conditions = ({ if: condition = "" }: Job): string[] => condition.split("&&").map((part) => part.trim());
/** The clouds' keys that a job's step with the engine gets. */
const secretsOf = (name: string): string[] =>
  Object.values(pulumiStep(job(name)).env)
    .flatMap((value) => /secrets\.(\w+)/.exec(value)?.[1] ?? [])
    .filter((secret) => !secret.startsWith("PULUMI_"));

describe("a pull request's preview", () => {
  it("runs for branches of this repository only: nothing for forks, nothing for robots", () => {
    expect(Object.keys(preview.on).toSorted()).toEqual(["pull_request", "push"]); // pull_request_target would hand secrets to forks
    expect(conditions(job("preview"))).toEqual([
      "github.event_name == 'pull_request'",
      "github.event.pull_request.head.repo.full_name == github.repository",
      "github.actor != 'dependabot[bot]'",
    ]);
  });

  it("comments with the diff, is judged by the pack, and refreshes nothing", async () => {
    const { with: inputs } = pulumiStep(job("preview"));
    expect(inputs).toMatchObject({
      command: "preview",
      diff: true,
      refresh: false,
      "comment-on-pr": true,
      "edit-pr-comment": true,
      policyPacks: "policy/pack",
    });
    await access(join(project, String(inputs.policyPacks)), constants.X_OK);
  });

  it("has no right but to read and to comment, on a machine of nobody's", () => {
    expect(preview.permissions).toEqual({ contents: "read" });
    expect(job("preview").permissions).toEqual({ contents: "read", "pull-requests": "write" });
    expect(job("preview")["runs-on"]).toBe("ubuntu-latest");
    expect(job("preview").environment).toBeUndefined();
    expect(secretsOf("preview")).toHaveLength(3);
    for (const name of secretsOf("preview")) expect(name).toMatch(/_READ$/);
  });

  it("makes way for the next one of the same pull request", () => {
    expect(job("preview").concurrency).toEqual({
      group: `preview-$\{{ github.event.pull_request.number }}`,
      "cancel-in-progress": true,
    });
  });
});

describe("deploys", () => {
  it("come from main alone, when they are switched on, with the pack and the secrets of their environment", () => {
    expect(preview.on.push).toEqual({ branches: ["main"] });
    expect(conditions(job("deploy"))).toEqual(["github.event_name == 'push'", "vars.SLM_DEPLOY == 'true'"]);
    expect(job("deploy").environment).toBe("production");
    expect(pulumiStep(job("deploy")).with).toMatchObject({ command: "up", policyPacks: "policy/pack" });
    expect(secretsOf("deploy")).toHaveLength(3);
    for (const name of secretsOf("deploy")) expect(name).not.toMatch(/_READ/);
  });

  it("wait for each other and for the look for drift, and none is cut off", () => {
    const queue = { group: "slm-network-deploy", "cancel-in-progress": false };
    expect(job("deploy").concurrency).toEqual(queue);
    expect(drift.concurrency).toEqual(queue);
    expect(preview.concurrency).toBeUndefined();
  });
});

describe("drift", () => {
  it("is looked for every night, with keys that may only read; any change fails it", () => {
    expect(Object.keys(drift.on).toSorted()).toEqual(["schedule", "workflow_dispatch"]);
    expect(pulumiStep(job("drift")).with).toMatchObject({
      command: "preview",
      refresh: true,
      "expect-no-changes": true,
    });
    expect(drift.permissions).toEqual({ contents: "read" });
    expect(conditions(job("drift"))).toEqual(["vars.SLM_DEPLOY == 'true'"]);
    expect(secretsOf("drift")).toHaveLength(3);
    for (const name of secretsOf("drift")) expect(name).toMatch(/_READ(_ALL)?$/);
  });
});

describe("every job", () => {
  it.each(jobs)("%s runs the engine that the tests run, and leaves no credentials in the checkout", (_name, one) => {
    expect(pulumiStep(one).with["pulumi-version"]).toBe(pulumi.version);
    const checkout = one.steps.find(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkout?.with["persist-credentials"]).toBe(false);
    expect(one["timeout-minutes"]).toBeLessThanOrEqual(60);
  });

  it("uses no secret and no variable that the documentation does not name", async () => {
    const doc = await readFile(join(project, "docs/pull-requests.md"), "utf8");
    for (const name of ["preview", "drift"]) {
      const text = await readFile(join(project, ".github/workflows", `${name}.yml`), "utf8");
      const used = new Set([...text.matchAll(/(?:secrets|vars)\.(\w+)/g)].map(([, key]) => key ?? ""));
      expect(used.size).toBeGreaterThan(5);
      for (const key of used) expect(doc, key).toContain(`\`${key}\``);
    }
  });
});
