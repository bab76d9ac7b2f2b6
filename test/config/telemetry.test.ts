/** `telemetry`, `alerts` and `metrics` of the stack's config: what is refused, why, and that no secret is shown. */
import { describe, expect, it } from "vitest";
import { readConfig } from "../../commands/init/stack-file.ts";
import { parseStackConfig } from "../../config/config.ts";
import { parseOtlpHeaders } from "../../config/telemetry.ts";
import { LEAST as good, problemsOf } from "./stack.ts";

const key = `whsec_${Buffer.alloc(32, 3).toString("base64")}`;

const problems = (changes: Record<string, unknown>) => problemsOf({ ...good, ...changes }).join("\n");

describe("telemetry.otlp", () => {
  const otlp = (settings: object) => ({ telemetry: { otlp: settings } });

  it("is off by default, and complete with an endpoint", () => {
    expect(parseStackConfig(good).telemetry).toEqual({});
    expect(parseStackConfig({ ...good, ...otlp({ endpoint: "https://otlp.example.com" }) }).telemetry.otlp).toEqual({
      endpoint: "https://otlp.example.com",
      samplingRatio: 1,
      serviceName: "slm-network",
    });
  });

  it("says what is wrong with it, all at once", () => {
    expect(problems(otlp({ endpoint: "otlp.example.com", samplingRatio: 2 }))).toMatch(
      /endpoint: .*is not the collector's base URL.*\n.*samplingRatio: 2 is over 1/,
    );
    expect(problems(otlp({ endpoint: "https://otlp.example.com/v1/traces" }))).toMatch(
      /leave it out, the relay adds it/,
    );
    expect(problems(otlp({ endpoint: "https://a.example.com", headers: {} }))).toMatch(/is not a known setting/);
  });

  it("with secret headers is https, or on the Mac itself", () => {
    const otlpHeaders = "authorization=Bearer%20x";
    expect(problems({ ...otlp({ endpoint: "http://192.168.0.9:4318" }), otlpHeaders })).toMatch(
      /endpoint: .*is not https/,
    );
    expect(problems(otlp({ endpoint: "http://192.168.0.9:4318" }))).toBe("");
    expect(problems({ ...otlp({ endpoint: "http://127.0.0.1:4318" }), otlpHeaders })).toBe("");
  });

  it("has headers in the form of OpenTelemetry's variable, never shown", () => {
    expect(parseOtlpHeaders("authorization=Bearer%20x, X-Scope-OrgID=1")).toEqual({
      authorization: "Bearer x",
      "x-scope-orgid": "1",
    });
    for (const wrong of ["", "a", "a=", "=b", "a b=c", "a=%zz", "a=%0d%0aevil:1", "a=b,"]) {
      expect(parseOtlpHeaders(wrong), wrong).toBeUndefined();
    }
    const said = problems({ otlpHeaders: "very secret" });
    expect(said).toMatch(/otlpHeaders: \(a secret\) is not name=value/);
    expect(said).not.toContain("very secret");
  });
});

describe("alerts.webhooks", () => {
  const webhooks = (...list: object[]) => ({ alerts: { webhooks: list } });

  it("have defaults", () => {
    const { alerts } = parseStackConfig({ ...good, ...webhooks({ url: "https://a.example.com/x", secret: key }) });
    expect(alerts.webhooks[0]).toEqual({
      url: "https://a.example.com/x",
      secret: key,
      format: "standard",
      language: "en",
    });
    expect(alerts).toMatchObject({ emails: [], modelDownSeconds: 60, diskPercent: 90 });
  });

  it("say what is wrong, and never show an address or a key", () => {
    const said = problems(
      webhooks(
        { url: "http://hidden-a.example.com/token", secret: key },
        { url: "https://hidden-b.example.com/token", secret: "hidden-key" },
        { url: "hidden-c", secret: key },
        { url: "https://hidden-d.example.com/token" },
        { url: "https://hidden-e.example.com/token", format: "teams", secret: key },
        { url: "https://hidden-f.example.com/token", secret: key, events: ["fire"] },
        { url: "https://hidden-g.example.com/token", secret: key, hidden: "x" },
      ),
    );
    expect(said).toMatch(/webhooks\[0\]: \(a secret\) is not https/);
    expect(said).toMatch(/webhooks\[1\]: \(a secret\) has a secret that is not whsec_/);
    expect(said).toMatch(/webhooks\[2\]\.url: \(a secret\) is not a URL/);
    expect(said).toMatch(/webhooks\[3\]: \(a secret\) has no secret to sign with/);
    expect(said).toMatch(/webhooks\[4\]\.format: "teams" must be one of standard, slack/);
    expect(said).toMatch(/webhooks\[5\]\.events\[0\]: .*must be one of model_down/);
    expect(said).toMatch(/webhooks\[6\]\.hidden is not a known setting|webhooks\[6\]\.hidden: is not a known setting/);
    expect(said).not.toMatch(/hidden-[a-z]\.|\/token/);
    expect(said).not.toContain(key);
  });

  it("that are encrypted in a stack file are read by the commands as they stand", () => {
    const { tunnelSecret: _, ...settings } = good;
    const stack = { ...settings, ...webhooks({ url: { secure: "v1:x" }, secret: { secure: "v1:y" }, language: "ko" }) };
    const named = Object.fromEntries(Object.entries(stack).map(([name, value]) => [`slm-network:${name}`, value]));
    const { alerts } = readConfig(JSON.stringify({ config: named }), "Pulumi.test.yaml");
    expect(alerts.webhooks).toMatchObject([{ format: "standard", language: "ko" }]);
  });
});

describe("metrics.scrapers", () => {
  it("are nobody by default, and have a secret as servers have", () => {
    expect(parseStackConfig(good).metrics).toEqual({ scrapers: [] });
    expect(problems({ metrics: { scrapers: [{ name: "prometheus", secretVersion: 2 }] } })).toMatch(
      /scrapers\[0\]\.previousSecretExpiresAt: is missing: from the second secret on/,
    );
    expect(problems({ metrics: { scrapers: [{ name: "tunnel" }] } })).toMatch(/is taken/);
    expect(problems({ metrics: { scrapers: [{ name: "a" }, { name: "a" }] } })).toMatch(
      /two scrapers have the same name/,
    );
    expect(problems({ metrics: { scrapers: [{ name: "a", companies: ["x"] }] } })).toMatch(/is not a known setting/);
  });

  it("have names that no server has: both name a service token", () => {
    expect(problems({ metrics: { scrapers: [{ name: "backend" }] } })).toMatch(
      /metrics\.scrapers: .*has backend, which is in access\.servers too/,
    );
  });
});
