/** The MongoDB error codes used by the sandbox's server. */
import type { Document } from "bson";

/** Names of the codes. Source: src/mongo/base/error_codes.yml of MongoDB 8; the ones not listed are called `Location<code>`. */
const CODE_NAMES: Readonly<Record<number, string>> = {
  2: "BadValue",
  9: "FailedToParse",
  11: "UserNotFound",
  13: "Unauthorized",
  14: "TypeMismatch",
  17: "ProtocolError",
  18: "AuthenticationFailed",
  20: "IllegalOperation",
  26: "NamespaceNotFound",
  27: "IndexNotFound",
  28: "PathNotViable",
  31: "RoleNotFound",
  40: "ConflictingUpdateOperators",
  43: "CursorNotFound",
  48: "NamespaceExists",
  52: "DollarPrefixedFieldName",
  53: "InvalidIdField",
  56: "EmptyFieldName",
  59: "CommandNotFound",
  66: "ImmutableField",
  67: "CannotCreateIndex",
  72: "InvalidOptions",
  73: "InvalidNamespace",
  85: "IndexOptionsConflict",
  86: "IndexKeySpecsConflict",
  100: "UnsatisfiableWriteConcern",
  168: "InvalidPipelineOperator",
  197: "InvalidIndexSpecificationOption",
  224: "QueryFeatureNotAllowed",
  238: "NotImplemented",
  322: "APIVersionError",
  334: "MechanismUnavailable",
  352: "UnsupportedOpQueryCommand",
  10334: "BSONObjectTooLarge",
  11000: "DuplicateKey",
  40414: "IDLFailedToParse",
  40415: "IDLUnknownField",
};

/** A command's error for the client. `extra` are further fields of the response (`keyPattern`, …). */
export class CommandError extends Error {
  readonly code: number;
  readonly extra: Document;

  constructor(code: number, message: string, extra: Document = {}) {
    super(message);
    this.code = code;
    this.extra = extra;
  }

  /** The whole answer: `{ok: 0, errmsg, code, codeName, …}`. */
  reply(): Document {
    const codeName = CODE_NAMES[this.code] ?? `Location${this.code}`;
    return { ok: 0, errmsg: this.message, code: this.code, codeName, ...this.extra };
  }

  /** The same as an entry of `writeErrors`, for the statement at `index`. */
  writeError(index: number): Document {
    return { index, code: this.code, errmsg: this.message, ...this.extra };
  }
}

/** The error for a real feature that the sandbox's server lacks: refused, never ignored. */
export function notImplemented(feature: string): CommandError {
  return new CommandError(
    238,
    `${feature} is not supported by the sandbox's own MongoDB server. Put a mongod on PATH, or set MONGODB_URI, to use a real one`,
  );
}
