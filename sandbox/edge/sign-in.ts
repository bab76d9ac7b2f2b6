/**
 * Signing in with a one-time PIN, as the team's domain offers it: e-mail → code → session cookie. Source:
 * developers.cloudflare.com, "One-time PIN login" (the code is valid for 10 minutes and is sent only to people admitted by
 * a policy, while the page is the same for everybody), "Identity providers" (an application may restrict them; by default
 * it accepts all of the account) and "Authorization cookie". The mail goes to a file.
 */
import { createHash, randomBytes, randomInt, timingSafeEqual } from "node:crypto";
import { appendFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AccessApplicationView, EdgeView, IdentityProviderView } from "../cloudflare/edge-view.ts";
import { decide } from "./access.ts";
import { sessionSeconds } from "./applications.ts";
import { cookieIn } from "./headers.ts";
import type { AccessKeys } from "./keys.ts";
import { codePage, emailPage, noPinPage, refusedPage } from "./sign-in-pages.ts";

const codeLifetimeMs = 10 * 60_000;
const maxAttempts = 5;
const maxPending = 1_000;
const maxForm = 16 * 1024;

/** The dependencies of the sign-in pages. */
export interface SignInOptions {
  view: EdgeView;
  keys: AccessKeys;
  /** Codes are appended here (0600). */
  mailFile: string;
  /** Two letters, e.g. `KR`. */
  country: string;
}

/** Where a sign-in request arrived. */
export interface SignInPlace {
  target: string;
  clientIp: string;
  /** Headers of every answer. */
  headers: string[];
  /** Prefix of the path back to the application: its origin, or "" when this host serves it. */
  origin(hostname: string): string;
}

/** The pages. Each method returns true if it handled the path. */
export interface SignIn {
  /** `/cdn-cgi/access/login/<host name>` and `/cdn-cgi/access/verify`: on the team's domain. */
  onTeam(request: IncomingMessage, response: ServerResponse, place: SignInPlace): Promise<boolean>;
  /** `/cdn-cgi/access/authorized` and `/cdn-cgi/access/logout`: on the application's own name. */
  onHost(request: IncomingMessage, response: ServerResponse, place: SignInPlace): Promise<boolean>;
}

interface Pending {
  application: AccessApplicationView;
  hostname: string;
  redirect: string;
  email: string;
  /** Undefined: no code was sent. */
  code?: string;
  attempts: number;
  until: number;
}

/** A path on the same host. Anything else would be an open redirect. */
function safePath(text: string | null): string {
  return text !== null && /^\/(?![/\\])[\x21-\x7e]*$/.test(text) ? text : "/";
}

function same(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

async function form(request: IncomingMessage): Promise<URLSearchParams> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > maxForm) break;
  }
  return new URLSearchParams(text);
}

/** Stores values under unguessable names, up to a limit. */
function keep<T>(map: Map<string, T>, value: T): string {
  const [oldest] = map.keys();
  if (map.size >= maxPending && oldest !== undefined) map.delete(oldest);
  const id = randomBytes(24).toString("base64url");
  map.set(id, value);
  return id;
}

/** The pages of one edge. */
export function signInPages({ view, keys, mailFile, country }: SignInOptions): SignIn {
  const pending = new Map<string, Pending>();
  const authorized = new Map<string, Pending>();

  function answer(response: ServerResponse, place: SignInPlace, status: number, html: string): true {
    const headers = ["Content-Type", "text/html; charset=utf-8", "Cache-Control", "no-store"];
    response.writeHead(status, [...place.headers, ...headers]).end(html);
    return true;
  }
  function redirect(response: ServerResponse, place: SignInPlace, location: string, cookie?: string): true {
    const headers = ["Location", location, "Cache-Control", "no-store", ...(cookie ? ["Set-Cookie", cookie] : [])];
    response.writeHead(302, [...place.headers, ...headers]).end();
    return true;
  }

  function find(target: string): Omit<Pending, "email" | "attempts" | "until"> | undefined {
    const url = new URL(target, "http://edge");
    const hostname = decodeURIComponent(url.pathname.slice("/cdn-cgi/access/login/".length));
    const application = view.accessApplications().find(({ aud }) => aud === url.searchParams.get("kid"));
    const ofHost = application?.destinations.some((one) => one.split("/")[0] === hostname);
    return application && ofHost
      ? { application, hostname, redirect: safePath(url.searchParams.get("redirect_url")) }
      : undefined;
  }

  function methods({ allowedIdps }: AccessApplicationView): IdentityProviderView[] {
    return view.identityProviders().filter(({ id }) => allowedIdps.length === 0 || allowedIdps.includes(id));
  }

  async function send(entry: Pending, clientIp: string): Promise<void> {
    const caller = { email: entry.email, ip: clientIp, country };
    if (decide(entry.application, caller).outcome !== "person") return;
    entry.code = String(randomInt(1_000_000)).padStart(6, "0");
    const subject = `Your login code for ${entry.application.name}`;
    const mail = `To: ${entry.email}\nDate: ${new Date().toISOString()}\nSubject: ${subject}\n\n${entry.code}\n\n`;
    await appendFile(mailFile, mail, { mode: 0o600 });
  }

  async function login(request: IncomingMessage, response: ServerResponse, place: SignInPlace): Promise<true> {
    const wanted = find(place.target);
    if (!wanted) return answer(response, place, 404, refusedPage("There is no such application."));
    const { name } = wanted.application;
    const offered = methods(wanted.application);
    const others = offered.filter(({ type }) => type !== "onetimepin").map((one) => one.name || one.type);
    if (others.length === offered.length) return answer(response, place, 403, noPinPage(name, others));
    if (request.method !== "POST") return answer(response, place, 200, emailPage(name, others));
    const email = (await form(request)).get("email")?.trim() ?? "";
    if (!/^[^@\s]+@[^@\s]+$/.test(email) || email.length > 254) {
      return answer(response, place, 400, refusedPage("This is not an email address."));
    }
    const entry: Pending = { ...wanted, email, attempts: 0, until: Date.now() + codeLifetimeMs };
    await send(entry, place.clientIp);
    return answer(response, place, 200, codePage(email, keep(pending, entry)));
  }

  async function verify(request: IncomingMessage, response: ServerResponse, place: SignInPlace): Promise<true> {
    const sent = await form(request);
    const id = sent.get("request") ?? "";
    const entry = pending.get(id);
    if (!entry || entry.until < Date.now() || entry.attempts >= maxAttempts) {
      pending.delete(id);
      return answer(response, place, 403, refusedPage("The code is no longer valid: start again."));
    }
    entry.attempts += 1;
    if (entry.code === undefined || !same(entry.code, sent.get("code")?.trim() ?? "")) {
      return answer(response, place, 403, codePage(entry.email, id, "That is not the code."));
    }
    pending.delete(id);
    const nonce = keep(authorized, { ...entry, until: Date.now() + 60_000 });
    return redirect(
      response,
      place,
      `${place.origin(entry.hostname)}/cdn-cgi/access/authorized?nonce=${encodeURIComponent(nonce)}`,
    );
  }

  async function begin(response: ServerResponse, place: SignInPlace): Promise<true> {
    const nonce = new URL(place.target, "http://edge").searchParams.get("nonce") ?? "";
    const entry = authorized.get(nonce);
    authorized.delete(nonce);
    if (!entry || entry.until < Date.now())
      return answer(response, place, 403, refusedPage("This sign-in is over: start again."));
    const lifetimeSeconds = sessionSeconds(entry.application.sessionDuration);
    const issuer = `https://${view.teamDomain()}`;
    const claims = { issuer, audience: entry.application.aud, lifetimeSeconds, country };
    const token = await keys.sign({ email: entry.email }, claims);
    // The real cookie is also `Secure`; browsers would not send it over the sandbox's plain HTTP.
    const cookie = `CF_Authorization=${token}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${lifetimeSeconds}`;
    return redirect(response, place, entry.redirect, cookie);
  }

  const pathOf = (place: SignInPlace) => place.target.split("?")[0] ?? "";
  return {
    async onTeam(request, response, place) {
      if (pathOf(place).startsWith("/cdn-cgi/access/login/")) return login(request, response, place);
      if (pathOf(place) === "/cdn-cgi/access/verify" && request.method === "POST")
        return verify(request, response, place);
      return false;
    },
    async onHost(request, response, place) {
      if (pathOf(place) === "/cdn-cgi/access/authorized") return begin(response, place);
      if (pathOf(place) !== "/cdn-cgi/access/logout") return false;
      const had = cookieIn(request.headers.cookie, "CF_Authorization") !== undefined;
      return redirect(response, place, "/", had ? "CF_Authorization=; Path=/; HttpOnly; Max-Age=0" : undefined);
    },
  };
}
