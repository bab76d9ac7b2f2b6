/** The README's first hour, its commands as printed, on a sandbox that has accounts and a Mac but no stack. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { expect } from "vitest";
import { parse, stringify } from "yaml";
import { z } from "zod";
import type { Ready } from "../../sandbox/ready.ts";
import { fetchHostKey } from "../../ssh/session.ts";
import { folder, project, type Ran, run } from "./harness.ts";

const readme = await readFile(join(project, "README.md"), "utf8");
/** The README's section. */
export const section = readme.split("## The first hour, on your own accounts\n")[1]?.split("\nA new terminal")[0] ?? "";
/** Its commands, in order. */
export const commands = [...section.matchAll(/```sh\n\s*(.+)\n/g)].map(([, line = ""]) => line);
const [, init = "", up = "", tryIt = ""] = commands;

const succeeded = (ran: Ran) => expect(ran.code, ran.stdout + ran.stderr).toBe(0);
const tokensSchema = z.object({
  serviceTokens: z.record(z.string(), z.object({ clientId: z.string(), clientSecret: z.string() })),
});

/** A person's way from nothing to an answer. The steps in order: `write`, `deploy`, `ask`; `remove` in the end. */
export class FirstHour {
  readonly #here: Ready;
  readonly #stack: string;
  readonly environment: Record<string, string>;

  /** @param here of a sandbox started with `--no-up`, in the folder of the test file */
  constructor(here: Ready, stack: string) {
    this.#here = here;
    this.#stack = stack;
    const { PULUMI_BACKEND_URL: _, PULUMI_CONFIG_PASSPHRASE: __, ...others } = here.environment;
    this.environment = {
      ...others,
      PULUMI_STACK: stack,
      HOME: join(folder, "home"),
      SLM_NETWORK_ENV_FILE: this.envFile,
      CLOUDFLARE_BASE_URL: here.cloudflareApi,
      MONGODB_ATLAS_BASE_URL: here.atlasApi,
    };
  }

  /** What `init` writes the variables to. */
  get envFile(): string {
    return join(folder, "first.env");
  }

  get #file(): string {
    return join(project, `Pulumi.${this.#stack}.yaml`);
  }

  /** A line of the README in a shell, with options that answer what a person would be asked. */
  shell(line: string, ...more: string[]): Promise<Ran> {
    return run("/bin/sh", ["-c", `${line} ${more.join(" ")}`], this.environment);
  }

  /** Steps 6 and 7. */
  async write(): Promise<void> {
    const { ssh, model } = this.#here;
    await mkdir(join(folder, "home"), { recursive: true });
    const { fingerprint } = await fetchHostKey(ssh.host, ssh.port);
    const mac = ["--mac-host", ssh.host, "--mac-port", String(ssh.port), "--host-key", fingerprint];
    succeeded(await this.shell(init, "--yes --local-state", ...mac, "--model-url", model));
  }

  /** What only a sandbox needs: its ports, its copies of what the Mac downloads, and a stack that can be destroyed. */
  async forThisSandbox(): Promise<void> {
    const fileSchema = z.looseObject({ config: z.record(z.string(), z.unknown()) });
    const content = async (path: string) => fileSchema.parse(parse(await readFile(path, "utf8")));
    const sandboxStack = `Pulumi.sandbox${basename(folder).replace(/^\.sandbox/, "")}.yaml`;
    const [mine, theirs] = await Promise.all([content(this.#file), content(join(project, sandboxStack))]);
    const macs = z.array(z.looseObject({ ports: z.unknown().optional() }));
    const [entry] = macs.parse(theirs.config["slm-network:macs"]);
    const [own] = macs.parse(mine.config["slm-network:macs"]);
    mine.config["slm-network:macs"] = [{ ...own, ports: entry?.ports }];
    mine.config["slm-network:artifacts"] = theirs.config["slm-network:artifacts"];
    mine.config["slm-network:protect"] = false;
    await writeFile(this.#file, stringify(mine));
  }

  /** Step 9. */
  async deploy(): Promise<Ran> {
    const ran = await this.shell(up, "-- --yes --skip-preview --non-interactive --color=never");
    succeeded(ran);
    return ran;
  }

  /** Step 10: prints the command, and runs it. @returns what was printed, and the answer */
  async ask(): Promise<{ line: string; answer: unknown }> {
    const printed = await this.shell(tryIt);
    succeeded(printed);
    const line = printed.stdout.trim();
    // The sandbox's edge is on loopback, and its hostname has no DNS record.
    const here = line.replace(`https://${this.#here.hostname}`, this.#here.url);
    const answer = await this.shell(here, "--noproxy '*' --silent --show-error");
    succeeded(answer);
    return { line, answer: JSON.parse(answer.stdout) as unknown };
  }

  /** The servers' tokens, of the stack's outputs. */
  async serviceTokens(): Promise<Ready["serviceTokens"]> {
    const ran = await this.shell("npm run -s pulumi -- stack output --json --show-secrets");
    succeeded(ran);
    return tokensSchema.parse(JSON.parse(ran.stdout)).serviceTokens;
  }

  async remove(): Promise<void> {
    await this.shell("npm run -s pulumi -- destroy --yes --skip-preview --non-interactive");
    await rm(this.#file, { force: true });
  }
}
