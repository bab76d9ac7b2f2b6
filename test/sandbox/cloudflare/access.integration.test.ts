import { afterEach, beforeEach, expect, test } from "vitest";
import { account_id, type Harness, raw, refusalOf, startHarness } from "./harness.ts";

let h: Harness;
beforeEach(async () => {
  h = await startHarness();
});
afterEach(() => h.close());

const access = () => h.client.zeroTrust.access;
const tokens = () => access().serviceTokens;

async function makeToken(name = "backend") {
  const made = await tokens().create({ account_id, name, duration: "8760h" });
  return { id: made.id! };
}

async function makePolicy(tokenId: string, name = "servers") {
  const include = [{ service_token: { token_id: tokenId } }];
  const made = await access().policies.create({
    account_id,
    name,
    decision: "non_identity",
    include,
    session_duration: "24h",
  });
  return made.id!;
}

function appBody(policies: { id: string; precedence?: number }[], ...uris: string[]) {
  return {
    type: "self_hosted",
    name: "slm",
    destinations: uris.map((uri) => ({ type: "public", uri })),
    policies,
    session_duration: "24h",
    service_auth_401_redirect: true,
    app_launcher_visible: false,
    http_only_cookie_attribute: true,
  };
}

const makeApp = (policies: { id: string; precedence?: number }[], ...uris: string[]) =>
  raw(h.url, "POST", `/accounts/${account_id}/access/apps`, appBody(policies, ...uris));

interface App {
  id: string;
  aud: string;
  domain: string;
}

test("a policy is created, read, replaced; it is whole in the applications that use it", async () => {
  const token = await makeToken();
  const id = await makePolicy(token.id);
  const rule = { service_token: { token_id: token.id } };
  const whole = {
    id,
    name: "servers",
    decision: "non_identity",
    include: [rule],
    exclude: [],
    require: [],
    reusable: true,
  };
  expect(await access().policies.get(id, { account_id })).toMatchObject({
    ...whole,
    session_duration: "24h",
    app_count: 0,
  });
  const made = await makeApp([{ id }], "slm.example.com");
  expect(made.status).toBe(201);
  expect(made.result).toMatchObject({
    domain: "slm.example.com",
    self_hosted_domains: ["slm.example.com"],
    policies: [{ ...whole, precedence: 1 }],
  });
  const people = [{ email: { email: "a@example.com" } }, { email_domain: { domain: "example.com" } }];
  await access().policies.update(id, { account_id, name: "people", decision: "allow", include: people });
  const { id: appId } = made.result as App;
  expect(await access().applications.get(appId, { account_id })).toMatchObject({
    policies: [{ name: "people", include: people }],
  });
  expect((await access().policies.list({ account_id })).result).toHaveLength(1);
});

test("objects in use are not deleted: token in a policy, policy in an application", async () => {
  const token = await makeToken();
  const id = await makePolicy(token.id);
  const { id: appId } = (await makeApp([{ id }], "slm.example.com")).result as App;
  expect(await refusalOf(tokens().delete(token.id, { account_id }))).toMatchObject({ status: 409 });
  expect(await refusalOf(access().policies.delete(id, { account_id }))).toMatchObject({
    status: 409,
    message: expect.stringMatching(/in use by the application slm.example.com/),
  });
  expect((await access().applications.delete(appId, { account_id })).id).toBe(appId);
  await access().policies.delete(id, { account_id });
  await tokens().delete(token.id, { account_id });
  expect(await refusalOf(tokens().get(token.id, { account_id }))).toMatchObject({ status: 404 });
  expect(await refusalOf(access().policies.get(id, { account_id }))).toMatchObject({ status: 404 });
  expect(await refusalOf(access().applications.get(appId, { account_id }))).toMatchObject({ status: 404 });
});

test.each([
  [{ decision: "permit" }, /decision/],
  [{ include: [] }, /include/],
  [{ include: [{ email: { email: "a@b.co" }, everyone: {} }] }, /include\.0.*exactly one/],
  [{ include: [{ mail: { email: "a@b.co" } }] }, /exactly one/],
  [{ include: [{ email: { address: "a@b.co" } }] }, /include\.0\.email/],
  [{ include: [{ email_domain: { domain: "@example.com" } }] }, /without @/],
  [{ include: [{ ip: { ip: "203.0.113.0/33" } }] }, /IP address or range/],
  [{ include: [{ service_token: { token_id: "00000000-0000-4000-8000-000000000000" } }] }, /does not exist/],
  [{ session_duration: "a day" }, /session_duration/],
  [{ precedence: 1 }, /precedence/],
])("a policy with %o is refused", async (change, message) => {
  const good = { name: "p", decision: "allow", include: [{ everyone: {} }] };
  const answer = await raw(h.url, "POST", `/accounts/${account_id}/access/policies`, { ...good, ...change });
  expect(answer.status).toBe(400);
  expect(answer.errors[0]).toMatchObject({ code: 12130, message: expect.stringMatching(message) });
});

test("an application's audience is stable, and the edge sees what was declared", async () => {
  const token = await makeToken();
  const first = await makePolicy(token.id, "first");
  const second = await makePolicy(token.id, "second");
  const links = [
    { id: second, precedence: 2 },
    { id: first, precedence: 1 },
  ];
  const made = (await makeApp(links, "SLM.example.com/Status/")).result as App;
  expect(made.aud).toMatch(/^[0-9a-f]{64}$/);
  const path = `/accounts/${account_id}/access/apps/${made.id}`;
  const put = (await raw(h.url, "PUT", path, appBody(links, "slm.example.com/Status", "slm.example.com/x")))
    .result as App;
  expect(put).toMatchObject({ id: made.id, aud: made.aud });
  expect(h.account.accessApplications()).toMatchObject([
    {
      id: made.id,
      aud: made.aud,
      name: "slm",
      destinations: ["slm.example.com/Status", "slm.example.com/x"],
      serviceAuth401Redirect: true,
      sessionDuration: "24h",
      policies: [{ name: "first", decision: "non_identity" }, { name: "second" }],
    },
  ]);
  expect((await access().applications.list({ account_id, aud: made.aud })).result).toHaveLength(1);
  expect((await access().applications.list({ account_id, domain: "none.example.com" })).result).toHaveLength(0);
});

test("two applications may not have one destination; another path of the host is another destination", async () => {
  await makeApp([], "slm.example.com");
  expect(await makeApp([], "slm.example.com/")).toMatchObject({ status: 409, errors: [{ code: 11010 }] });
  expect((await makeApp([], "slm.example.com/status")).status).toBe(201);
});

test.each([
  [{ destinations: [{ type: "public", uri: "slm.example.org" }] }, /does not belong to zone/],
  [{ destinations: [{ type: "public", uri: "https://slm.example.com" }] }, /without scheme/],
  [{ destinations: [{ type: "private", uri: "slm.example.com" }] }, /destinations\.0\.type/],
  [{ destinations: [] }, /at least one/],
  [{ destinations: [1, 2].map(() => ({ type: "public", uri: "slm.example.com" })) }, /once/],
  [{ policies: [{ id: "none" }] }, /policies\.0\.id.*does not exist/],
  [{ policies: [{ decision: "allow", include: [{ everyone: {} }] }] }, /policies/],
  [{ type: "selfhosted" }, /type/],
  [{ allowed_idps: ["none"] }, /identity provider none/],
  [{ session_duration: "1d" }, /session_duration/],
  [{ service_auth_401: true }, /service_auth_401/],
])("an application with %o is refused", async (change, message) => {
  const body = { ...appBody([], "slm.example.com"), ...change };
  const answer = await raw(h.url, "POST", `/accounts/${account_id}/access/apps`, body);
  expect(answer.status).toBe(400);
  expect(answer.errors[0]?.message).toMatch(message);
});

test("two policies of one precedence are refused, with the real API's words", async () => {
  const token = await makeToken();
  const links = [await makePolicy(token.id, "a"), await makePolicy(token.id, "b")].map((id) => ({ id, precedence: 1 }));
  const answer = await makeApp(links, "slm.example.com");
  expect(answer.errors[0]?.message).toMatch(/policy precedences must be unique/);
});

test("the WARP enrolment is one application, for machines by any service token", async () => {
  const include = [{ any_valid_service_token: {} }];
  const policy = await access().policies.create({ account_id, name: "machines", decision: "non_identity", include });
  const body = { type: "warp", policies: [{ id: policy.id }], session_duration: "24h" };
  const path = `/accounts/${account_id}/access/apps`;
  expect(await raw(h.url, "POST", path, body)).toMatchObject({
    status: 201,
    result: { type: "warp", domain: "acme.cloudflareaccess.com/warp" },
  });
  expect((await raw(h.url, "POST", path, body)).status).toBe(409);
  expect(h.account.accessApplications()).toEqual([]);
});

test("the organisation tells the team's domain; identity providers come and go", async () => {
  const organization = await h.client.zeroTrust.organizations.list({ account_id });
  expect(organization).toMatchObject({ auth_domain: "acme.cloudflareaccess.com", name: "acme" });
  const providers = h.client.zeroTrust.identityProviders;
  const made = await providers.create({ account_id, name: "PIN", type: "onetimepin", config: {} });
  expect(await providers.get(made.id!, { account_id })).toMatchObject({ name: "PIN", type: "onetimepin", config: {} });
  const app = { ...appBody([], "slm.example.com"), allowed_idps: [made.id] };
  const { id } = (await raw(h.url, "POST", `/accounts/${account_id}/access/apps`, app)).result as App;
  expect(await refusalOf(providers.delete(made.id!, { account_id }))).toMatchObject({ status: 409 });
  await access().applications.delete(id, { account_id });
  expect(await providers.delete(made.id!, { account_id })).toEqual({ id: made.id });
});
