/** Each alert is said once when it begins and once when it is over. */
import { describe, expect, it } from "vitest";
import { ALERT_KINDS, alertThresholdsSchema, webhookProblem } from "../../../../runtime/alert-config.ts";
import { type AlertMessage, createAlerts, type HeldAlert } from "../../../../runtime/relay/alerts/alerts.ts";
import { updatesIn, type Watched } from "../../../../runtime/relay/alerts/checks.ts";
import { bodyOf } from "../../../../runtime/relay/alerts/delivery.ts";
import { textOf } from "../../../../runtime/relay/alerts/messages/text.ts";
import { startWatch } from "../../../../runtime/relay/alerts/watch.ts";
import { createLog } from "../../../../runtime/relay/telemetry/log.ts";

const said = (messages: readonly AlertMessage[]) =>
  messages.map(({ kind, isResolved, subject }) => `${kind}${isResolved ? ".resolved" : ""} ${subject}`);

function setUp(held: readonly HeldAlert[] = []) {
  const clock = { ms: Date.parse("2026-11-28T00:00:00Z") };
  const messages: AlertMessage[] = [];
  const saved: HeldAlert[][] = [];
  const alerts = createAlerts({
    held,
    send: (message) => messages.push(message),
    save: (all) => saved.push([...all]),
    now: () => clock.ms,
    calmMs: 60_000,
  });
  const pass = (seconds: number) => {
    clock.ms += seconds * 1000;
    alerts.tick();
  };
  return { alerts, messages, saved, pass, clock };
}

describe("alerts", () => {
  it("are said once, however often they are raised, and once when they are over", () => {
    const { alerts, messages, pass } = setUp();
    for (let n = 0; n < 5; n++) alerts.raise("quota", "acme", { used: n, limit: 10, what: "tokens a day" });
    expect(said(messages)).toEqual(["quota acme"]);
    expect(alerts.active).toMatchObject([{ kind: "quota", subject: "acme", detail: { used: 4 } }]);
    alerts.clear("quota", "acme");
    pass(59);
    expect(messages).toHaveLength(1);
    pass(1);
    expect(said(messages)).toEqual(["quota acme", "quota.resolved acme"]);
    expect(alerts.active).toEqual([]);
    alerts.raise("quota", "acme", { used: 11, limit: 10, what: "tokens a day" });
    expect(said(messages)).toHaveLength(3);
  });

  it("that swing are said once: one that is raised again while it calms goes on", () => {
    const { alerts, messages, pass } = setUp();
    for (let n = 0; n < 10; n++) {
      alerts.raise("queue_wait", "chat", { seconds: 31, waiting: 2 });
      pass(30);
      alerts.clear("queue_wait", "chat");
      pass(30);
    }
    expect(said(messages)).toEqual(["queue_wait chat"]);
  });

  it("of one kind about two things are two", () => {
    const { alerts, messages } = setUp();
    alerts.raise("store_down", "jobs", { seconds: 60 });
    alerts.raise("store_down", "documents", { seconds: 60 });
    alerts.clear("store_down", "unknown");
    expect(said(messages)).toEqual(["store_down jobs", "store_down documents"]);
  });

  it("survive a restart: nothing is said twice, and the end is said by the next run", () => {
    const first = setUp();
    first.alerts.raise("model_down", "ollama", { seconds: 60 });
    const second = setUp(first.saved.at(-1));
    second.alerts.raise("model_down", "ollama", { seconds: 70 });
    second.alerts.clear("model_down", "ollama");
    expect(said(second.messages)).toEqual([]);
    const third = setUp(second.saved.at(-1));
    third.pass(60);
    expect(said(third.messages)).toEqual(["model_down.resolved ollama"]);
    expect(third.messages[0]!.since).toBe(first.messages[0]!.since);
  });

  it("that nothing raises or clears any more end after a day", () => {
    const { alerts, messages, pass } = setUp();
    alerts.raise("quota", "acme", { used: 11, limit: 10, what: "tokens a day" });
    pass(24 * 3600 - 1);
    expect(messages).toHaveLength(1);
    pass(1);
    expect(said(messages)).toEqual(["quota acme", "quota.resolved acme"]);
  });

  it("are bounded in number and length, since callers choose the names of companies", () => {
    const { alerts, messages } = setUp();
    for (let n = 0; n < 1000; n++)
      alerts.raise("quota", `${n}${"x".repeat(200)}`, { used: 1, limit: 1, what: "requests" });
    expect(messages).toHaveLength(200);
    expect(Math.max(...messages.map(({ subject }) => subject.length))).toBe(100);
  });
});

const details = {
  seconds: 61,
  waiting: 3,
  percent: 91,
  freeGiB: 7,
  used: 9,
  limit: 10,
  what: "tokens a day",
  expiresAt: "2026-12-01T00:00:00Z",
  updates: "macOS 26.6",
};

describe.each(["en", "ko"] as const)("the words in %s", (language) => {
  it.each(ALERT_KINDS)("of %s have all they need", (kind) => {
    for (const isResolved of [false, true]) {
      const message = { id: "msg_1", kind, isResolved, subject: "jobs", since: "s", at: "a", detail: details };
      const text = textOf(message, language);
      expect(text).not.toMatch(/undefined|NaN|\[object/);
      expect(text.length).toBeGreaterThan(10);
      expect(/[가-힣]/.test(text)).toBe(language === "ko");
    }
  });
});

it("a name cannot be Slack's markup", () => {
  const message = {
    id: "msg_1",
    kind: "quota",
    isResolved: false,
    subject: "<!channel> & co",
    since: "s",
    at: "a",
    detail: details,
  } as const;
  const { body } = bodyOf(message, { format: "slack", language: "en" }, "slm.example.com");
  expect(JSON.parse(body)).toEqual({
    text: "[slm.example.com] &lt;!channel&gt; &amp; co: 91 % of the quota is used.",
  });
});

describe("a webhook's address", () => {
  const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  const problem = (url: string, key: string | undefined = secret) =>
    webhookProblem({ url, ...(key !== "" && { secret: key }) }, { format: "standard", language: "en" });

  it("is https, or on the Mac itself", () => {
    expect(problem("https://hooks.example.com/a")).toBeUndefined();
    expect(problem("http://127.0.0.1:8080/a")).toBeUndefined();
    for (const url of [
      "http://hooks.example.com/a",
      "http://192.168.0.9/",
      "http://169.254.169.254/latest/meta-data",
    ]) {
      expect(problem(url)).toMatch(/is not https/);
    }
  });

  it("has no user in it, and a key that Standard Webhooks takes", () => {
    expect(problem("https://me:secret@hooks.example.com/")).toMatch(/user name/);
    expect(problem("https://hooks.example.com/", "")).toMatch(/no secret to sign with/);
    for (const wrong of ["secret", "whsec_", "whsec_c2hvcnQ=", `whsec_${"A".repeat(120)}`]) {
      expect(problem("https://hooks.example.com/", wrong), wrong).toMatch(/not whsec_/);
    }
    expect(webhookProblem({ url: "https://hooks.slack.com/x" }, { format: "slack", language: "en" })).toBeUndefined();
  });
});

describe("watching", () => {
  const thresholds = alertThresholdsSchema.parse({});

  function watch(changes: Partial<Watched> = {}, tokens: Readonly<Record<string, { expiresAt?: string }>> = {}) {
    const { alerts, messages, clock } = setUp();
    const state = { model: true, longestMs: 0, jobs: true, connected: true, updates: undefined as string | undefined };
    const watched: Watched = {
      modelKind: "ollama",
      modelAnswers: async () => state.model,
      waits: () => ({ chat: { longestWaitMs: state.longestMs, waiting: 4 } }),
      stores: () => ({ jobs: state.jobs, documents: true }),
      lines: async () => [{ server: "backend", port: 1, connected: state.connected }],
      tokens: () => tokens,
      dataDir: "/",
      updates: async () => state.updates,
      ...changes,
    };
    const looks: (() => void)[] = [];
    const ticking = {
      ...alerts,
      get active() {
        return alerts.active;
      },
      tick() {
        alerts.tick();
        for (const go of looks.splice(0)) go();
      },
    };
    const logged: Record<string, unknown>[] = [];
    const stop = startWatch(ticking, { thresholds: { ...thresholds, diskPercent: 99 }, webhooks: [] }, watched, {
      log: createLog({ write: (line) => void logged.push(JSON.parse(line) as Record<string, unknown>) }),
      everyMs: 2,
      updatesEveryMs: 0,
      now: () => clock.ms,
    });
    const look = async () => {
      // Two looks: one may have begun before the state changed.
      for (let n = 0; n < 2; n++) await new Promise<void>((resolve) => looks.push(resolve));
    };
    return { state, clock, look, messages, logged, stop };
  }

  it("says that the model server is down after a minute, not before, and that it is back", async () => {
    const { state, clock, look, messages, stop } = watch();
    await look();
    state.model = false;
    await look();
    clock.ms += 59_000;
    await look();
    expect(said(messages)).toEqual([]);
    clock.ms += 1_000;
    await look();
    expect(said(messages)).toEqual(["model_down ollama"]);
    expect(messages[0]!.detail).toEqual({ seconds: 60 });
    state.model = true;
    await look();
    clock.ms += 60_000;
    await look();
    expect(said(messages)).toEqual(["model_down ollama", "model_down.resolved ollama"]);
    await stop();
  });

  it("a model server that is away for moments is no alert", async () => {
    const { state, clock, look, messages, stop } = watch();
    for (let n = 0; n < 5; n++) {
      state.model = false;
      await look();
      clock.ms += 50_000;
      await look();
      state.model = true;
      await look();
      clock.ms += 50_000;
    }
    expect(messages).toEqual([]);
    await stop();
  });

  it("says each of the others, with their numbers", async () => {
    const expiresAt = "2026-12-05T00:00:00Z"; // in a week
    const { state, clock, look, messages, stop } = watch(
      {},
      {
        backend: { expiresAt },
        batch: { expiresAt: "2027-12-05T00:00:00Z" },
        forever: {},
      },
    );
    await look();
    expect(said(messages)).toEqual(["token_end backend"]);
    Object.assign(state, { longestMs: 30_000, jobs: false, connected: false, updates: "macOS 26.6" });
    await look();
    clock.ms += 60_000;
    await look();
    clock.ms += 240_000;
    await look();
    expect(said(messages).toSorted()).toEqual([
      "direct_line_down backend",
      "queue_wait chat",
      "store_down jobs",
      "token_end backend",
      "update_waiting macOS",
    ]);
    expect(messages.find(({ kind }) => kind === "queue_wait")!.detail).toEqual({ seconds: 30, waiting: 4 });
    await stop();
  });

  it("a check that fails is logged once and leaves its alerts as they are; the others go on", async () => {
    const broken = new Set<string>();
    const orBroken = <T>(name: string, value: T): T => {
      if (broken.has(name)) throw new Error(`${name} cannot be read`);
      return value;
    };
    const changes = {
      dataDir: "/nowhere/at/all", // the free space of its disk cannot be read
      lines: async () => orBroken("lines", [{ server: "backend", port: 1, connected: false }]),
      stores: () => orBroken("stores", { jobs: true, documents: true }),
    };
    const { state, clock, look, messages, logged, stop } = watch(changes, {
      backend: { expiresAt: "2026-12-05T00:00:00Z" },
    });
    await look();
    clock.ms += 300_000;
    await look();
    expect(said(messages).toSorted()).toEqual(["direct_line_down backend", "token_end backend"]);
    expect(logged).toMatchObject([{ level: "warn", part: "disk", err: { code: "ENOENT" } }]);

    broken.add("lines").add("stores");
    state.longestMs = 30_000;
    await look();
    clock.ms += 120_000;
    await look();
    expect(said(messages)).toContain("queue_wait chat");
    expect(said(messages)).not.toContain("direct_line_down.resolved backend");
    expect(logged.map(({ part }) => part).toSorted()).toEqual(["direct_line_down", "disk", "store_down"]);

    broken.clear();
    await look();
    broken.add("stores");
    await look();
    expect(logged.map(({ part }) => part).filter((part) => part === "store_down")).toHaveLength(2);
    await stop();
  });

  it("reads macOS' own record of updates", () => {
    const record = (count: number) => `{
    AutomaticallyInstallMacOSUpdates = 0;
    LastRecommendedUpdatesAvailable = ${count};
    RecommendedUpdates =     (
                {
            "Display Name" = "macOS Tahoe 26.6";
            "Display Version" = "26.6";
        }
    );
}`;
    expect(updatesIn(record(1))).toBe("macOS Tahoe 26.6");
    expect(updatesIn(record(0))).toBeUndefined();
    expect(updatesIn("{ LastSuccessfulDate = 1; }")).toBeUndefined();
    expect(updatesIn("")).toBeUndefined();
    expect(updatesIn("\n    LastRecommendedUpdatesAvailable = 2;\n")).toBe("2");
  });
});
