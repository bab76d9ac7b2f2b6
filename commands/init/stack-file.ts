/** The text of `Pulumi.<stack>.yaml`: what is there, or else the commented model, with the answers in their places. */
import { type Document, isMap, isScalar, isSeq, parseDocument } from "yaml";
import { ConfigError, readStackConfig, type StackConfig, secretKeys } from "../../config/config.ts";
import { InitRefusal } from "../refusal.ts";
import type { AccountChoice } from "./cloudflare.ts";
import type { DocumentsChoice } from "./documents.ts";
import type { MacChoice } from "./mac.ts";
import type { ModelChoice } from "./model.ts";

/** All that was found out and answered. */
export interface Answers {
  readonly account: AccountChoice;
  readonly server: string;
  readonly people: readonly string[];
  readonly alerts: readonly string[];
  readonly mac: MacChoice;
  readonly model: ModelChoice;
  readonly documents: DocumentsChoice;
  /** Other addresses of the providers' APIs, when the environment names them. */
  readonly baseUrls: { readonly cloudflare?: string | undefined; readonly atlas?: string | undefined };
}

/** A stack file as it is now. */
export interface Before {
  readonly text: string;
  /** What somebody decided: nothing, while it is the example that comes with the project. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Without any config; at most what `pulumi stack init` wrote. */
  readonly isEmpty: boolean;
  /** Pulumi.prod.yaml as it comes, or as good as: no account is named. */
  readonly isExample: boolean;
}

const exampleId = "0".repeat(32);

/** @throws InitRefusal when the text is no YAML. An empty text, or one with the encryption's settings only, has no config. */
export function readBefore(text: string, file: string): Before {
  const document = parseDocument(text);
  const [fault] = document.errors;
  if (fault) throw new InitRefusal(`${file} is no YAML: ${fault.message}`);
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

/** What the engine made for the stack. */
export interface Encrypted {
  /** Settings of the encryption, by their keys at the top of the file: `encryptionsalt`. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Encrypted secrets, by their full keys. */
  readonly secrets: Readonly<Record<string, unknown>>;
}

/**
 * @param model the text of Pulumi.prod.yaml, used when there is no config yet
 * @returns the new text. Comments, order and settings that init does not decide stay as they are.
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

/** @returns the text with what the engine made for it */
export function writeEncrypted(text: string, { settings, secrets }: Encrypted): string {
  const document = parseDocument(text);
  for (const [key, value] of Object.entries(secrets)) document.setIn(["config", key], document.createNode(value));
  for (const [key, value] of Object.entries(settings)) document.set(key, value);
  return print(document);
}

/** A comment between two keys belongs to the end of the first one's value; written back there it would be indented with it. */
function outdent(document: Document): void {
  const config = document.get("config");
  if (!isMap(config)) return;
  for (const [index, { value }] of config.items.entries()) {
    const next = config.items[index + 1]?.key;
    if (!isMap(value) || !value.comment || !isScalar(next)) continue;
    const [own, ...behind] = value.comment.split("\n\n"); // behind a blank line it is about what follows
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

/** The comment at the top stands before the first key, or before the whole, as the file is written. */
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
    ` The stack ${stack}, written by \`npm run init\`; change it as you like. The secrets are encrypted.`,
    "",
    " Credentials do not belong here: CLOUDFLARE_API_TOKEN, MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY come from the",
    " environment, the SSH key from the agent.",
  ].join("\n");

/** What another stack's file has for itself: its secrets, their encryption, its servers' rotations. */
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

/** Sets a value; one that is there already keeps its node, so its comment and quotes too. */
function put(document: Document, path: readonly (string | number)[], value: unknown): void {
  const before = document.getIn(path, true);
  if (isScalar(before) && typeof value !== "object") {
    before.value = value;
    return;
  }
  if (JSON.stringify(document.getIn(path)) === JSON.stringify(value)) return;
  document.setIn(path, document.createNode(value, { flow: true }));
}

/** Puts a comment above one key of a map, in place of the one that is there. */
function remark(document: Document, path: readonly (string | number)[], key: string, comment: string): void {
  const map = document.getIn(path);
  if (!isMap(map)) return;
  for (const pair of map.items) if (isScalar(pair.key) && pair.key.value === key) pair.key.commentBefore = comment;
}

/** Secrets that the stack needs and the file does not have. */
export function missingSecrets(text: string): string[] {
  const config = (parseDocument(text).toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  const documents = config[space("documents")] as { store?: string } | undefined;
  const wanted = [
    "tunnelSecret",
    ...(documents?.store === "atlas" ? ["atlasSchemaPassword", "atlasRelayPassword"] : []),
  ];
  return wanted.filter((key) => config[space(key)] === undefined);
}

/**
 * @returns the config of a stack file, its secrets replaced by stand-ins
 * @throws InitRefusal with every fault of the text, as `pulumi preview` would say them
 */
export function readConfig(text: string, file: string): StackConfig {
  const config = (parseDocument(text).toJS() as { config?: Record<string, unknown> } | null)?.config ?? {};
  const inPlace = Buffer.alloc(32).toString("base64"); // of a secret that is encrypted, or about to be made
  try {
    return readStackConfig({
      get(key) {
        if (secretKeys.has(key)) return key === "fallbackKey" || key === "modelKey" ? undefined : inPlace;
        const value = config[space(key)];
        return typeof value === "string" || value === undefined ? value : JSON.stringify(value);
      },
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new InitRefusal(`${file} has faults:\n${error.problems.map((one) => `  - ${one}`).join("\n")}`);
  }
}
