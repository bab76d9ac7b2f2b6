/** The definition of a provider plugin; `server.ts` implements the protocol. */
import type { Failure, Fields } from "./fields.ts";
import type { Props } from "./values.ts";

/** Severity of a line in the engine's log. */
export type Severity = "debug" | "info" | "warning" | "error";

/** One running call of the engine. */
export interface Call<Client> {
  /** The result of `configure`. */
  client: Client;
  /** The resource's URN; empty in a function. */
  urn: string;
  /** Fires when the engine cancels the update or this call. */
  signal: AbortSignal;
  /** Logs a line under this resource in the engine's log. Never fails; `ephemeral` shows it only while the update runs. */
  log(severity: Severity, message: string, ephemeral?: boolean): void;
}

/** A resource as read from the API. */
export interface Found {
  /** Differs from the requested id only when importing. */
  id?: string;
  state: Props;
  /** The inputs that correspond to this resource; differences from the program's are drift. */
  inputs: Props;
}

/**
 * One resource type. All properties are plain (no secret marks): the server removes the marks before a call and restores
 * them on its result. Every method may throw; the message is shown unchanged.
 */
export interface ResourceDefinition<Client> {
  /** E.g. `cloudflare:index/dnsRecord:DnsRecord`. */
  token: string;
  inputs: Fields;
  /** Names of outputs that are not inputs; unknown in the preview of a creation. */
  outputs: readonly string[];
  /** Outputs that are always secret. */
  secretOutputs?: readonly string[];
  /** Outputs that no update changes. */
  stables?: readonly string[];
  /**
   * The inputs with the provider's planned values for missing ones (Terraform's defaults): removing such an input changes
   * it back to the default. @default the inputs unchanged
   */
  planned?(inputs: Props): Props;
  /** Inputs whose planned value counts even when the state has none, as after an import. */
  plannedWithoutState?: readonly string[];
  /** Checks beyond the field table; runs after the table's check, on inputs that may contain unknowns. */
  check?(inputs: Props): Failure[];
  /** Outputs that an update from `olds` (state) to `news` (inputs) makes unknown in a preview. */
  changing?(olds: Props, news: Props): readonly string[];
  /** Creates the resource. A failure after it exists must be a {@link PartialFailure}. */
  create(call: Call<Client>, inputs: Props): Promise<{ id: string; state: Props }>;
  /**
   * Undefined: the resource is gone. Without this method the state is assumed to be true. `inputs` is undefined when
   * importing.
   */
  read?(call: Call<Client>, id: string, state: Props, inputs: Props | undefined): Promise<Found | undefined>;
  /** Without this method every change must replace. */
  update?(call: Call<Client>, id: string, olds: Props, news: Props): Promise<Props>;
  /** Succeeds when it is gone already. */
  delete?(call: Call<Client>, id: string, state: Props): Promise<void>;
}

/** A function (`getX`). Properties as in {@link ResourceDefinition}. */
export interface FunctionDefinition<Client> {
  token: string;
  inputs: Fields;
  secretOutputs?: readonly string[];
  invoke(call: Call<Client>, inputs: Props): Promise<Props>;
}

/** A whole provider. */
export interface ProviderDefinition<Client> {
  /** The package's name, e.g. `cloudflare`. */
  name: string;
  /** The version of the emulated official plugin, without `v`. */
  version: string;
  config: Fields;
  /** Checks of the configuration beyond the field table. `config` is without secret marks. */
  checkConfig?(config: Props): Failure[];
  /**
   * Called once, before anything else; throws when credentials are missing. `config` holds the program's values.
   * @param log sends a line to the engine's log
   */
  configure(config: Props, log: Call<Client>["log"]): Client | Promise<Client>;
  resources: readonly ResourceDefinition<Client>[];
  functions: readonly FunctionDefinition<Client>[];
}

/**
 * The object exists, but not as requested: the engine keeps the state, reports the failure, and updates it the next time.
 */
export class PartialFailure extends Error {
  readonly id: string;
  readonly state: Props;
  constructor(message: string, id: string, state: Props, options?: ErrorOptions) {
    super(message, options);
    this.name = "PartialFailure";
    this.id = id;
    this.state = state;
  }
}
