/** What a provider plugin is made of; `server.ts` speaks the protocol for it. */
import type { Failure, Fields } from "./fields.ts";
import type { Props } from "./values.ts";

/** How grave a line for the engine's log is. */
export type Severity = "debug" | "info" | "warning" | "error";

/** One running call of the engine. */
export interface Call<Client> {
  /** What `configure` made of the provider's configuration. */
  client: Client;
  /** The resource's URN; empty in a function. */
  urn: string;
  /** Fires when the engine cancels the update or this call. */
  signal: AbortSignal;
  /** A line for the engine's log, under this resource. Never fails; `ephemeral` shows it only while the update runs. */
  log(severity: Severity, message: string, ephemeral?: boolean): void;
}

/** A resource as found at the API. */
export interface Found {
  /** Differs from the asked id only when importing. */
  id?: string;
  state: Props;
  /** The inputs that would make this resource; differences from the program's are drift. */
  inputs: Props;
}

/**
 * One resource type. All properties are plain (no secret marks): the server takes the marks off before a call and puts them
 * back on what comes out. Every method may throw; the message goes to the person as it is.
 */
export interface ResourceDefinition<Client> {
  /** E.g. `cloudflare:index/dnsRecord:DnsRecord`. */
  token: string;
  inputs: Fields;
  /** Names of outputs that are not inputs; unknown in the preview of a creation. */
  outputs: readonly string[];
  /** Outputs that are secret whatever the program says. */
  secretOutputs?: readonly string[];
  /** Outputs no update ever changes. */
  stables?: readonly string[];
  /**
   * The inputs with what the provider plans for those that are not given (Terraform's defaults): to take such an input out is
   * a change back to it. @default the inputs as they are
   */
  planned?(inputs: Props): Props;
  /** Faults no field table can say; runs after the table's check, on inputs that may hold unknowns. */
  check?(inputs: Props): Failure[];
  /** Outputs that an update from `olds` (state) to `news` (inputs) makes unknown in a preview. */
  changing?(olds: Props, news: Props): readonly string[];
  /** Makes the resource. A failure after it exists must be a {@link PartialFailure}. */
  create(call: Call<Client>, inputs: Props): Promise<{ id: string; state: Props }>;
  /** Undefined: it is gone. Without this method the state is taken for true. `inputs` is undefined when importing. */
  read?(call: Call<Client>, id: string, state: Props, inputs: Props | undefined): Promise<Found | undefined>;
  /** Without this method every change must be of an input that replaces. */
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
  /** The version of the official plugin it stands in for, without `v`. */
  version: string;
  config: Fields;
  /** Faults of the configuration that no field table can say. `config` is without secret marks. */
  checkConfig?(config: Props): Failure[];
  /**
   * Called once, before anything else; throws when credentials are missing. `config` holds what the program gave.
   * @param log sends a line to the engine's log
   */
  configure(config: Props, log: Call<Client>["log"]): Client | Promise<Client>;
  resources: readonly ResourceDefinition<Client>[];
  functions: readonly FunctionDefinition<Client>[];
}

/** The object exists, but not as asked: the engine keeps the state, reports the failure, and updates it the next time. */
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
