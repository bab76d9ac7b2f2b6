/** The provider's SSH side against the sandbox's Mac: installs, sends what is missing, reads with a restricted key, removes. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import ssh2 from "ssh2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type MacSession, openMacSession } from "../../../components/mac/mac-session.ts";
import { create, diff, read, remove, update } from "../../../components/mac/provider.ts";
import type { MacInputs } from "../../../components/mac/record.ts";
import { cachedArtifact } from "../../../runtime/artifacts/cache.ts";
import { newKey } from "../../../sandbox/mac/keys.ts";
import { type Installation, prepareInstallation } from "../../runtime/installer/installation.ts";

let installation: Installation;
let inputs: MacInputs;
let said: string[] = [];
const log = (text: string) => void said.push(text);
const given = () => ({
  log,
  environment: { SSH_AUTH_SOCK: installation.mac.mac.agentSocket },
  openMac: async (target: MacInputs["connection"]): Promise<MacSession> =>
    openMacSession(target, undefined, { agent: installation.mac.mac.agentSocket }),
});

beforeAll(async () => {
  installation = await prepareInstallation();
  const { host, port, user, hostKey } = installation.mac.mac;
  const { artifacts, release, input } = installation;
  const uploaded = async ({ url, sha256 }: { url: string; sha256: string }) => ({
    path: await cachedArtifact(installation.folder, { url, sha256 }),
    sha256,
  });
  inputs = {
    connection: { host, port, user, hostKey },
    release,
    node: { url: "uploaded", sha256: artifacts.node.sha256 },
    uploads: {
      node: await uploaded(artifacts.node),
      cloudflared: await uploaded(artifacts.cloudflared),
    },
    input: { ...input, cloudflared: { ...input.cloudflared, uploaded: true } },
    removeData: false,
    previousGone: false,
  };
}, 120_000);
afterAll(() => installation.end());

describe("a Mac", { timeout: 300_000 }, () => {
  let state: object;
  let id: string;

  it("gets what is missing over the same session, and is installed", async () => {
    const made = await create(inputs, given());
    [state, id] = [made.outs, made.id];
    expect(await installation.readyz()).toBe(200);
    expect(await diff(id, state, inputs, given())).toMatchObject({ changes: false });
    expect(await read(id, state, given())).toEqual({ id, props: state });
  });

  it("is read by a key that may run nothing but the inspect command", async () => {
    const restricted = await restrictedServer(installation);
    try {
      const openMac = () => openMacSession(restricted.target, undefined, { privateKey: restricted.privateKey });
      const outside = { ...given(), openMac };
      expect(await read(id, state, outside)).toEqual({ id, props: state });
      expect(await diff(id, state, inputs, outside)).toMatchObject({ changes: false });
      await rm(installation.at("Library/LaunchDaemons/local.slm-network.connector.plist"));
      expect((await read(id, state, outside)).props).toMatchObject({
        drift: expect.arrayContaining([expect.stringMatching(/connector\.plist: missing/)]),
      });
      expect(restricted.asked.length).toBeGreaterThan(2);
      // What it prints must not be taken for an installation's report, a removal's, or an empty list of data.
      const changed = { ...inputs, removeData: true, release: { ...inputs.release, sha256: "9".repeat(64) } };
      await expect(update(id, state, changed, outside)).rejects.toThrow(/runs a forced command there.*deploy key/s);
      await expect(create(inputs, outside)).rejects.toThrow(/forced command/);
      await expect(remove(state, outside)).rejects.toThrow(/forced command/);
      const access = await openMac();
      await expect(access.data()).rejects.toThrow(/could not be listed/);
      await access.close();
      expect(await installation.readyz()).toBe(200);
    } finally {
      await restricted.close();
    }
  });

  it("is repaired after everything of ours was deleted by hand, uploads too", async () => {
    await rm(installation.at("usr/local/slm-network"), { recursive: true });
    const uploads = installation.at("Users/deploy");
    for (const name of await readdir(uploads)) if (name.startsWith("slm-network-")) await rm(join(uploads, name));
    const { outs } = await update(id, state, inputs, given());
    expect(outs).toMatchObject({ installation: id });
    expect(await read(id, outs, given())).toEqual({ id, props: outs });
    state = outs;
  });

  it("is removed with the installation's own id only, and its data is listed before", async () => {
    const access = await given().openMac(inputs.connection);
    expect((await access.data()).map(({ name }) => name)).toContain("jobs.db");
    await access.close();
    said = [];
    await remove({ ...state, installation: "another" }, given());
    expect(said.join()).toMatch(/nothing was removed: this Mac belongs to installation/);
    expect(await installation.readyz()).toBe(200);
    await remove(state, given());
    await expect(installation.readyz()).rejects.toThrow();
  });
});

/** An sshd with one key, whose forced command is the inspect wrapper (sshd(8): the client's own command is not run). */
async function restrictedServer({ mac }: Installation) {
  const [host, key] = [newKey("host"), newKey("drift")];
  const asked: string[] = [];
  const server = new ssh2.Server({ hostKeys: [host.private] }, (connection) => {
    connection.on("error", () => {});
    connection.on("authentication", (context) =>
      context.method === "publickey" ? context.accept() : context.reject(["publickey"]),
    );
    connection.on("session", (accept) => {
      accept().on("exec", (acceptExec, _reject, { command }) => {
        asked.push(command);
        const channel = acceptExec();
        void mac.run(`sudo -n ${join(mac.mac.root, "usr/local/slm-network/bin/inspect")}`).then((ran) => {
          channel.write(ran.stdout);
          channel.stderr.write(ran.stderr);
          channel.exit(ran.code ?? 1);
          channel.end();
        });
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return {
    target: { host: "127.0.0.1", port, user: "drift", hostKey: host.public },
    privateKey: Buffer.from(key.private),
    asked,
    close: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
