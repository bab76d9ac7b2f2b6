/** Runs a provider plugin as the engine does: a process of its own, spoken to over gRPC, with an engine that keeps its log. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { credentials, type Metadata, Server, ServerCredentials, type ServiceError } from "@grpc/grpc-js";
import engineGrpc from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import statusPb from "@pulumi/pulumi/proto/status_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import { withoutStrays } from "../../../sandbox/providers/environment.ts";
import { decode, encode, type Props, reveal } from "../../../sandbox/providers/plugin/values.ts";
import { executablesOnPath } from "../../../sandbox/tools/on-path.ts";

/** A call's answer, or its error. */
function ask<Response>(
  call: (done: (error: ServiceError | null, response: Response) => void) => unknown,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    call((error, response) => (error ? reject(error) : resolve(response)));
  });
}

export interface Diff {
  changes: boolean;
  replaces: string[];
  deletesFirst: boolean;
  detailed: Record<string, string>;
}

/** The answer to Read. */
export interface ReadAnswer {
  id: string;
  state: Props;
  inputs: Props;
}

/** Names of `PropertyDiff.Kind`, in order. */
const kinds = ["add", "add-replace", "delete", "delete-replace", "update", "update-replace"];

export class Plugin {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly client: providerGrpc.ResourceProviderClient;
  /** Lines the plugin sent to the engine, as `severity: message`. */
  readonly log: string[];
  readonly #engine: Server;
  readonly name: string;

  constructor(
    name: string,
    process: ChildProcessByStdio<null, Readable, Readable>,
    client: providerGrpc.ResourceProviderClient,
    log: string[],
    engine: Server,
  ) {
    this.name = name;
    this.process = process;
    this.client = client;
    this.log = log;
    this.#engine = engine;
  }

  configure(config: Props): Promise<providerPb.ConfigureResponse> {
    const request = new providerPb.ConfigureRequest().setArgs(encode(config)).setAcceptsecrets(true);
    // The bridge's plugins read the variables: every value as text, JSON for other types.
    for (const [key, value] of Object.entries(reveal(config))) {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      request.getVariablesMap().set(`${this.name}:config:${key}`, text);
    }
    return ask<providerPb.ConfigureResponse>((done) => this.client.configure(request, done));
  }

  async checkConfig(config: Props): Promise<string[]> {
    const request = new providerPb.CheckRequest()
      .setUrn("urn:pulumi:s::p::pulumi:providers:x::x")
      .setNews(encode(config));
    const response = await ask<providerPb.CheckResponse>((done) => this.client.checkConfig(request, done));
    return response.getFailuresList().map((failure) => `${failure.getProperty()}: ${failure.getReason()}`);
  }

  async check(token: string, news: Props): Promise<{ inputs: Props; failures: string[] }> {
    const request = new providerPb.CheckRequest().setUrn(urn(token)).setNews(encode(news));
    const response = await ask<providerPb.CheckResponse>((done) => this.client.check(request, done));
    const failures = response.getFailuresList().map((failure) => `${failure.getProperty()}: ${failure.getReason()}`);
    return { inputs: decode(response.getInputs()), failures };
  }

  async diff(token: string, id: string, state: Props, oldInputs: Props, news: Props): Promise<Diff> {
    const request = new providerPb.DiffRequest().setUrn(urn(token)).setId(id);
    request.setOlds(encode(state)).setOldInputs(encode(oldInputs)).setNews(encode(news));
    const response = await ask<providerPb.DiffResponse>((done) => this.client.diff(request, done));
    const detailed: Record<string, string> = {};
    for (const [path, change] of response.getDetaileddiffMap().entries())
      detailed[path] = kinds[change.getKind()] ?? "?";
    const changes = response.getChanges() === providerPb.DiffResponse.DiffChanges.DIFF_SOME;
    return { changes, replaces: response.getReplacesList(), deletesFirst: response.getDeletebeforereplace(), detailed };
  }

  async create(token: string, inputs: Props, preview = false): Promise<{ id: string; state: Props }> {
    const request = new providerPb.CreateRequest().setUrn(urn(token)).setProperties(encode(inputs)).setPreview(preview);
    const response = await ask<providerPb.CreateResponse>((done) => this.client.create(request, done));
    return { id: response.getId(), state: decode(response.getProperties()) };
  }

  /** `inputs` undefined: an import. */
  async read(token: string, id: string, state: Props = {}, inputs?: Props): Promise<ReadAnswer> {
    const request = new providerPb.ReadRequest().setUrn(urn(token)).setId(id).setProperties(encode(state));
    if (inputs) request.setInputs(encode(inputs));
    const response = await ask<providerPb.ReadResponse>((done) => this.client.read(request, done));
    return { id: response.getId(), state: decode(response.getProperties()), inputs: decode(response.getInputs()) };
  }

  async update(token: string, id: string, olds: Props, oldInputs: Props, news: Props, preview = false): Promise<Props> {
    const request = new providerPb.UpdateRequest().setUrn(urn(token)).setId(id).setOlds(encode(olds));
    request.setOldInputs(encode(oldInputs)).setNews(encode(news)).setPreview(preview);
    return decode((await ask<providerPb.UpdateResponse>((done) => this.client.update(request, done))).getProperties());
  }

  async delete(token: string, id: string, state: Props): Promise<void> {
    const request = new providerPb.DeleteRequest().setUrn(urn(token)).setId(id).setProperties(encode(state));
    await ask<emptyPb.Empty>((done) => this.client.delete(request, done));
  }

  async invoke(token: string, args: Props): Promise<{ result: Props; failures: string[] }> {
    const request = new providerPb.InvokeRequest().setTok(token).setArgs(encode(args));
    const response = await ask<providerPb.InvokeResponse>((done) => this.client.invoke(request, done));
    const failures = response.getFailuresList().map((failure) => `${failure.getProperty()}: ${failure.getReason()}`);
    return { result: decode(response.getReturn()), failures };
  }

  async cancel(): Promise<void> {
    await ask<emptyPb.Empty>((done) => this.client.cancel(new emptyPb.Empty(), done));
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.process.once("exit", resolve));
    this.client.close();
    if (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill("SIGKILL");
      await gone;
    }
    this.#engine.forceShutdown();
  }
}

/** The URN of a test's only resource. */
export function urn(token: string): string {
  return `urn:pulumi:test::project::${token}::thing`;
}

/** Whether the tests run against the official plugins on PATH. */
export const isInstalled = process.env.SANDBOX_PROVIDERS === "installed";

/** The plugin's program: ours, or the official one on PATH with SANDBOX_PROVIDERS=installed. */
function programOf(name: string): string[] {
  if (!isInstalled) return [process.execPath, join(import.meta.dirname, `../../../sandbox/providers/${name}/main.ts`)];
  const [official] = executablesOnPath(`pulumi-resource-${name}`);
  if (!official) throw new Error(`SANDBOX_PROVIDERS=installed, and pulumi-resource-${name} is not on PATH`);
  return [official];
}

/** Starts a provider plugin with an engine that records its log. */
export async function startPlugin(name: string, env: Record<string, string | undefined> = {}): Promise<Plugin> {
  const log: string[] = [];
  const engine = new Server();
  engine.addService(engineGrpc.EngineService, {
    log: (
      call: { request: { getSeverity(): number; getMessage(): string } },
      done: (error: null, empty: emptyPb.Empty) => void,
    ) => {
      log.push(`${["debug", "info", "warning", "error"][call.request.getSeverity()]}: ${call.request.getMessage()}`);
      done(null, new emptyPb.Empty());
    },
  });
  const enginePort = await new Promise<number>((resolve, reject) => {
    engine.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
  const [command = "", ...args] = programOf(name);
  const child = spawn(command, [...args, `127.0.0.1:${enginePort}`], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...withoutStrays(process.env), SSH_AUTH_SOCK: undefined, ...env },
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const port = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\n")) resolve(text.slice(0, text.indexOf("\n")));
    });
    child.once("exit", (code) => reject(new Error(`the plugin ended with ${code}: ${errors}`)));
  });
  const client = new providerGrpc.ResourceProviderClient(`127.0.0.1:${port}`, credentials.createInsecure());
  return new Plugin(name, child, client, log, engine);
}

/** The `ErrorResourceInitFailed` in an error's details. @throws when there is none */
export function partialState(error: unknown): { id: string; state: Props; reasons: string[] } {
  const metadata = (error as { metadata?: Metadata }).metadata?.get("grpc-status-details-bin")[0];
  if (!(metadata instanceof Uint8Array)) throw new Error(`no details in ${String(error)}`);
  const [detail] = statusPb.Status.deserializeBinary(metadata).getDetailsList();
  const failed = detail?.unpack(
    providerPb.ErrorResourceInitFailed.deserializeBinary,
    "pulumirpc.ErrorResourceInitFailed",
  );
  if (!failed) throw new Error("the details are of another type");
  return { id: failed.getId(), state: decode(failed.getProperties()), reasons: failed.getReasonsList() };
}
