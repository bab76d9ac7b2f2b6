import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, expect, it } from "vitest";
import { offerSshKey } from "../../../components/mac/ssh-agent.ts";
import { newKey } from "../../../sandbox/mac/keys.ts";

const folder = mkdtempSync(join(tmpdir(), "slm-offer-"));
const stack = `test-${process.pid}`;
const key = join(folder, "key");
writeFileSync(key, newKey("test").private);
const said: string[] = [];
const offer = (isDryRun: boolean, environment: NodeJS.ProcessEnv) =>
  offerSshKey(stack, (line) => void said.push(line), { isDryRun, environment });
let path: string | undefined;
afterAll(() => {
  if (path !== undefined) rmSync(path, { force: true });
  rmSync(folder, { recursive: true, force: true });
});

it("has the same path on every machine, whatever key there is, and serves nothing in a preview", async () => {
  path = await offer(true, {});
  expect(path).toBe(`dist/ssh-agent/${stack}.sock`);
  expect(isAbsolute(path)).toBe(false);
  expect(await offer(true, { SLM_NETWORK_SSH_KEY: key })).toBe(path);
  expect(existsSync(path)).toBe(false);
  expect(said).toEqual([]);
});

it("without any key says so and lets an `up` go on that sends nothing to the Mac", async () => {
  expect(await offer(false, {})).toBe(path);
  expect(said.join()).toMatch(/^no SSH key for the Mac: there is no SSH agent.*SLM_NETWORK_SSH_KEY/);
});

it("serves the named key in an `up`", async () => {
  await offer(false, { SLM_NETWORK_SSH_KEY: key });
  const held = await new Promise<number | undefined>((resolve, reject) => {
    new ssh2.OpenSSHAgent(path!).getIdentities((error, keys) => (error ? reject(error) : resolve(keys?.length)));
  });
  expect(held).toBe(1);
});
