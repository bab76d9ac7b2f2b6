import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { temporaryConnector } from "../../../runtime/installer/connector-handover.ts";
import { layout } from "../../../runtime/installer/layout.ts";
import { connectorDaemon, modelDaemon, relayDaemon } from "../../../runtime/installer/plists.ts";
import { temporaryRelay } from "../../../runtime/installer/relay-handover.ts";
import { readJob } from "../../../sandbox/mac/launchd-plist.ts";
import { ensurePlistutil, throughPlistutil } from "../../plistutil.ts";

beforeAll(ensurePlistutil, 300_000);

const paths = layout("/");
const service = {
  program: "/opt/homebrew/bin/ollama",
  args: ["serve", "<&'\"한글"],
  env: { OLLAMA_NUM_PARALLEL: "4", PATH: "/opt/homebrew/bin" },
  user: "director",
};
const account = { user: "director", group: "staff", home: "/Users/director" };

const daemons = {
  relay: relayDaemon(paths, 30),
  "relay's stand-in": temporaryRelay(paths, 30, 50_000),
  connector: connectorDaemon(paths, 8792),
  "connector's stand-in": temporaryConnector(paths, 50_001),
  "model server": modelDaemon(paths, service, account),
};

it.each(Object.entries(daemons))("the plist of the %s is read by another reader as it is meant", async (_, daemon) => {
  const folder = await mkdtemp(join(tmpdir(), "slm-plist-"));
  try {
    const file = join(folder, `${daemon.label}.plist`);
    await writeFile(file, daemon.plist);
    const isStandIn = daemon.label.endsWith("-stand-in");
    const isModel = daemon.label.endsWith(".model");
    const whom = isModel ? account : { user: "_slmnetwork", group: "_slmnetwork", home: "/var/db/slm-network" };
    expect(throughPlistutil(file)).toEqual({
      Label: daemon.label,
      ProgramArguments: expect.arrayContaining([expect.stringMatching(/^\//)]) as string[],
      UserName: whom.user,
      GroupName: whom.group,
      WorkingDirectory: whom.home,
      EnvironmentVariables: { HOME: whom.home, PATH: "/usr/bin:/bin:/usr/sbin:/sbin", ...(isModel && service.env) },
      RunAtLoad: true,
      KeepAlive: !isStandIn,
      ThrottleInterval: isModel ? 10 : 2,
      ExitTimeOut: daemon.exitTimeOut,
      ProcessType: "Interactive",
      Umask: 0o027,
      SoftResourceLimits: { NumberOfFiles: 8192 },
      HardResourceLimits: { NumberOfFiles: 8192 },
      StandardOutPath: daemon.logFile,
      StandardErrorPath: daemon.logFile,
    });
    expect(readJob(daemon.plist).warnings).toEqual([]); // every key is one that launchd knows
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

it("keeps arguments unchanged", () => {
  expect(readJob(daemons["model server"].plist).job.args).toEqual(service.args);
});

it("refuses an invalid property list, as a negative control", async () => {
  const folder = await mkdtemp(join(tmpdir(), "slm-plist-"));
  try {
    await writeFile(join(folder, "no.plist"), daemons.relay.plist.replace("</dict>", ""));
    expect(() => throughPlistutil(join(folder, "no.plist"))).toThrow(/plistutil does not take/);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
