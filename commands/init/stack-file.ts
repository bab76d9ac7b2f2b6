/** The text of `Pulumi.<stack>.yaml`: the existing file, or the commented template, with the answers filled in. */
import { type Document, isMap, isScalar, isSeq, parseDocument } from "yaml";
import { ConfigError, readStackConfig, type StackConfig, secretKeys } from "../../config/config.ts";
import { Refusal } from "../errors.ts";
import type { AccountChoice } from "./cloudflare.ts";
import type { DocumentsChoice } from "./documents.ts";
import type { MacChoice } from "./mac.ts";
import type { ModelChoice } from "./model.ts";

/** Everything that was found out and answered. */
export interface Answers {
  readonly account: AccountChoice;
  readonly server: string;
  readonly people: readonly string[];
  readonly alerts: readonly string[];
  readonly mac: MacChoice;
  readonly model: ModelChoice;
  readonly documents: DocumentsChoice;
  /** Base URLs of the providers' APIs, when the environment sets them. */
  readonly baseUrls: { readonly cloudflare?: string | undefined; readonly atlas?: string | undefined };
}

/** The stack file before the change. */
export interface Before {
  readonly text: string;
  /** The user's settings: empty while the file is the project's example. */
  readonly config: Readonly<Record<string, unknown>>;
  /** No config; at most what `pulumi stack init` wrote. */
  readonly isEmpty: boolean;
  /** Pulumi.prod.yaml as shipped: no account is set. */
  readonly isExample: boolean;
}

const exampleId = "0".repeat(32);

/** @throws Refusal when the text is not YAML. An empty text, or one with encryption settings only, has no config. */
export function readBefore(text: string, file: string): Before {
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault) throw new Refusal(`${file} is not valid YAML: ${fault.message}`);
  const content = document.toJS() as { config?: Record<string, unknown> } | null;
  const config = content?.config ?? {};
  const isExample = config[space("accountId")] === exampleId;
  return { text, config: isExample ? {} : config, isEmpty: Object.keys(config).length === 0, isExample };
}

const space = (key: string) => `slm-network:${key}`;

/** @returns a setting of the file: `setting(before, "macs", 0, "host")` */
export function setting(before: Before, key: string, ...path: (string | number)[]): unknown {
  return path.reduce<unknown>(
    (value, part) =>
      typeof value === "object" && value !== null ? (value as Record<string | number, unknown>)[part] : undefined,
    before.config[space(key)],
  );
}

/** What the engine generated for the stack. */
export interface Encrypted {
  /** Settings of the encryption, by their keys at the top of the file: `encryptionsalt`. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Encrypted secrets, by their full keys. */
  readonly secrets: Readonly<Record<string, unknown>>;
}

/**
 * @param model the text of Pulumi.prod.yaml, the template when there is no config yet
 * @returns the new text. Comments, order and other settings are preserved.
 */
export function writeAnswers(before: Before, model: string, stack: string, answers: Answers): string {
  const document = parseDocument(before.isEmpty ? model : before.text);
  if (before.isEmpty || before.isExample) writeHead(document, head(stack));
  if (before.isEmpty) {
    forget(document);
    for (const [key, value] of Object.entries(encryptionOf(before.text).settings)) document.set(key, value);
  }
  fill(document, answers);
  return print(document);
}

function print(document: Document): string {
  outdent(document);
  return document.toString({ lineWidth: 0, flowCollectionPadding: false });
}

/** @returns the text with what the engine generated */
export function writeEncrypted(text: string, { settings, secrets }: Encrypted): string {
  const document = parseDocument(text);
  for (const [key, value] of Object.entries(secrets)) document.setIn(["config", key], document.createNode(value));
  for (const [key, value] of Object.entries(settings)) document.set(key, value);
  return print(document);
}

/** The parser attaches a comment between two keys to the end of the first one's value; written back there it would be indented. */
function outdent(document: Document): void {
  const config = document.get("config");
  if (!isMap(config)) return;
  for (const [index, { value }] of config.items.entries()) {
    const next = config.items[index + 1]?.key;
    if (!isMap(value) || !value.comment || !isScalar(next)) continue;
    const [own, ...behind] = value.comment.split("\n\n"); // after a blank line it describes what follows
    if (behind.length === 0) continue;
    next.commentBefore = [...behind, next.commentBefore].filter(Boolean).join("\n\n");
    next.spaceBefore = true;
    value.comment = own;
  }
}

/** @returns a stack file's secrets and the settings of their encryption */
export function encryptionOf(text: string): Encrypted {
  const { config = {}, ...settings } = (parseDocument(text).toJS() ?? {}) as { config?: Record<string, unknown> };
  const secrets = Object.entries(config).filter(([key]) => secretKeys.has(key.replace("slm-network:", "")));
  return { settings, secrets: Object.fromEntries(secrets) };
}

/** The parser attaches the comment at the top to the first key or to the document. */
function writeHead(document: Document, comment: string): void {
  const { contents } = document;
  if (isMap(contents)) {
    contents.commentBefore = undefined;
    const [first] = contents.items;
    if (isScalar(first?.key)) first.key.commentBefore = undefined;
  }
  document.commentBefore = comment;
}

const head = (stack: string): string =>
  [
    ` The stack ${stack}, written by \`npm run init\`; edit it as you like. The secrets are encrypted.`,
    "",
    " No credentials here: CLOUDFLARE_API_TOKEN, MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY come from the",
    " environment, the SSH key from the agent.",
  ].join("\n");

/** Removes what belongs to the template's own stack: secrets, their encryption, its servers' rotations. */
function forget(document: Document): void {
  const content = document.toJS() as Record<string, unknown>;
  for (const key of Object.keys(content)) if (key !== "config") document.delete(key);
  for (const key of secretKeys) document.deleteIn(["config", space(key)]);
  const servers = document.getIn(["config", space("access"), "servers"]);
  if (!isSeq(servers)) return;
  servers.items.splice(1);
  document.deleteIn(["config", space("access"), "servers", 0, "previousSecretExpiresAt"]);
  put(document, ["config", space("access"), "servers", 0, "secretVersion"], 1);
}

function fill(document: Document, answers: Answers): void {
  const { account, mac, model, documents, baseUrls } = answers;
  const set = (value: unknown, key: string, ...path: (string | number)[]) =>
    put(document, ["config", space(key), ...path], value);
  set(account.hostname, "hostname");
  set(account.zoneId, "zoneId");
  set(account.accountId, "accountId");
  set([...answers.alerts], "alerts", "emails");
  const servers = document.getIn(["config", space("access"), "servers"]) as { items?: unknown[] } | undefined;
  if (!servers?.items || servers.items.length <= 1) set(answers.server, "access", "servers", 0, "name");
  set([...answers.people], "access", "people", "emails");
  set(mac.host, "macs", 0, "host");
  if (mac.port !== 22 || document.hasIn(["config", space("macs"), 0, "port"])) set(mac.port, "macs", 0, "port");
  set(mac.user, "macs", 0, "user");
  set(mac.hostKey, "macs", 0, "hostKey");
  remark(document, ["config", space("macs"), 0], "hostKey", ` ${mac.fingerprint}`);
  set(model.kind, "model", "kind");
  set(model.url, "model", "url");
  set(model.embeddingModel, "model", "embeddingModel");
  set(documents.store, "documents", "store");
  if (documents.store === "atlas") {
    set(documents.projectId, "documents", "atlas", "projectId");
    set(documents.cluster, "documents", "atlas", "cluster");
    set([...documents.allowFrom], "documents", "atlas", "allowFrom");
  } else {
    document.deleteIn(["config", space("documents"), "atlas"]);
  }
  if (baseUrls.cloudflare) put(document, ["config", "cloudflare:baseUrl"], baseUrls.cloudflare);
  if (baseUrls.atlas) put(document, ["config", "mongodbatlas:baseUrl"], baseUrls.atlas);
}

/** Sets a value; an existing one keeps its node, with comment and quotes. */
function put(document: Document, path: readonly (string | number)[], value: unknown): void {
  const before = document.getIn(path, true);
  if (isScalar(before) && typeof value !== "object") {
    before.value = value;
    return;
  }
  if (JSON.stringify(document.getIn(path)) === JSON.stringify(value)) return;
  document.setIn(path, document.createNode(value, { flow: true }));
}

/** Replaces the comment above one key of a map. */
function remark(document: Document, path: readonly (string | number)[], key: string, comment: string): void {
  const map = document.getIn(path);
  if (!isMap(map)) return;
  for (const pair of map.items) if (isScalar(pair.key) && pair.key.value === key) pair.key.commentBefore = comment;
}

/** @returns secrets that the stack needs and the file lacks */
export function missingSecrets(text: string): string[] {
  const config = (parseDocument(text).toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  const documents = config[space("documents")] as { store?: string } | undefined;
  const wanted = [
    "tunnelSecret",
    ...(documents?.store === "atlas" ? ["atlasSchemaPassword", "atlasRelayPassword"] : []),
  ];
  return wanted.filter((key) => config[space(key)] === undefined);
}

/** In place of values that are encrypted below a key: addresses of webhooks, and what their messages are signed with. */
const PLACEHOLDERS: Readonly<Record<string, string>> = {
  url: "https://encrypted.invalid/",
  secret: `whsec_${Buffer.alloc(32).toString("base64")}`,
};

/** @returns the value with a placeholder for each `{ secure: … }` in it */
function withPlaceholders(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) return value.map((one) => withPlaceholders(one));
  if (typeof value !== "object" || value === null) return value;
  if ("secure" in value && typeof value.secure === "string") return PLACEHOLDERS[key] ?? "encrypted";
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, withPlaceholders(one, name)]));
}

/** Secrets that a stack may be without: what their placeholder would mean is another config. */
const optionalSecrets: ReadonlySet<string> = new Set(["fallbackKey", "modelKey", "otlpHeaders"]);

/**
 * @returns the config of a stack file, its secrets replaced by placeholders
 * @throws Refusal with every problem of the text, in the words of `pulumi preview`
 */
export function readConfig(text: string, file: string): StackConfig {
  const config = (parseDocument(text).toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  const placeholder = Buffer.alloc(32).toString("base64"); // of a secret that is encrypted, or about to be made
  try {
    return readStackConfig({
      get(key) {
        if (secretKeys.has(key)) return optionalSecrets.has(key) ? undefined : placeholder;
        const value = withPlaceholders(config[space(key)]);
        return typeof value === "string" || value === undefined ? value : JSON.stringify(value);
      },
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Refusal(`${file} is invalid:\n${error.problems.map((one) => `  - ${one}`).join("\n")}`);
  }
}
