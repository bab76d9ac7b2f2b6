/** What docs/pull-requests.md promises of the workflows, as far as their files can show it. */
import { access, constants, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { pulumi } from "../../sandbox/tools/recipes.ts";
import { type Job, pulumiStep, workflow, workflowFolder } from "./workflows.ts";

const project = join(import.meta.dirname, "../..");
const preview = await workflow("preview");
const deploy = await workflow("deploy");
const drift = await workflow("drift");
const job = (from: typeof preview): Job => {
  const [found, ...more] = Object.values(from.jobs);
  if (!found || more.length > 0) throw new Error("expected one job");
  return found;
};
const jobs = [
  ["preview", job(preview)],
  ["deploy", job(deploy)],
  ["drift", job(drift)],
] as const;

/** The parts of a condition that must all hold. */
const conditions = ({ if: condition = "" }: Job): string[] => condition.split("&&").map((part) => part.trim());
/** The cloud credentials of a job's step with the engine. */
const secretsOf = (one: Job): string[] =>
  Object.values(pulumiStep(one).env)
    .flatMap((value) => /secrets\.(\w+)/.exec(value)?.[1] ?? [])
    .filter((secret) => !secret.startsWith("PULUMI_"));

describe("a pull request's preview", () => {
  it("runs for people's branches of this repository only: not for forks, not for bots", () => {
    expect(Object.keys(preview.on)).toEqual(["pull_request"]); // pull_request_target would hand secrets to forks
    expect(conditions(job(preview))).toEqual([
      "github.event.pull_request.head.repo.full_name == github.repository",
      "github.event.pull_request.user.type == 'User'",
      "!endsWith(github.actor, '[bot]')",
    ]);
  });

  it("comments with the diff, applies the policy pack, and refreshes nothing", async () => {
    const { with: inputs } = pulumiStep(job(preview));
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

  it("can only read, comment and identify itself, on a GitHub machine", () => {
    expect(job(preview).permissions).toEqual({ contents: "read", "pull-requests": "write", "id-token": "write" });
    expect(job(preview)["runs-on"]).toBe("ubuntu-latest");
    expect(job(preview).environment).toBeUndefined();
    expect(secretsOf(job(preview))).toHaveLength(3);
    for (const name of secretsOf(job(preview))) expect(name).toMatch(/_READ$/);
  });

  it("is cancelled by the next one of the same pull request", () => {
    expect(preview.concurrency).toEqual({
      group: `preview-$\{{ github.event.pull_request.number }}`,
      "cancel-in-progress": true,
    });
  });
});

describe("deploys", () => {
  it("come from main alone, when switched on, after a person's approval, with the policy pack", () => {
    expect(deploy.on).toEqual({ push: { branches: ["main"] } });
    expect(conditions(job(deploy))).toEqual(["vars.SLM_DEPLOY == 'true'"]);
    expect(job(deploy).environment).toBe("production");
    expect(pulumiStep(job(deploy)).with).toMatchObject({ command: "up", policyPacks: "policy/pack" });
    expect(secretsOf(job(deploy))).toHaveLength(3);
    for (const name of secretsOf(job(deploy))) expect(name).not.toMatch(/_READ/);
  });

  it("wait for each other and for the drift job, and none is cancelled", () => {
    const queue = { group: "slm-network-deploy", "cancel-in-progress": false };
    expect(job(deploy).concurrency).toEqual(queue);
    expect(drift.concurrency).toEqual(queue);
  });
});

describe("drift", () => {
  it("is checked every night, from main, with read-only credentials and the key that inspects; any change fails", () => {
    expect(Object.keys(drift.on).toSorted()).toEqual(["schedule", "workflow_dispatch"]);
    expect(conditions(job(drift))).toEqual(["vars.SLM_DEPLOY == 'true'", "github.ref == 'refs/heads/main'"]);
    const { with: inputs, env } = pulumiStep(job(drift));
    expect(inputs).toMatchObject({ command: "preview", refresh: true, "expect-no-changes": true });
    expect(env.SLM_NETWORK_SSH_KEY).toBe(`$\{{ vars.SLM_INSPECT_KEY_FILE }}`);
    expect(secretsOf(job(drift))).toHaveLength(3);
    for (const name of secretsOf(job(drift))) expect(name).toMatch(/_READ(_ALL)?$/);
  });
});

describe.each(jobs)("the job %s", (name, one) => {
  it("runs the engine that the tests run, and leaves no credentials in the checkout", () => {
    expect(pulumiStep(one).with["pulumi-version"]).toBe(pulumi.version);
    const checkout = one.steps.find(({ uses }) => uses?.startsWith("actions/checkout@"));
    expect(checkout?.with["persist-credentials"]).toBe(false);
    expect(one["timeout-minutes"]).toBeLessThanOrEqual(60);
  });

  it("gives secrets to the step with the engine alone", () => {
    for (const step of one.steps) {
      const used = JSON.stringify({ ...step, env: step.uses?.startsWith("pulumi/actions@") ? {} : step.env });
      expect(used).not.toContain("secrets.");
    }
  });

  it("runs install scripts of named packages only", () => {
    const installs = one.steps.filter(({ run }) => run !== undefined && /npm|setup\.mjs/.test(run));
    expect(installs.map(({ run }) => run)).toEqual(["node commands/setup.mjs"]); // setup.integration.test.ts shows what that runs
  });

  it("exchanges its identity for a short-lived Pulumi token, if an organization is set, before the engine runs", () => {
    const exchange = one.steps.findIndex(({ run }) => run === ".github/scripts/pulumi-token.sh");
    expect(one.steps[exchange]).toMatchObject({ id: "pulumi-token", if: "vars.PULUMI_ORGANIZATION != ''" });
    expect(one.permissions?.["id-token"]).toBe("write");
    expect(one.steps.indexOf(pulumiStep(one))).toBeGreaterThan(exchange);
    expect(pulumiStep(one).env.PULUMI_ACCESS_TOKEN).toBe(
      `$\{{ steps.pulumi-token.outputs.token || secrets.PULUMI_ACCESS_TOKEN }}`,
    );
  });

  it("uses the office's runner through its group, never through a label, and not for pull requests", () => {
    expect(one["runs-on"]).toEqual(name === "preview" ? "ubuntu-latest" : { group: "slm-office" });
  });
});

const files = (await readdir(workflowFolder)).filter((name) => name.endsWith(".yml"));
describe.each(files)("%s", (file) => {
  it("pins every action by commit hash, and starts with read access only", async () => {
    const text = await readFile(join(workflowFolder, file), "utf8");
    const uses = [...text.matchAll(/uses: (.+)$/gm)].map(([, action]) => action);
    expect(uses.length).toBeGreaterThan(0);
    for (const action of uses) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    expect(text).toMatch(/^permissions:\n {2}contents: read\n\n/m);
  });

  it("uses no secret and no variable that the documentation does not name", async () => {
    const doc = await readFile(join(project, "docs/pull-requests.md"), "utf8");
    const text = await readFile(join(workflowFolder, file), "utf8");
    for (const [, key = ""] of text.matchAll(/(?:secrets|vars)\.(\w+)/g)) expect(doc, key).toContain(`\`${key}\``);
  });
});

describe("Renovate", async () => {
  const text = await readFile(join(project, "renovate.json"), "utf8");
  const settings = z
    .looseObject({
      extends: z.array(z.string()),
      ignorePresets: z.array(z.string()),
      automerge: z.boolean(),
      minimumReleaseAge: z.string(),
      internalChecksFilter: z.string(),
      packageRules: z.array(
        z.looseObject({
          matchPackageNames: z.array(z.string()).optional(),
          matchManagers: z.array(z.string()).optional(),
          groupName: z.string().optional(),
          minimumReleaseAge: z.string().optional(),
          pinDigests: z.boolean().optional(),
        }),
      ),
    })
    .parse(JSON.parse(text));
  const page = await readFile(join(project, "docs/pull-requests.md"), "utf8");
  const groups = settings.packageRules.flatMap(({ groupName }) => groupName ?? []);

  it("merges nothing by itself, in no rule", () => {
    expect(text).not.toMatch(/"automerge(?:Type)?":(?! *false)/);
    expect(settings.automerge).toBe(false);
    expect(page).toContain("Nothing is merged by itself");
  });

  it("keeps versions pinned, and actions by hash", () => {
    expect(settings.extends).toEqual(expect.arrayContaining([":pinVersions", "helpers:pinGitHubActionDigests"]));
    expect(settings.packageRules.find(({ matchManagers }) => matchManagers?.includes("github-actions"))).toMatchObject({
      pinDigests: true,
    });
    // Else the clients in test/e2e/callers, whose versions the docs name, would stay as they are.
    expect(settings.ignorePresets).toContain(":ignoreModulesAndTests");
  });

  it("waits after a release as long as the page says", () => {
    const [age, ofActions] = [
      settings.minimumReleaseAge,
      settings.packageRules.find(({ matchManagers }) => matchManagers?.includes("github-actions"))?.minimumReleaseAge,
    ];
    expect(page).toContain(
      `at the earliest ${age} after its release, an action after ${parseInt(ofActions ?? "", 10)}`,
    );
    expect(settings.internalChecksFilter).toBe("strict"); // no branch before that
  });

  it("has the groups that the page names", () => {
    expect(groups).toEqual(["pulumi", "callers' clients", "development tools", "node", "workflow actions"]);
    for (const name of [
      "`pulumi`",
      "the clients that the docs name",
      "development tools",
      "`node`",
      "the workflows' actions",
    ])
      expect(page).toContain(name);
  });

  it("takes no version that a rule of ours or the engine of the project does not", async () => {
    const allowed = (name: string) =>
      settings.packageRules.findLast((rule) => rule.matchPackageNames?.includes(name) && "allowedVersions" in rule);
    const { dependencies } = z
      .looseObject({ dependencies: z.record(z.string(), z.string()) })
      .parse(JSON.parse(await readFile(join(project, "package.json"), "utf8")));
    expect(allowed("@pulumi/command")).toMatchObject({ allowedVersions: "<2" });
    expect(dependencies["@pulumi/command"]).toMatch(/^1\./);
    expect(allowed("node")).toMatchObject({ allowedVersions: `^${dependencies.node?.split(".")[0]}` });
  });
});
