/** Rows 1 to 4, 6, 11, 15, 19, 21 and 22: the cloudflare plugin. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { claimPort } from "../../../../sandbox/machine/ports.ts";
import { type Props, Secret } from "../../../../sandbox/providers/plugin/values.ts";
import { type Answer, type Asked, type JsonServer, jsonServer } from "../json-server.ts";
import { type Plugin, startPlugin } from "../plugin.ts";
import { clock, pausesBetween, timeout } from "./clock.ts";

const account = "a".repeat(32);
const zone = "b".repeat(32);
const apiToken = "t".repeat(40);
const typeOf = (name: string) => `cloudflare:index/${name}:${name.charAt(0).toUpperCase()}${name.slice(1)}`;
const tunnel = typeOf("zeroTrustTunnelCloudflared");
const token = typeOf("zeroTrustAccessServiceToken");
const record = typeOf("dnsRecord");
const customHostname = typeOf("customHostname");

const ok = (result: unknown): Answer => ({ body: { success: true, errors: [], messages: [], result } });
const failed = (status: number, code: number, message: string): Answer => ({
  status,
  body: { success: false, errors: [{ code, message }], messages: [], result: null },
});

let api: JsonServer;
let plugin: Plugin;
let answer: (asked: Asked) => Answer;
let times: number[];

beforeAll(async () => {
  api = await jsonServer((asked) => {
    times.push(Date.now());
    return answer(asked);
  });
  plugin = await startPlugin("cloudflare", { ...clock, CLOUDFLARE_API_TOKEN: apiToken, CLOUDFLARE_BASE_URL: api.url });
  await plugin.configure({ baseUrl: api.url });
});
afterAll(async () => {
  await plugin.stop();
  await api.close();
});
beforeEach(() => {
  api.asked.length = 0;
  times = [];
  answer = () => ok({});
});

const tunnelInputs = { accountId: account, name: "slm", configSrc: "cloudflare" };
const tunnelWire = {
  id: "0b2f5d5e-4a0c-4d1e-9d1f-3f0a5a1a2b3c",
  account_tag: account,
  name: "slm",
  status: "inactive",
};

describe("row 1: DELETE answered 404", () => {
  it.each([
    [record, { zoneId: zone, name: "slm.example.com", type: "CNAME", content: "x", ttl: 1 }],
    [tunnel, tunnelInputs],
    [token, { accountId: account, name: "backend" }],
    [typeOf("zeroTrustAccessApplication"), { accountId: account, name: "slm", type: "self_hosted" }],
    [customHostname, { zoneId: zone, hostname: "slm.example.net" }],
    [typeOf("notificationPolicy"), { accountId: account, name: "n", alertType: "tunnel_health_event", mechanisms: {} }],
  ])("is an error for %s", async (type, state: Props) => {
    answer = () => failed(404, 81044, "Record does not exist.");
    await expect(plugin.delete(type, "0".repeat(32), state)).rejects.toThrow(
      /failed to make http request: DELETE "http:\/\/127\.0\.0\.1:\d+\/.*": 404 Not Found \{"success":false/,
    );
    expect(api.asked.map(({ method }) => method)).toEqual(["DELETE"]);
  });
});

describe("row 2: retries", () => {
  it(
    "repeats a 409 ten times, with pauses of 2, 4, 8, 16 and then 30 s, and then passes it on",
    async () => {
      answer = () => failed(409, 1013, "You already have a tunnel with this name");
      await expect(plugin.create(tunnel, tunnelInputs)).rejects.toThrow(
        /POST "http:\/\/127\.0\.0\.1:\d+\/accounts\/a{32}\/cfd_tunnel": 409 Conflict \{"success":false,"errors":\[\{"code":1013/,
      );
      expect(api.asked).toHaveLength(11);
      const pauses = pausesBetween(times);
      for (const [index, seconds] of [2, 4, 8, 16, 30, 30, 30, 30, 30, 30].entries()) {
        expect(pauses[index], `pause ${index + 1}`).toBeGreaterThan(seconds * 1000 * 0.7); // the official one adds jitter
      }
    },
    timeout,
  );

  it.each([408, 429, 500, 503])(
    "repeats a %i, and goes on when it is over",
    async (status) => {
      answer = () => (api.asked.length < 3 ? failed(status, status, "later") : ok(tunnelWire));
      expect((await plugin.create(tunnel, tunnelInputs)).id).toBe(tunnelWire.id);
      expect(api.asked.length).toBeGreaterThanOrEqual(3);
    },
    timeout,
  );

  it("does not repeat a 400", async () => {
    answer = () => failed(400, 1000, "bad");
    await expect(plugin.create(tunnel, tunnelInputs)).rejects.toThrow(/400 Bad Request/);
    expect(api.asked).toHaveLength(1);
  });
});

describe("row 3: an adopted service token", () => {
  const wire = {
    id: "11111111-2222-4333-8444-555555555555",
    name: "backend",
    client_id: "c.access",
    client_secret_version: 2,
    duration: "8760h",
    expires_at: "2027-01-01T00:00:00Z",
    enabled: true,
  };

  it("is imported without its version, and its default 1 is then PUT", async () => {
    answer = () => ok(wire);
    const { id, state, inputs } = await plugin.read(token, `accounts/${account}/${wire.id}`);
    expect(state.clientSecretVersion ?? null).toBeNull();
    const news = { accountId: account, name: "backend", duration: "8760h" };
    expect((await plugin.diff(token, id, state, inputs, news)).changes).toBe(true);
    await plugin.update(token, id, state, inputs, news);
    expect(api.asked.at(-1)).toMatchObject({ method: "PUT", body: { client_secret_version: 1 } });
  });

  it("keeps a version that the program sets to the token's own", async () => {
    answer = () => ok(wire);
    const { id, state, inputs } = await plugin.read(token, `accounts/${account}/${wire.id}`);
    const news = {
      accountId: account,
      name: "backend",
      clientSecretVersion: 2,
      previousClientSecretExpiresAt: "2026-12-01T00:00:00Z",
    };
    await plugin.update(token, id, state, inputs, news);
    expect(api.asked.at(-1)).toMatchObject({ method: "PUT", body: { client_secret_version: 2 } });
  });
});

it("row 4: a tunnel that was deleted in the dashboard (200 with deleted_at) stays in the state", async () => {
  answer = () => ok(tunnelWire);
  const { id, state } = await plugin.create(tunnel, tunnelInputs);
  answer = () => ok({ ...tunnelWire, deleted_at: "2026-11-28T00:00:00Z" });
  expect((await plugin.read(tunnel, id, state, tunnelInputs)).id).toBe(id);
  answer = () => failed(404, 1003, "not found");
  expect((await plugin.read(tunnel, id, state, tunnelInputs)).id).toBe("");
});

describe("row 6: a custom hostname after a refresh", () => {
  const certificate = { method: "txt", type: "dv" };
  const wire = (ssl: object) => ({ id: "c".repeat(32), hostname: "slm.example.net", status: "active", ssl });
  const inputs = { zoneId: zone, hostname: "slm.example.net", ssl: certificate };

  it("differs by ssl.wildcard, which the program did not set", async () => {
    answer = ({ method }) => ok(wire(method === "POST" ? certificate : { ...certificate, wildcard: false }));
    const { id, state } = await plugin.create(customHostname, inputs);
    const found = await plugin.read(customHostname, id, state, inputs);
    expect((await plugin.diff(customHostname, id, found.state, found.inputs, inputs)).changes).toBe(true);
  });

  it("is clean when the program says wildcard: false", async () => {
    const explicit = { ...inputs, ssl: { ...certificate, wildcard: false } };
    answer = () => ok(wire({ ...certificate, wildcard: false }));
    const { id, state } = await plugin.create(customHostname, explicit);
    const found = await plugin.read(customHostname, id, state, explicit);
    expect((await plugin.diff(customHostname, id, found.state, found.inputs, explicit)).changes).toBe(false);
  });
});

it("row 11: a global key in the environment is sent beside the token", async () => {
  const both = await startPlugin("cloudflare", {
    ...clock,
    CLOUDFLARE_API_TOKEN: apiToken,
    CLOUDFLARE_API_KEY: "0".repeat(37),
    CLOUDFLARE_EMAIL: "ops@example.com",
    CLOUDFLARE_BASE_URL: api.url,
  });
  try {
    await both.configure({ baseUrl: api.url });
    answer = () => ok(tunnelWire);
    await both.create(tunnel, tunnelInputs);
    expect(api.asked[0]?.headers).toMatchObject({
      authorization: `Bearer ${apiToken}`,
      "x-auth-key": "0".repeat(37),
      "x-auth-email": "ops@example.com",
    });
  } finally {
    await both.stop();
  }
});

it("row 15: a record's type replaces it", async () => {
  const inputs = { zoneId: zone, name: "slm.example.com", type: "A", content: "192.0.2.1", ttl: 1 };
  const state = { ...inputs, id: "d".repeat(32) };
  const news = { ...inputs, type: "CNAME", content: "x.example.com" };
  expect(await plugin.diff(record, "d".repeat(32), state, inputs, news)).toMatchObject({
    replaces: expect.arrayContaining(["type"]),
    deletesFirst: false,
  });
});

it("row 19: the token's end is unknown in the preview of every update", async () => {
  const inputs = { accountId: account, name: "backend", duration: "8760h" };
  const state = { ...inputs, clientId: "c.access", expiresAt: "2027-01-01T00:00:00Z", clientSecretVersion: 1 };
  const planned = await plugin.update(token, "x", state, inputs, { ...inputs, name: "other" }, true);
  expect(typeof planned.expiresAt).not.toBe("string");
});

it(
  "row 21: a server that does not answer is reported in Go's words",
  async () => {
    const url = `http://127.0.0.1:${await claimPort()}`; // nobody listens there
    const nowhere = await startPlugin("cloudflare", {
      ...clock,
      CLOUDFLARE_API_TOKEN: apiToken,
      CLOUDFLARE_BASE_URL: url,
    });
    try {
      await nowhere.configure({ baseUrl: url });
      await expect(nowhere.create(tunnel, tunnelInputs)).rejects.toThrow(
        /failed to make http request: Post "http:\/\/127\.0\.0\.1:\d+\/.*": dial tcp 127\.0\.0\.1:\d+: connect: connection refused/,
      );
    } finally {
      await nowhere.stop();
    }
  },
  timeout,
);

it("row 22: an API token in the configuration has 40 to 80 characters", async () => {
  expect(await plugin.checkConfig({ apiToken: new Secret("short") })).toEqual([expect.stringContaining("apiToken")]);
  expect(await plugin.checkConfig({ apiToken: new Secret(apiToken) })).toEqual([]);
});
