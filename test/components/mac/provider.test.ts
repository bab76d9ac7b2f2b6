/** The Mac's provider against Macs that are no more than a record: which one is installed, removed, read, and when. */
import { beforeEach, describe, expect, it } from "vitest";
import type { ProviderContext } from "../../../components/mac/inspect.ts";
import type { MacSession, OpenMac } from "../../../components/mac/mac-session.ts";
import { PartialUpdate } from "../../../components/mac/move.ts";
import { check, create, diff, read, remove, update } from "../../../components/mac/provider.ts";
import type { MacInputs } from "../../../components/mac/record.ts";
import type { InstallInput } from "../../../runtime/install-input-schema.ts";
import type { MacExpected, MacState } from "../../../runtime/installer/mac-state.ts";
import { type MacTarget, SessionError } from "../../../ssh/session.ts";

const sha = (digit: string) => digit.repeat(64);

/** One of the Macs of a test. */
interface Fake {
  uuid: string;
  isOn: boolean;
  installation: string | null;
  release: string | null;
  /** An installer of the version before knows no ids and removes whatever it is told to. */
  isOld?: boolean;
  hasData: boolean;
}

let macs: Record<string, Fake>;
/** What was done, in order. */
let acts: string[];
let said: string[];
/** Longest waits that were asked for when a Mac was reached. */
let waits: (number | undefined)[];
/** Kills the run (throws something that is no session's error) at this act. */
let killAt: string | undefined;

const stateOf = ({ uuid, installation, release }: Fake): MacState => ({
  schema: 1,
  hardwareUuid: uuid,
  installation,
  release,
  node: null,
  cloudflared: null,
  files: {},
  daemons: {},
  account: release !== null,
  power: { settings: {}, fileVault: "off" },
  findings: [],
});
const expectedOf = ({ installation, release }: Fake): MacExpected => ({
  installation,
  release,
  node: null,
  cloudflared: null,
  files: {},
  daemons: {},
  account: true,
  power: { settings: {} },
});

class Killed extends Error {}
const act = (what: string) => {
  if (killAt === what) throw new Killed(what);
  acts.push(what);
};

const reach: OpenMac = async ({ host, hostKey }: MacTarget, connectMs): Promise<MacSession> => {
  waits.push(connectMs);
  const mac = macs[host];
  if (!mac?.isOn) throw new SessionError("unreachable", `${host}:22 is not reachable (off).`);
  if (hostKey !== keyOf(mac))
    throw new SessionError("host-key", `${host}:22 presented a host key that differs from the config`);
  return {
    inspect: async () => stateOf(mac),
    install: async ({ release }, installation) => {
      act(`install on ${mac.uuid}`);
      Object.assign(mac, { installation, release: release.sha256, hasData: true });
      const report = {
        restarted: [],
        warnings: [],
        notes: [],
        hardwareUuid: mac.uuid,
        installation,
        expected: expectedOf(mac),
      };
      return { report, text: JSON.stringify(report) };
    },
    remove: async (installation, removeData) => {
      act(`remove from ${mac.uuid}`);
      if (!mac.isOld && mac.installation !== (installation ?? "")) {
        return JSON.stringify({
          removed: false,
          reason: `nothing was removed: this Mac belongs to ${mac.installation}`,
        });
      }
      Object.assign(mac, { installation: null, release: null, hasData: mac.hasData && !removeData });
      return JSON.stringify({ removed: true });
    },
    data: async () => (mac.hasData ? [{ name: "jobs.db", bytes: 5_000_000 }] : []),
    close: async () => {},
  };
};
const keyOf = ({ uuid }: Fake) => `ssh-ed25519 ${Buffer.from(uuid).toString("base64")}`;

const given: ProviderContext = {
  openMac: reach,
  log: (text) => void said.push(text),
  environment: { SSH_AUTH_SOCK: "/agent" },
};

const input = {
  relay: {
    port: 8790,
    adminPort: 8791,
    hostname: "slm.example.com",
    access: { teamDomain: "t", audiences: { servers: "a", people: "b" } },
    callers: [{ name: "backend", clientId: "0.access", companies: ["*"], weight: 1, enabled: true }],
    model: { kind: "ollama", url: "http://127.0.0.1:1", embeddingModel: "bge-m3" },
    limits: { chat: 4, embeddings: 2, waiting: 256, waitSeconds: 60, bodyMiB: 64, whenBusy: "queue" },
    documents: { store: "embedded", ttlDays: 30 },
    jobs: { retentionDays: 7, maxDiskMiB: 64, minFreeMiB: 0, maxAttempts: 3, attemptMinutes: 30 },
    graceSeconds: 2,
  },
  secrets: { mongodbUri: "mongodb://u:very-secret-password@127.0.0.1/" },
  connectorToken: "very-secret-token",
  connectorPort: 8792,
  cloudflared: { url: "https://example.com/cloudflared.tgz", sha256: sha("c") },
  power: { set: true },
} as InstallInput;

/** Inputs for the Mac at an address. */
const at = (host: string, more: Partial<MacInputs> = {}): MacInputs => ({
  connection: { host, port: 22, user: "deploy", hostKey: keyOf(macs[host]!) },
  release: { path: "dist/release.tgz", sha256: sha("f") },
  node: { url: "https://nodejs.org/node.tgz", sha256: sha("e") },
  input,
  removeData: false,
  previousGone: false,
  ...more,
});
const relay = (changes: Partial<InstallInput["relay"]>): Partial<MacInputs> => ({
  input: { ...input, relay: { ...input.relay, ...changes } },
});

/** State of the version before, as `command:remote:Command` left it. */
const command = (host: string): object => ({
  connection: { ...at(host).connection, proxy: null },
  create: `sudo -n /bin/sh -c 'set -eu' 'slm-network' '${sha("1")}' 'https://nodejs.org/node.tgz' '${sha("e")}'`,
  delete: "sudo -n /bin/sh -c 'set -eu' 'slm-network' ''",
  stdin: JSON.stringify(input),
  stdout: "{}",
  stderr: "",
});

beforeEach(() => {
  const mac = (uuid: string): Fake => ({ uuid, isOn: true, installation: null, release: null, hasData: false });
  macs = { one: mac("UUID-1"), two: mac("UUID-2") };
  [acts, said, waits, killAt] = [[], [], [], undefined];
});

describe("check", () => {
  it("names every problem at once, and leaves out what is not known yet", async () => {
    const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
    const good = await check({}, at("one"), given);
    expect(good.failures).toEqual([]);
    const connection = { host: "", port: 70_000, user: "", hostKey: "ssh-ed25519 AAAA" };
    const bad = await check({}, { ...at("one"), connection, node: { url: "", sha256: "short" } });
    expect(bad.failures.map(({ property }) => property)).toEqual([
      "connection.host",
      "connection.port",
      "connection.user",
      "node.url",
      "node.sha256",
    ]);
    const early = await check({}, { ...at("one"), input: unknown as never }, given);
    expect(early.failures).toEqual([]);
  });

  it("says what a first installation does, and whose installation it takes over", async () => {
    await check({}, at("one"), given);
    expect(said).toEqual(["the Mac: install release ffffffffffff on deploy@one"]);
    const { id, outs } = await create(at("one"), given);
    said = [];
    await check({}, at("one"), given); // the state was lost, or another stack has the same Mac
    expect(said.join()).toMatch(new RegExp(`take it over from installation ${id}: another stack, or this one`));
    said = [];
    expect((await check(outs, at("one"), given)).failures).toEqual([]);
    expect((await check({}, at("one"), { ...given, environment: {} })).failures).toEqual([]);
    expect(said).toEqual([]);
    macs.one!.isOn = false;
    expect((await check({}, at("one"), given)).failures).toEqual([]);
    expect(said.join()).toMatch(/the Mac was not looked at, .* not reachable/);
  });

  it("repeats nothing of the secret input", async () => {
    const { failures } = await check(
      {},
      at("one", { input: { ...input, connectorPort: -1, secrets: { other: "hunter2" } as never } }),
    );
    expect(failures.length).toBeGreaterThan(0);
    expect(JSON.stringify(failures)).not.toMatch(/hunter2|very-secret/);
  });
});

describe("the state", () => {
  it("holds hashes and identities, no secrets", async () => {
    const { id, outs } = await create(at("one"), given);
    expect(outs).toMatchObject({ installation: id, hardwareUuid: "UUID-1", drift: [], removeData: false });
    expect(macs.one?.installation).toBe(id);
    expect(JSON.stringify(outs)).not.toMatch(/very-secret/);
  });
});

describe("diff", () => {
  const changes: [what: string, more: () => Partial<MacInputs>, shown: RegExp][] = [
    [
      "limits",
      () => relay({ limits: { ...input.relay.limits, chat: 2 } }),
      /reload the relay: limits changed \(no restart\)/,
    ],
    [
      "jobs",
      () => relay({ jobs: { ...input.relay.jobs, retentionDays: 9 } }),
      /reload the relay: jobs changed \(no restart\)/,
    ],
    [
      "a password",
      () => ({ input: { ...input, secrets: { mongodbUri: "mongodb://u:other@127.0.0.1/" } } }),
      /restart the relay: secrets/,
    ],
    ["the tunnel's token", () => ({ input: { ...input, connectorToken: "other" } }), /restart the connector/],
    ["power", () => ({ input: { ...input, power: { set: false } } }), /set the power settings/],
    [
      "the model server",
      () => ({ input: { ...input, modelService: { program: "/o", args: [], env: {}, user: "d" } } }),
      /start the model server as a daemon/,
    ],
    [
      "the release",
      () => ({ release: { path: "p", sha256: sha("a") } }),
      /upgrade the relay from release f{12} to a{12}/,
    ],
    ["Node", () => ({ node: { url: "https://n/", sha256: sha("b") } }), /restart the relay with another Node/],
    ["removeData", () => ({ removeData: true }), /a removal deletes the relay's data/],
  ];
  it.each(changes)("says in words what an up does about %s, and never replaces", async (_what, more, shown) => {
    const { outs } = await create(at("one"), given);
    said = [];
    const found = await diff("id", outs, at("one", more()), given);
    expect(found).toEqual({ changes: true, replaces: [], deleteBeforeReplace: false });
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(shown);
    expect(said.join()).not.toMatch(/very-secret|other@/);
    const after = await update("id", outs, at("one", more()), given);
    expect(await diff("id", after.outs, at("one", more()), given)).toMatchObject({ changes: false });
  });

  it("does not need the Mac for the rotation of a token, and does for another life of it", async () => {
    const tokens = (duration: string, expiresAt?: string) =>
      relay({ tokens: { backend: { duration, ...(expiresAt && { expiresAt }) } } });
    const { outs } = await create(at("one", tokens("8760h", "2027-01-01T00:00:00Z")), given);
    // In the preview of a rotation the end is not known.
    expect((await diff("id", outs, at("one", tokens("8760h")), given)).changes).toBe(false);
    expect((await diff("id", outs, at("one", tokens("8860h")), given)).changes).toBe(true);
  });

  it("finds nothing when nothing changed, with a way to the Mac and without", async () => {
    const { outs } = await create(at("one"), given);
    said = [];
    expect((await diff("id", outs, at("one"), given)).changes).toBe(false);
    expect((await diff("id", outs, at("one"), { ...given, environment: {} })).changes).toBe(false);
    expect(said).toEqual([]);
    macs.one!.isOn = false;
    expect((await diff("id", outs, at("one"), given)).changes).toBe(false);
    expect(said.join()).toMatch(/the Mac was not looked at.*not reachable/);
  });

  it("waits for a Mac that is off or mute no longer than some seconds, and so does read", async () => {
    const { id, outs } = await create(at("one"), given);
    waits = [];
    await diff(id, outs, at("one"), given);
    await diff(id, outs, at("two"), given);
    await read(id, outs, given);
    expect(waits.length).toBeGreaterThanOrEqual(4);
    for (const wait of waits) expect(wait).toBeLessThanOrEqual(6_000);
    // Also when it signs in and stays mute after that, or the agent does.
    const mute: ProviderContext = { ...given, inspectTimeoutMs: 20, openMac: () => new Promise(() => {}) };
    expect((await diff(id, outs, at("one"), mute)).changes).toBe(false);
    expect(await read(id, outs, mute)).toEqual({ id, props: outs });
    expect(said.join()).toMatch(/no answer within/);
  });

  it("says that another stack took the Mac over, not that a file was changed", async () => {
    const { id, outs } = await create(at("one"), given);
    macs.one!.installation = "of-another-stack";
    said = [];
    expect((await diff(id, outs, at("one"), given)).changes).toBe(true);
    expect(said.join()).toMatch(/take the Mac back from installation of-another-stack/);
    const { props } = await read(id, outs, given);
    said = [];
    await diff(id, props, at("one"), { ...given, environment: {} });
    expect(said.join()).toMatch(/take the Mac back from installation of-another-stack/);
  });

  it("says nothing about values that are known only during up but that they are", async () => {
    const { outs } = await create(at("one"), given);
    said = [];
    const news = at("one", { input: "04da6b54-80e4-46f7-96ec-b56ff0331ba9" as never });
    expect((await diff("id", outs, news, given)).changes).toBe(true);
    expect(said.join()).toMatch(/known only during `pulumi up`/);
  });

  it("shows what was changed by hand also without a refresh", async () => {
    const { outs } = await create(at("one"), given);
    macs.one!.release = sha("d");
    said = [];
    expect((await diff("id", outs, at("one"), given)).changes).toBe(true);
    expect(said.join()).toMatch(/repair what was changed by hand: release/);
  });

  it("reports that the state was written by another module of the provider", async () => {
    const { outs } = await create(at("one"), given);
    const text = (path: string) => ({ __provider: `import("file://" + process.cwd() + "/components/${path}")` });
    const olds = { ...outs, ...text("mac-provider.ts") };
    expect((await diff("id", olds, { ...at("one"), ...text("mac-provider.ts") }, given)).changes).toBe(false);
    const moved = { ...at("one"), ...text("mac/provider.ts") };
    expect((await diff("id", olds, moved, given)).changes).toBe(true);
    // And an up with the Mac off writes the new text, which needs nothing of the Mac.
    macs.one!.isOn = false;
    acts = [];
    expect((await update("id", olds, moved, given)).outs).toMatchObject({ installation: outs.installation });
    expect(acts).toEqual([]);
  });
});

describe("a new address", () => {
  it("of the same machine is an update in place, with the same installation", async () => {
    const { outs } = await create(at("one"), given);
    macs.three = macs.one!;
    delete macs.one;
    said = [];
    expect((await diff("id", outs, at("three"), given)).changes).toBe(true);
    expect(said.join()).toMatch(/reach the Mac at deploy@three instead of deploy@one/);
    acts = [];
    const after = await update("id", outs, at("three"), given);
    expect(acts).toEqual(["install on UUID-1"]);
    expect(after.outs.installation).toBe(outs.installation);
  });
});

describe("the same machine", () => {
  it("with another host key (macOS was installed again) is an update in place", async () => {
    const { id, outs } = await create(at("one"), given);
    Object.assign(macs.one!, { installation: null, release: null });
    const key = "ssh-ed25519 bmV3";
    const again: OpenMac = (target) =>
      target.hostKey === key ? reach({ ...target, hostKey: keyOf(macs.one!) }) : reach({ ...target, hostKey: "other" });
    const news = { ...at("one"), connection: { ...at("one").connection, hostKey: key } };
    said = [];
    await diff(id, outs, news, { ...given, openMac: again });
    expect(said.join("\n")).toMatch(/reach the Mac with another host key/);
    expect(said.join("\n")).not.toMatch(/move to another Mac/);
    const after = await update(id, outs, news, { ...given, openMac: again });
    expect(after.outs).toMatchObject({ installation: id, hardwareUuid: "UUID-1", previous: [] });
  });

  it("with another main board is not a move: the preview says what the update does", async () => {
    const { id, outs } = await create(at("one"), given);
    macs.one!.uuid = "UUID-NEW";
    const sameKey: OpenMac = (target) => reach({ ...target, hostKey: keyOf(macs.one!) });
    const news = { ...at("two"), connection: { ...at("two").connection, host: "one" } };
    said = [];
    expect((await diff(id, outs, news, { ...given, openMac: sameKey })).changes).toBe(true);
    expect(said.join("\n")).toMatch(/hardware UUID-NEW instead of UUID-1.*no former Mac to take out of service/);
    expect(said.join("\n")).not.toMatch(/then .* is taken out of service/);
    acts = [];
    const after = await update(id, outs, news, { ...given, openMac: sameKey });
    expect(acts).toEqual(["install on UUID-NEW"]);
    expect(after.outs).toMatchObject({ installation: id, hardwareUuid: "UUID-NEW", previous: [] });
  });
});

describe("a move", () => {
  const moved = async () => (await create(at("one"), given)).outs;

  it("installs the new Mac first, then takes the former out of service, and keeps its data", async () => {
    const outs = await moved();
    said = [];
    await diff("id", outs, at("two", { removeData: true }), given);
    expect(said.join("\n")).toMatch(/move to another Mac: deploy@two is installed and becomes ready first/);
    expect(said.join("\n")).toMatch(/jobs and their answers \(jobs\.db, 5 MiB\)/);
    expect(said.join("\n")).toMatch(/ssh deploy@one sudo tar .* \| ssh deploy@two sudo tar/);
    acts = [];
    const after = await update("id", outs, at("two", { removeData: true }), given);
    expect(acts).toEqual(["install on UUID-2", "remove from UUID-1"]);
    expect(after.outs).toMatchObject({ hardwareUuid: "UUID-2", previous: [] });
    expect(after.outs.installation).not.toBe(outs.installation);
    expect(macs.one).toMatchObject({ installation: null, hasData: true });
  });

  it("changes nothing when the former Mac does not answer, until the config says that it is gone", async () => {
    const outs = await moved();
    macs.one!.isOn = false;
    acts = [];
    await expect(update("id", outs, at("two"), given)).rejects.toThrow(/Nothing was changed.*previous: gone/);
    expect(acts).toEqual([]);
    said = [];
    const after = await update("id", outs, at("two", { previousGone: true }), given);
    expect(after.outs).toMatchObject({ hardwareUuid: "UUID-2", previous: [] });
    expect(said.join()).toMatch(/is forgotten .*rotate -- tunnel/);
  });

  it("takes the former out of service although the config calls it gone, when it answers", async () => {
    const outs = await moved();
    await update("id", outs, at("two", { previousGone: true }), given);
    expect(macs.one?.installation).toBeNull();
  });

  it("does not forget a former Mac that answered, although the config calls it gone", async () => {
    const outs = await moved();
    const breaking: OpenMac = async (target) => {
      const access = await reach(target);
      return target.host === "one" ? { ...access, remove: () => Promise.reject(new Error("it broke")) } : access;
    };
    const error = await update("id", outs, at("two", { previousGone: true }), { ...given, openMac: breaking }).catch(
      (thrown: unknown) => thrown,
    );
    expect((error as PartialUpdate).properties).toMatchObject({ previous: [{ hardwareUuid: "UUID-1" }] });
    // A destroy after that still tries.
    await remove((error as PartialUpdate).properties, given);
    expect([macs.one?.installation, macs.two?.installation]).toEqual([null, null]);
  });

  it("back says what lies on the Mac since before, and ends with the other out of service", async () => {
    const away = (await update("id", await moved(), at("two"), given)).outs;
    said = [];
    await diff("id", away, at("one"), given);
    expect(said.join("\n")).toMatch(
      /these lie on deploy@one already, .* jobs and their answers .*unfinished in them are run/,
    );
    expect(said.join("\n")).toMatch(/ssh deploy@one sudo mv \/private\/var\/db\/slm-network /);
    const back = (await update("id", away, at("one"), given)).outs;
    expect(macs.one?.installation).toBe(back.installation);
    expect(macs.two?.installation).toBeNull();
  });

  it("back before the former was taken out of service leaves the installation that serves", async () => {
    const outs = await moved();
    const breaking: OpenMac = async (target) => ({
      ...(await reach(target)),
      ...(target.host === "one" && { remove: () => Promise.reject(new Error("it broke")) }),
    });
    const error = await update("id", outs, at("two"), { ...given, openMac: breaking }).catch(
      (thrown: unknown) => thrown,
    );
    const back = await update("id", (error as PartialUpdate).properties, at("one"), given);
    expect(macs.one?.installation).toBe(back.outs.installation);
    expect(macs.two?.installation).toBeNull();
    expect(back.outs.previous).toEqual([]);
  });

  it("does not say that nothing lies on the former Mac when the key may not look", async () => {
    const outs = await moved();
    const reading: OpenMac = async (target) => ({
      ...(await reach(target)),
      data: () => Promise.reject(new Error("could not be listed")),
    });
    said = [];
    await diff("id", outs, at("two"), { ...given, openMac: reading });
    expect(said.join("\n")).toMatch(/what lies on deploy@one .* could not be listed/);
    expect(said.join("\n")).not.toMatch(/no jobs/);
  });

  it("does not remove from a third Mac that has the former's address by now", async () => {
    const outs = await moved();
    macs.one = { ...macs.two!, uuid: "UUID-1", installation: "of others", release: sha("9") };
    Object.assign(macs.one, { uuid: "UUID-1" });
    const third = { ...macs.one, uuid: "UUID-3" };
    macs.one = third;
    // It even has the former's host key: a restored disk.
    const sameKey: OpenMac = (target) => reach(target.host === "one" ? { ...target, hostKey: keyOf(third) } : target);
    await expect(update("id", outs, at("two"), { ...given, openMac: sameKey })).rejects.toThrow(
      /a third Mac answers there/,
    );
    expect(third.installation).toBe("of others");
  });

  it("records a former Mac that could not be removed, and the next up does it", async () => {
    const outs = await moved();
    let left = 1;
    const failing: OpenMac = async (target) => {
      const access = await reach(target);
      return {
        ...access,
        remove: (...words) => (left-- > 0 ? Promise.reject(new Error("it broke")) : access.remove(...words)),
      };
    };
    const news = { ...at("two"), __provider: "text" };
    const error = await update("id", outs, news, { ...given, openMac: failing }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(PartialUpdate);
    const { id, properties } = error as PartialUpdate;
    expect(id).toBe("id");
    expect(properties).toMatchObject({
      hardwareUuid: "UUID-2",
      __provider: "text",
      previous: [{ hardwareUuid: "UUID-1" }],
    });
    said = [];
    expect((await diff("id", properties, news, given)).changes).toBe(true);
    expect(said.join()).toMatch(/take the former Mac \(deploy@one\) out of service/);
    const after = await update("id", properties, news, given);
    expect(after.outs.previous).toEqual([]);
    expect(macs.one?.installation).toBeNull();
  });

  it.each(["install on UUID-2", "remove from UUID-1"])(
    "killed at %s ends in the same place at the next up",
    async (step) => {
      const outs = await moved();
      killAt = step;
      await update("id", outs, at("two"), given).catch(() => {});
      killAt = undefined;
      // The state is what it was before.
      const after = await update("id", outs, at("two"), given);
      expect(after.outs.hardwareUuid).toBe("UUID-2");
      expect(macs.two?.installation).toBe(after.outs.installation);
      expect(macs.one?.installation).toBeNull();
    },
  );

  it("killed after everything was done and before it was noted ends in the same place", async () => {
    const outs = await moved();
    await update("id", outs, at("two"), given);
    const after = await update("id", outs, at("two"), given);
    expect(macs.two?.installation).toBe(after.outs.installation);
    expect(macs.one?.installation).toBeNull();
  });
});

describe("a state of the version before", () => {
  it("is taken over in place, and says what changes", async () => {
    Object.assign(macs.one!, { isOld: true, release: sha("1") });
    const olds = command("one");
    expect(await diff("id", olds, at("one"), given)).toMatchObject({ changes: true, replaces: [] });
    expect(said.join("\n")).toMatch(/take the Mac over from command:remote:Command/);
    expect(said.join("\n")).toMatch(/from release 1{12} to f{12}/);
    expect(said.join("\n")).not.toMatch(/restart the (relay: |connector)|reload/);
    const { outs } = await update("id", olds, at("one"), given);
    expect(macs.one?.installation).toBe(outs.installation);
  });

  it("moves with the takeover: the former Mac's own installer removes it", async () => {
    Object.assign(macs.one!, { isOld: true, release: sha("1") });
    const { outs } = await update("id", command("one"), at("two"), given);
    expect(acts).toEqual(["install on UUID-2", "remove from UUID-1"]);
    expect(macs.one?.release).toBeNull();
    expect(outs.hardwareUuid).toBe("UUID-2");
  });

  it("is refused in a form nobody knows", async () => {
    await expect(diff("id", { other: 1 }, at("one"), given)).rejects.toThrow(/not in the format this version knows/);
  });
});

describe("read", () => {
  it("compares, and keeps the stored state of a Mac that does not answer, unless that is to be an error", async () => {
    const { id, outs } = await create(at("one"), given);
    expect(await read(id, outs, given)).toEqual({ id, props: outs });
    macs.one!.release = sha("d");
    expect((await read(id, outs, given)).props).toMatchObject({ drift: [expect.stringMatching(/^release: /)] });
    macs.one!.isOn = false;
    said = [];
    expect(await read(id, outs, given)).toEqual({ id, props: outs });
    expect(said.join()).toMatch(/^warning: the Mac at deploy@one could not be read/);
    const nightly = { ...given, environment: { ...given.environment, SLM_NETWORK_MAC_UNREAD: "fail" } };
    await expect(read(id, outs, nightly)).rejects.toThrow(/could not be read/);
  });

  it("sees another machine at the address", async () => {
    const { id, outs } = await create(at("one"), given);
    const other: OpenMac = async (target) => ({ ...(await reach(target)), inspect: async () => stateOf(macs.two!) });
    const { props } = await read(id, outs, { ...given, openMac: other });
    expect(JSON.stringify(props)).toMatch(/another Mac answers: hardware UUID-2 instead of UUID-1/);
  });
});

describe("a removal", () => {
  it("counts only with the installation's own id", async () => {
    const former = await create(at("one"), given);
    const replacement = await create(at("one"), given); // as --replace does it
    said = [];
    await remove(former.outs, given);
    expect(macs.one?.installation).toBe(replacement.id);
    expect(said.join()).toMatch(/nothing was removed/);
    await remove(replacement.outs, given);
    expect(macs.one?.installation).toBeNull();
  });

  it("is not taken for done when it was no installer that answered", async () => {
    const { outs } = await create(at("one"), given);
    const reading: OpenMac = async (target) => ({
      ...(await reach(target)),
      remove: async () => JSON.stringify(stateOf(macs.one!)),
    });
    await expect(remove(outs, { ...given, openMac: reading })).rejects.toThrow(/did not say that it was done/);
  });

  it("that is skipped gets into the state although other changes wait for a Mac that is gone", async () => {
    const { id, outs } = await create(at("one"), given);
    Object.assign(macs.two!, { isOld: true });
    const olds = command("two");
    for (const mac of Object.values(macs)) mac.isOn = false;
    const more = { ...relay({ limits: { ...input.relay.limits, chat: 2 } }), removeData: true };
    await expect(update(id, outs, at("one", more), given)).rejects.toThrow(/not reachable/);
    const givenUp = { ...at("one", more), skipRemoval: true };
    said = [];
    const after = await update(id, outs, givenUp, given);
    expect(said.join()).toMatch(/nothing was changed on the Mac \(macs\[\]\.skipRemoval gives it up\)/);
    expect(after.outs).toMatchObject({ installation: id, digests: outs.digests, removeData: true });
    // What waits is still shown.
    expect((await diff(id, after.outs, givenUp, given)).changes).toBe(true);
    const taken = await update(id, olds, { ...at("two"), skipRemoval: true }, given);
    expect(taken.outs).toMatchObject({ report: "{}" });
    expect((await diff(id, taken.outs, at("two"), given)).changes).toBe(true);
    expect(said.join("\n")).toMatch(/take the Mac over from command:remote:Command/);
  });

  it("of a Mac that is off says how to go on", async () => {
    const { outs } = await create(at("one"), given);
    macs.one!.isOn = false;
    await expect(remove(outs, given)).rejects.toThrow(
      /the Mac at deploy@one cannot be reached.*Switch it on.*macs\[\]\.skipRemoval to true/s,
    );
  });
});

describe("the way to the Mac", () => {
  it("is the tunnel's local end for the moment, which the state does not hold", async () => {
    macs["127.0.0.1"] = macs.one!;
    delete macs.one;
    const news = {
      ...at("two"),
      connection: { ...at("two").connection, host: "one", hostKey: keyOf(macs["127.0.0.1"]) },
    };
    const inTunnel = { ...given, environment: { ...given.environment, SLM_NETWORK_SSH_AT: "127.0.0.1:2222" } };
    const { outs } = await create(news, inTunnel);
    expect(outs.connection).toMatchObject({ host: "one", port: 22 });
    expect((await diff("id", outs, news, inTunnel)).changes).toBe(false);
  });
});
