/** Installations that fail or are killed in between: what is there before them serves on, and the next one finishes. */
import { readdir, readFile, readlink, rm } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Installation, installation, prepareInstallation } from "./installation.ts";

let here: Installation;
beforeAll(async () => {
  here = await prepareInstallation();
  await here.upload(here.release);
  const ran = await here.install();
  expect(ran.code, ran.stderr).toBe(0);
}, 300_000);
afterAll(() => here?.end());

const files = [
  "etc/slm-network/relay.json",
  "etc/slm-network/secrets.json",
  "etc/slm-network/tunnel-token",
  "usr/local/slm-network/installation.json",
  "Library/LaunchDaemons/local.slm-network.relay.plist",
  "Library/LaunchDaemons/local.slm-network.connector.plist",
];
const contents = () => Promise.all(files.map((file) => readFile(here.at(file), "utf8")));
const folders = async () =>
  Promise.all(["etc/slm-network", "Library/LaunchDaemons"].map(async (path) => (await readdir(here.at(path))).sort()));

describe("an installation", { timeout: 240_000 }, () => {
  it("that cannot write one of its files changes none, and is another's as little as before", async () => {
    const before = [
      await contents(),
      await folders(),
      here.pids(),
      await readlink(here.at("usr/local/slm-network/current")),
    ];
    const base = here.at("usr/local/slm-network");
    const node = `'${base}/node/${here.artifacts.node.sha256}/bin/node'`;
    const args = `--root '${here.mac.mac.root}/' --release ${here.release.sha256} --node ${here.artifacts.node.sha256} --installation another`;
    // A bound on the size of files stands for the full disk: relay.json is small, secrets.json is over it.
    const ran = await here.mac.run(
      `ulimit -f 128; sudo -n ${node} '${base}/releases/${here.release.sha256}/installer.mjs' install ${args}`,
      JSON.stringify({
        ...here.input,
        relay: { ...here.input.relay, graceSeconds: 9 },
        secrets: { mongodbUri: `mongodb://u:p@127.0.0.1/${"x".repeat(300_000)}` },
      }),
    );
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(
      /etc\/slm-network\/secrets\.json cannot be written on the Mac \(EFBIG.*config and daemons were not changed/,
    );
    const after = [
      await contents(),
      await folders(),
      here.pids(),
      await readlink(here.at("usr/local/slm-network/current")),
    ];
    expect(after).toEqual(before);
    expect(JSON.parse((await here.install()).stdout)).toMatchObject({ restarted: [], reloaded: [] });
  });

  it("that fails after a plist was removed by hand puts everything else back", async () => {
    const before = await contents();
    const [relayPlist, connectorPlist] = [files[4]!, files[5]!];
    await rm(here.at(connectorPlist));
    const ran = await here.installInVain({
      relay: { ...here.input.relay, graceSeconds: 7, hostname: "other.example.com" },
      connectorToken: "refused",
    });
    expect(ran.code).toBe(1);
    expect(ran.stderr).toContain("The previous installation was restored and is serving.");
    expect(await contents()).toEqual(before);
    expect(here.mac.mac.ownerOf(here.at(files[1]!))).toEqual({ user: "root", group: "_slmnetwork", mode: 0o640 });
    expect(here.mac.mac.ownerOf(here.at(relayPlist))).toEqual({ user: "root", group: "wheel", mode: 0o644 });
    await expect.poll(() => here.readyz().catch(() => 0), { timeout: 60_000 }).toBe(200);
    expect((await folders()).flat().filter((name) => name.startsWith("."))).toEqual([]);
  });

  it.each([
    ["the group's number", ["/Groups/_slmnetwork PrimaryGroupID"]],
    ["the user's group", ["/Users/_slmnetwork PrimaryGroupID"]],
    ["the last attributes", ["/Users/_slmnetwork Password", "/Users/_slmnetwork IsHidden"]],
    [
      "everything but the records",
      [
        ...["PrimaryGroupID", "RealName"].map((key) => `/Groups/_slmnetwork ${key}`),
        ...["UniqueID", "PrimaryGroupID", "UserShell", "NFSHomeDirectory", "RealName", "Password", "IsHidden"].map(
          (key) => `/Users/_slmnetwork ${key}`,
        ),
      ],
    ],
  ])("finishes an account that was left without %s", async (_what, attributes) => {
    for (const attribute of attributes) {
      const ran = await here.mac.run(`sudo -n dscl . -delete ${attribute}`);
      expect(ran.code, ran.stderr).toBe(0);
    }
    expect((await here.inspect()).account).toBe(false);
    const ran = await here.install();
    expect(ran.code, ran.stderr).toBe(0);
    expect((await here.inspect()).account).toBe(true);
    const read = (record: string, keys: string) =>
      here.mac.run(`dscl . -read ${record} ${keys}`).then(({ stdout }) => stdout);
    expect(await read("/Users/_slmnetwork", "UserShell NFSHomeDirectory Password IsHidden RealName")).toBe(
      "UserShell: /usr/bin/false\nNFSHomeDirectory: /var/empty\nPassword: *\nIsHidden: 1\nRealName: slm-network\n",
    );
    const group = await read("/Groups/_slmnetwork", "PrimaryGroupID");
    expect(group).toMatch(/^PrimaryGroupID: [34]\d\d$/m);
    expect(await read("/Users/_slmnetwork", "PrimaryGroupID")).toBe(group);
    await expect.poll(() => here.readyz().catch(() => 0), { timeout: 60_000 }).toBe(200);
  });

  it("is the first one's installation still", async () => {
    expect((await here.inspect()).installation).toBe(installation);
  });
});
