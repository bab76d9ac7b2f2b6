/** The script that exchanges a job's GitHub identity for a Pulumi token, against servers that answer as both do. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { program } from "../sandbox/mac/fixture.ts";

const script = join(import.meta.dirname, "../../.github/scripts/pulumi-token.sh");
let folder: string;
let server: Server;
let url: string;
let refuse: boolean;
let form: URLSearchParams | undefined;
let identityRequest: { authorization: string | undefined; audience: string | null } | undefined;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "slm-token-"));
  refuse = false;
  form = undefined;
  server = createServer((request, response) => {
    const at = new URL(request.url ?? "", "http://x");
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      if (at.pathname === "/identity") {
        identityRequest = { authorization: request.headers.authorization, audience: at.searchParams.get("audience") };
        response.end('{"count": 1, "value": "github.identity.token"}');
      } else if (refuse) response.writeHead(403).end('{"code":403,"message":"no policy matches"}');
      else {
        form = new URLSearchParams(body);
        response.end('{"access_token":"pul-short-lived","token_type":"bearer","expires_in":3600}');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await new Promise((closed) => server.close(closed));
  rmSync(folder, { recursive: true, force: true });
});

const run = (change: NodeJS.ProcessEnv = {}) =>
  program("/bin/sh", [script], {
    env: {
      PATH: process.env.PATH,
      PULUMI_ORGANIZATION: "acme",
      PULUMI_API: url,
      ACTIONS_ID_TOKEN_REQUEST_URL: `${url}/identity?api-version=2`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: "request-token",
      GITHUB_OUTPUT: join(folder, "output"),
      ...change,
    },
  });

it("puts a masked, short-lived token into the step's output", async () => {
  const { code, stdout, stderr } = await run();
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(identityRequest).toEqual({ authorization: "bearer request-token", audience: "urn:pulumi:org:acme" });
  expect(Object.fromEntries(form ?? [])).toEqual({
    audience: "urn:pulumi:org:acme",
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    subject_token_type: "urn:ietf:params:oauth:token-type:id_token",
    requested_token_type: "urn:pulumi:token-type:access_token:organization",
    expiration: "3600",
    subject_token: "github.identity.token",
  });
  expect(readFileSync(join(folder, "output"), "utf8")).toBe("token=pul-short-lived\n");
  expect(stdout).toBe("::add-mask::github.identity.token\n::add-mask::pul-short-lived\n");
});

it("fails when Pulumi Cloud refuses, or without the right to an identity, and writes no output", async () => {
  refuse = true;
  const refused = await run();
  expect(refused.code).not.toBe(0);
  const unset = await run({ ACTIONS_ID_TOKEN_REQUEST_URL: undefined });
  expect(unset.code).not.toBe(0);
  expect(unset.stderr).toContain("id-token: write");
  expect(() => readFileSync(join(folder, "output"))).toThrow();
});
