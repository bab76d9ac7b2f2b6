/**
 * Property values on Pulumi's wire: `google.protobuf.Struct` with signed objects for secrets, assets, archives, resource
 * references and output values, and well-known strings for unknown values.
 * Source: sdk/go/common/resource/plugin/rpc.go and the developer docs on property values (pulumi/pulumi).
 */
import structPb from "google-protobuf/google/protobuf/struct_pb.js";

const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";
const assetSignature = "c44067f5952c0a294b673a41bacd8c17";
const archiveSignature = "0def7320c3a5731c473e5ecbe6d01bc7";
const referenceSignature = "5cf8f73096256a8f31e491e813e4eb8e";
const outputSignature = "d0e6a833031e9bbcd3f4e8bde6ca49a4";
const unknownString = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";
/** One sentinel per type; all mean "not known yet". */
const unknownSentinels = new Set([
  unknownString,
  "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7", // boolean
  "3eeb2bf0-c639-47a8-9e75-3b44932eb421", // number
  "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2", // array
  "030794c1-ac77-496b-92df-f27374a8bd58", // asset
  "e48ece36-62e2-4504-bad9-02848725956a", // archive
  "dd056dcd-154b-4c76-9bd3-c8f88648b5ff", // object
]);

/** A value that is encrypted in the state and hidden in output. */
export class Secret {
  readonly value: Value;
  constructor(value: Value) {
    this.value = value;
  }
}

/** A value that is known only after the update. The only instance is {@link unknown}. */
export class Unknown {
  readonly unknown = true;
}
export const unknown: Unknown = new Unknown();

/** A file, text or archive. For diffs and old state the engine sends only the hash. */
export class Asset {
  readonly kind: "asset" | "archive";
  readonly hash: string | undefined;
  readonly path: string | undefined;
  readonly text: string | undefined;
  readonly uri: string | undefined;
  /** The members of an archive made of assets. */
  readonly assets: Props | undefined;
  constructor(
    kind: "asset" | "archive",
    parts: { [K in "hash" | "path" | "text" | "uri"]?: string } & { assets?: Props },
  ) {
    this.kind = kind;
    this.hash = parts.hash;
    this.path = parts.path;
    this.text = parts.text;
    this.uri = parts.uri;
    this.assets = parts.assets;
  }
}

export type Value = null | boolean | number | string | Value[] | Props | Secret | Unknown | Asset;
/** The properties of a resource. `undefined` and absent are the same. */
export interface Props {
  [key: string]: Value | undefined;
}

/** True for a plain object, not for secrets, assets, unknowns, lists or null. */
export function isProps(value: unknown): value is Props {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function optionalString(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function fromPlain(value: unknown): Value {
  if (typeof value === "string") return unknownSentinels.has(value) ? unknown : value;
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean" || typeof value === "number") return value;
  if (Array.isArray(value)) return value.map(fromPlain);
  const object = Object.fromEntries(Object.entries(value));
  switch (object[signatureKey]) {
    case undefined:
      return propsFromPlain(object);
    case secretSignature:
      return new Secret(fromPlain(object.value));
    case assetSignature:
    case archiveSignature: {
      const assets = object.assets === undefined ? undefined : fromPlain(object.assets);
      return new Asset(object[signatureKey] === assetSignature ? "asset" : "archive", {
        hash: optionalString(object.hash),
        path: optionalString(object.path),
        text: typeof object.text === "string" && !object.path && !object.uri ? object.text : undefined,
        uri: optionalString(object.uri),
        assets: isProps(assets) ? assets : undefined,
      });
    }
    case referenceSignature:
      // A custom resource is represented by its id, a component by its URN.
      return fromPlain(object.id ?? object.urn);
    case outputSignature: {
      const inner = "value" in object ? fromPlain(object.value) : unknown;
      return object.secret === true ? new Secret(inner) : inner;
    }
    default:
      throw new Error(
        `a property carries the signature ${String(object[signatureKey])}, which this plugin does not know`,
      );
  }
}

/** Null members are dropped: Pulumi treats null as absent. */
function propsFromPlain(object: Record<string, unknown>): Props {
  const props: Props = {};
  for (const [key, value] of Object.entries(object)) {
    const converted = fromPlain(value);
    if (converted !== null) props[key] = converted;
  }
  return props;
}

type Plain = structPb.JavaScriptValue;

function toPlain(value: Value): Plain {
  if (value instanceof Unknown) return unknownString;
  if (value instanceof Secret) return { [signatureKey]: secretSignature, value: toPlain(value.value) };
  if (value instanceof Asset) {
    const plain: { [key: string]: Plain } = {
      [signatureKey]: value.kind === "asset" ? assetSignature : archiveSignature,
    };
    for (const key of ["hash", "path", "text", "uri"] as const) if (value[key] !== undefined) plain[key] = value[key];
    if (value.assets) plain.assets = propsToPlain(value.assets);
    return plain;
  }
  if (Array.isArray(value)) return value.map(toPlain);
  return isProps(value) ? propsToPlain(value) : (value as Plain);
}

function propsToPlain(props: Props): { [key: string]: Plain } {
  const plain: { [key: string]: Plain } = {};
  for (const [key, value] of Object.entries(props)) if (value !== undefined) plain[key] = toPlain(value);
  return plain;
}

/** Reads a message's properties; an absent message has no properties. */
export function decode(struct: structPb.Struct | undefined): Props {
  return struct ? propsFromPlain(struct.toJavaScript()) : {};
}

/** Makes a message of properties. */
export function encode(props: Props): structPb.Struct {
  return structPb.Struct.fromJavaScript(propsToPlain(props));
}

/** The value without secret marks at any depth. */
export function reveal(value: Props): Props;
export function reveal(value: Value): Value;
export function reveal(value: Value): Value {
  if (value instanceof Secret) return reveal(value.value);
  if (Array.isArray(value)) return value.map((item) => reveal(item));
  if (!isProps(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, item === undefined ? item : reveal(item)]),
  );
}

function contains(value: Value | undefined, wanted: typeof Secret | typeof Unknown): boolean {
  if (value instanceof wanted) return true;
  if (value instanceof Secret) return contains(value.value, wanted);
  if (Array.isArray(value)) return value.some((item) => contains(item, wanted));
  return isProps(value) && Object.values(value).some((item) => contains(item, wanted));
}

/** True if the value contains a secret. */
export const hasSecret = (value: Value | undefined): boolean => contains(value, Secret);
/** True if the value contains an unknown. */
export const hasUnknown = (value: Value | undefined): boolean => contains(value, Unknown);

/** Compares revealed values; assets by their hash when both have one. Unknown equals nothing. */
export function equal(a: Value | undefined, b: Value | undefined): boolean {
  if (a instanceof Unknown || b instanceof Unknown) return false;
  if (a instanceof Secret) return equal(a.value, b);
  if (b instanceof Secret) return equal(a, b.value);
  if (a instanceof Asset || b instanceof Asset) {
    if (!(a instanceof Asset && b instanceof Asset) || a.kind !== b.kind) return false;
    if (a.hash && b.hash) return a.hash === b.hash;
    return a.path === b.path && a.text === b.text && a.uri === b.uri && equal(a.assets ?? null, b.assets ?? null);
  }
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (isProps(a) && isProps(b)) {
    return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => equal(a[key], b[key]));
  }
  return (a ?? null) === (b ?? null);
}

/**
 * Marks secrets in a provider's plain values: a property named in `secrets`, or one whose counterpart in
 * `origin` held a secret (kept if the value did not change).
 */
export function protect(props: Props, secrets: readonly string[], origin: Props = {}): Props {
  const marked: Props = {};
  for (const [key, value] of Object.entries(props)) {
    if (value === undefined) continue;
    const before = origin[key];
    if (secrets.includes(key)) marked[key] = value instanceof Secret ? value : new Secret(value);
    else if (hasSecret(before)) marked[key] = equal(before, value) ? before : new Secret(value);
    else marked[key] = value;
  }
  return marked;
}
