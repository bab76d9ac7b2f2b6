/** Sign-in on a direct line: the check itself, and the delays of its failures. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { RelayConfig } from "../../../../runtime/config.ts";
import { credentialHash } from "../../../../runtime/direct-config.ts";
import { createDirectAccess, type DirectOptions } from "../../../../runtime/relay/access/direct.ts";
import { FailureThrottle } from "../../../../runtime/relay/access/failure-throttle.ts";
import { CLIENT_ID } from "../harness.ts";

const NOW = Date.parse("2026-12-01T00:00:00Z");
const secret = "5".repeat(64);
const otherId = `${"f".repeat(32)}.access`;
const caller = { name: "backend", clientId: CLIENT_ID, companies: ["*"], weight: 1, enabled: true };
const other = { ...caller, name: "batch", clientId: otherId };
const both = (id: string, value: string) => ({ "cf-access-client-id": id, "cf-access-client-secret": value });
const good = both(CLIENT_ID, secret);
const credential = (value: string, expiresAt?: string) => ({
  sha256: credentialHash(CLIENT_ID, value),
  ...(expiresAt !== undefined && { expiresAt }),
});

type Changes = Partial<Pick<RelayConfig, "callers" | "direct" | "directCredentials">>;

function check(changes: Changes = {}, options: DirectOptions = {}) {
  const config = {
    callers: [other, caller],
    directCredentials: {
      backend: [credential(secret)],
      batch: [{ sha256: credentialHash(otherId, secret) }],
    },
    ...changes,
  };
  return createDirectAccess("backend", config, { now: () => NOW, ...options });
}
const withCredentials = (...backend: { sha256: string; expiresAt?: string }[]) => ({ directCredentials: { backend } });
const singleHeader = { direct: { singleHeader: "X-Api-Key", lines: [] } };
const json = (value: unknown) => ({ "x-api-key": JSON.stringify(value) });

describe("a direct line's sign-in", () => {
  it("accepts its server's token, at once", () => {
    expect(check()("servers", good)).toEqual({ kind: "server", name: "backend", caller });
  });

  it.each([
    ["no headers", {}, "access_missing"],
    ["an id only", { "cf-access-client-id": CLIENT_ID }, "access_missing"],
    ["a secret only", { "cf-access-client-secret": secret }, "access_missing"],
    ["an empty id", both("", secret), "access_missing"],
    ["an empty secret", both(CLIENT_ID, ""), "access_missing"],
    ["a secret of 513 characters", both(CLIENT_ID, "x".repeat(513)), "access_missing"],
    ["a secret of 512 characters that is not its own", both(CLIENT_ID, "x".repeat(512)), "access_invalid"],
    ["another secret", both(CLIENT_ID, `${secret.slice(1)}6`), "access_invalid"],
    ["the colon at another place", both(`${CLIENT_ID}:5`, secret.slice(1)), "access_invalid"],
    ["another server's token", both(otherId, secret), "access_invalid"],
    ["a JWT of Access", { "cf-access-jwt-assertion": "x.y.z" }, "access_missing"],
    ["a single header that is not configured", json(good), "access_missing"],
  ])("with %s is refused", async (_name, headers, code) => {
    await expect(check()("servers", headers)).rejects.toMatchObject({ code });
  });

  it.each([
    ["its caller is not in the config", { callers: [other] }, "access_invalid"],
    ["its caller has got another client id", { callers: [{ ...caller, clientId: otherId }] }, "access_invalid"],
    ["it has no credentials", { directCredentials: {} }, "access_invalid"],
    ["there are no credentials at all", { directCredentials: undefined }, "access_invalid"],
    ["its caller is switched off", { callers: [{ ...caller, enabled: false }] }, "caller_disabled"],
  ] as [string, Changes, string][])("is refused if %s", async (_name, changes, code) => {
    await expect(check(changes)("servers", good)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(code === "caller_disabled" ? 'caller "backend"' : 'server "backend"') as string,
    });
  });

  it("is for servers only: the status page is refused whatever the token", async () => {
    await expect(check()("people", good)).rejects.toMatchObject({
      code: "path_not_allowed",
      message: expect.stringContaining("public hostname") as string,
    });
  });

  it("says in a refusal what to send", async () => {
    await expect(check()("servers", {})).rejects.toThrow(/Send CF-Access-Client-Id and CF-Access-Client-Secret/);
  });

  it("tells of each refusal, by server and code", async () => {
    const refused: string[] = [];
    const access = check({}, { onRefused: (server, code) => refused.push(`${server} ${code}`) });
    await expect(access("people", good)).rejects.toThrow();
    await expect(access("servers", {})).rejects.toThrow();
    void access("servers", good);
    expect(refused).toEqual(["backend path_not_allowed", "backend access_missing"]);
  });
});

describe("a token with an end", () => {
  const at = (expiresAt: string) => check(withCredentials(credential(secret, expiresAt)))("servers", good);

  it("is valid until then, by the offset that it has", async () => {
    expect(at("2026-12-01T00:00:00.001Z")).toMatchObject({ name: "backend" });
    const expiresAt = "2026-12-01T09:00:00+09:00";
    await expect(at(expiresAt)).rejects.toMatchObject({
      code: "access_expired",
      detail: `expired ${expiresAt}`,
      message: expect.stringMatching(/expired\. Rotate or renew/) as string,
    });
  });

  it("that is switched off as well has expired", async () => {
    const changes = {
      callers: [{ ...caller, enabled: false }],
      ...withCredentials(credential(secret, "2026-11-01T00:00:00Z")),
    };
    await expect(check(changes)("servers", good)).rejects.toMatchObject({ code: "access_expired" });
  });

  it.each([
    ["none", undefined, "2026-11-01T00:00:00Z"],
    ["a later one", "2026-12-02T00:00:00Z", "2026-11-01T00:00:00Z"],
  ])("and, rotated back, another end (%s) is valid until the later one", (_name, later, earlier) => {
    const ends = [later, earlier].map((end) => credential(secret, end));
    for (const all of [ends, ends.toReversed()]) {
      expect(check(withCredentials(credential("new"), ...all))("servers", good)).toMatchObject({ name: "backend" });
    }
  });
});

describe("the single header", () => {
  const read = (headers: Record<string, string>) => check(singleHeader)("servers", headers);

  it.each([
    ["with the names in lower case", json(good)],
    [
      "with the names as Cloudflare writes them",
      json({ "CF-Access-Client-Id": CLIENT_ID, "CF-Access-Client-Secret": secret }),
    ],
    ["beside the two headers, which count", { ...good, "x-api-key": "{" }],
    ["of 1,024 characters", { "x-api-key": JSON.stringify(good).padEnd(1024) }],
  ])("is read %s", (_name, headers) => {
    expect(read(headers)).toMatchObject({ name: "backend" });
  });

  it.each([
    ["is missing", {}],
    ["is empty", { "x-api-key": "" }],
    ["is no JSON", { "x-api-key": "{" }],
    ["is null", json(null)],
    ["is a list", json([])],
    ["is a text", json(secret)],
    ["has numbers", json({ "cf-access-client-id": 1, "cf-access-client-secret": 2 })],
    ["has more than 1,024 characters", { "x-api-key": JSON.stringify(good).padEnd(1025) }],
  ])("that %s is no token", async (_name, headers) => {
    await expect(read(headers)).rejects.toMatchObject({ code: "access_missing" });
  });

  it("with a wrong secret is refused", async () => {
    await expect(read(json(both(CLIENT_ID, "wrong")))).rejects.toMatchObject({ code: "access_invalid" });
  });
});

describe("failures", () => {
  let now: number;
  beforeEach(() => {
    now = 5;
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  /** Fails so many times. @returns how many have been answered by now */
  function failing(throttle: FailureThrottle) {
    let answered = 0;
    const fail = (count: number) => {
      for (let n = 0; n < count; n += 1) void throttle.failed().then(() => (answered += 1));
    };
    const answeredNow = async () => {
      await vi.advanceTimersByTimeAsync(0);
      return answered;
    };
    return { fail, answered: answeredNow };
  }

  it("are answered at once ten times a minute, then a second later", async () => {
    const { fail, answered } = failing(new FailureThrottle(() => now));
    fail(11);
    expect(await answered()).toBe(10);
    await vi.advanceTimersByTimeAsync(999);
    expect(await answered()).toBe(10);
    await vi.advanceTimersByTimeAsync(1);
    expect(await answered()).toBe(11);
    now += 59_999;
    fail(1);
    expect(await answered()).toBe(11);
    now += 1;
    fail(10);
    expect(await answered()).toBe(21);
    fail(1);
    expect(await answered()).toBe(21);
  });

  it("are counted by a clock that no one sets", async () => {
    const { fail, answered } = failing(new FailureThrottle());
    fail(10);
    await vi.advanceTimersByTimeAsync(59_999);
    fail(1);
    expect(await answered()).toBe(10);
    await vi.advanceTimersByTimeAsync(1000);
    fail(10);
    expect(await answered()).toBe(21);
  });

  it("wait 32 at a time; further ones are answered at once", async () => {
    const { fail, answered } = failing(new FailureThrottle(() => now));
    fail(60);
    expect(await answered()).toBe(60 - 32);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await answered()).toBe(60);
    fail(33);
    expect(await answered()).toBe(61);
  });

  it("of a sign-in are delayed so; a valid token never is", async () => {
    const access = check({}, { throttle: new FailureThrottle(() => now) });
    const wrong = both(CLIENT_ID, "wrong");
    for (let n = 0; n < 10; n += 1) await expect(access("servers", wrong)).rejects.toThrow();
    let isAnswered = false;
    Promise.resolve(access("servers", wrong)).catch(() => {
      isAnswered = true;
    });
    await vi.advanceTimersByTimeAsync(999);
    expect(isAnswered).toBe(false);
    expect(access("servers", good)).toMatchObject({ name: "backend" });
    await vi.advanceTimersByTimeAsync(1);
    expect(isAnswered).toBe(true);
  });
});
