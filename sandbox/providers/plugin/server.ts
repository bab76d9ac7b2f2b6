/**
 * A Pulumi resource plugin: the protocol of `pulumi/provider.proto` over gRPC on 127.0.0.1, for a {@link
 * ProviderDefinition}. `lifecycle.ts` has the semantics of a resource's calls; this file the wire protocol.
 */
import { flushCompileCache } from "node:module";
import { type handleUnaryCall, Server, ServerCredentials, type sendUnaryData, status } from "@grpc/grpc-js";
import pluginPb from "@pulumi/pulumi/proto/plugin_pb.js";
import providerGrpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import { parseConfig } from "./configuration.ts";
import type { Call, ProviderDefinition } from "./definition.ts";
import { diff } from "./diff.ts";
import { type EngineLog, engineLog } from "./engine.ts";
import { check, type Failure } from "./fields.ts";
import { refused, toServiceError } from "./grpc-errors.ts";
import { createdPreview, diffResponse, readResource, updatedPreview } from "./lifecycle.ts";
import { decode, encode, protect, reveal } from "./values.ts";

const { DiffChanges } = providerPb.DiffResponse;

/** Sorted by property: the engine sends them in any order. */
function failureList(failures: Failure[]): providerPb.CheckFailure[] {
  const ordered = failures.toSorted((a, b) => (a.property < b.property ? -1 : a.property > b.property ? 1 : 0));
  return ordered.map(({ property, reason }) => {
    const failure = new providerPb.CheckFailure();
    return failure.setProperty(property).setReason(reason);
  });
}

/** A minimal schema: names and tokens, no types. */
function schemaOf<Client>(provider: ProviderDefinition<Client>): string {
  const tokens = (entries: readonly { token: string }[]) => Object.fromEntries(entries.map(({ token }) => [token, {}]));
  return JSON.stringify({
    name: provider.name,
    version: provider.version,
    meta: { moduleFormat: "(.*)(?:/[^/]*)" },
    resources: tokens(provider.resources),
    functions: tokens(provider.functions),
  });
}

/** The calls of the protocol for one provider. Exported for {@link runProvider}; not for use elsewhere. */
function service<Client>(provider: ProviderDefinition<Client>, log: EngineLog): providerGrpc.IResourceProviderServer {
  const running = new Set<AbortController>();
  let configured: { client: Client } | undefined;

  /** Runs `work` for each request. The caller and `Cancel` can cancel it, and its errors reach the engine. */
  function unary<Request, Response>(
    work: (request: Request, call: Omit<Call<Client>, "client">) => Promise<Response> | Response,
  ): handleUnaryCall<Request, Response> {
    return (grpcCall, callback: sendUnaryData<Response>) => {
      const controller = new AbortController();
      running.add(controller);
      grpcCall.on("cancelled", () => controller.abort(new Error("the engine gave this call up")));
      const request = grpcCall.request;
      const urn = hasUrn(request) ? request.getUrn() : "";
      const call = {
        urn,
        signal: controller.signal,
        log: (severity: Parameters<EngineLog["log"]>[0], message: string, ephemeral = false) =>
          log.log(severity, message, urn, ephemeral),
      };
      // The engine may drop lines after the response, so they are sent first.
      const settle = async () => {
        await log.flush();
        running.delete(controller);
      };
      Promise.resolve()
        .then(() => work(request, call))
        .then(
          (response) => settle().then(() => callback(null, response)),
          (error: unknown) => settle().then(() => callback(toServiceError(error, controller.signal))),
        )
        .catch((error: unknown) => process.stderr.write(`an answer could not be sent: ${String(error)}\n`));
    };
  }

  function withClient(call: Omit<Call<Client>, "client">): Call<Client> {
    if (!configured) throw refused(status.FAILED_PRECONDITION, `the provider ${provider.name} was not configured`);
    return { ...call, client: configured.client };
  }

  function resource(urn: string) {
    // urn:pulumi:stack::project::parent$type::name
    const token = urn.split("::")[2]?.split("$").at(-1) ?? "";
    const definition = provider.resources.find((candidate) => candidate.token === token);
    if (definition) return definition;
    const known = provider.resources.map((candidate) => candidate.token).join(", ");
    throw refused(
      status.INVALID_ARGUMENT,
      `${token} is not a resource of this ${provider.name} plugin, which has: ${known}`,
    );
  }

  const unimplemented = (method: string) => () => {
    throw refused(status.UNIMPLEMENTED, `${method} is not part of the ${provider.name} plugin`);
  };

  return {
    handshake: unary((request: providerPb.ProviderHandshakeRequest) => {
      if (request.getEngineAddress()) log.attach(request.getEngineAddress());
      const response = new providerPb.ProviderHandshakeResponse();
      return response.setAcceptSecrets(true).setAcceptResources(true).setAcceptOutputs(true);
    }),
    attach: unary((request: pluginPb.PluginAttach) => {
      log.attach(request.getAddress());
      return new emptyPb.Empty();
    }),
    getPluginInfo: unary(() => new pluginPb.PluginInfo().setVersion(provider.version)),
    getSchema: unary(() => new providerPb.GetSchemaResponse().setSchema(schemaOf(provider))),
    getMapping: unary(() => new providerPb.GetMappingResponse()),
    getMappings: unary(() => new providerPb.GetMappingsResponse()),
    parameterize: unary(unimplemented("Parameterize")),
    call: unary(unimplemented("Call")),
    construct: unary(unimplemented("Construct")),
    list: (stream) => {
      stream.emit("error", refused(status.UNIMPLEMENTED, `List is not part of the ${provider.name} plugin`));
    },
    cancel: unary(() => {
      for (const controller of running) controller.abort(new Error("the update was cancelled"));
      return new emptyPb.Empty();
    }),

    checkConfig: unary((request: providerPb.CheckRequest) => {
      const { failures } = parseConfig(provider.config, decode(request.getNews()), provider.checkConfig);
      return new providerPb.CheckResponse().setInputs(request.getNews()).setFailuresList(failureList(failures));
    }),
    diffConfig: unary((request: providerPb.DiffRequest) => {
      const olds = decode(request.hasOldInputs() ? request.getOldInputs() : request.getOlds());
      const changes = diff(provider.config, olds, decode(request.getNews()));
      const response = new providerPb.DiffResponse();
      response.setChanges(changes.size > 0 ? DiffChanges.DIFF_SOME : DiffChanges.DIFF_NONE);
      return response.setDiffsList([...new Set([...changes.values()].map(({ property }) => property))]);
    }),
    configure: unary(async (request: providerPb.ConfigureRequest, call) => {
      const { config, failures } = parseConfig(provider.config, decode(request.getArgs()), provider.checkConfig);
      if (failures.length > 0) {
        const faults = failures.map(({ property, reason }) => `${provider.name}:${property}: ${reason}`);
        throw refused(status.INVALID_ARGUMENT, faults.join("\n"));
      }
      configured = { client: await provider.configure(config, call.log) };
      const response = new providerPb.ConfigureResponse();
      response.setAcceptsecrets(true).setAcceptresources(true).setAcceptoutputs(true).setSupportspreview(true);
      return response;
    }),

    invoke: unary(async (request: providerPb.InvokeRequest, call) => {
      const definition = provider.functions.find(({ token }) => token === request.getTok());
      if (!definition) {
        throw refused(status.INVALID_ARGUMENT, `${request.getTok()} is not a function of the ${provider.name} plugin`);
      }
      const args = decode(request.getArgs());
      const response = new providerPb.InvokeResponse();
      const failures = check(definition.inputs, args);
      if (failures.length > 0) return response.setFailuresList(failureList(failures));
      const result = await definition.invoke(withClient(call), reveal(args));
      return response.setReturn(encode(protect(result, definition.secretOutputs ?? [], args)));
    }),

    check: unary((request: providerPb.CheckRequest) => {
      const definition = resource(request.getUrn());
      const news = decode(request.getNews());
      const failures = [...check(definition.inputs, news), ...(definition.check?.(reveal(news)) ?? [])];
      const secrets = Object.keys(definition.inputs).filter((key) => definition.inputs[key]?.secret);
      const response = new providerPb.CheckResponse().setFailuresList(failureList(failures));
      return response.setInputs(encode(protect(news, secrets, news)));
    }),
    diff: unary((request: providerPb.DiffRequest) => {
      const olds = decode(request.getOlds());
      const oldInputs = request.hasOldInputs() ? decode(request.getOldInputs()) : undefined;
      const ignored = request.getIgnorechangesList();
      return diffResponse(resource(request.getUrn()), olds, oldInputs, decode(request.getNews()), ignored);
    }),
    create: unary(async (request: providerPb.CreateRequest, call) => {
      const definition = resource(request.getUrn());
      const news = decode(request.getProperties());
      const response = new providerPb.CreateResponse();
      if (request.getPreview()) return response.setProperties(encode(createdPreview(definition, news)));
      const secrets = definition.secretOutputs ?? [];
      try {
        const { id, state } = await definition.create(withClient(call), reveal(news));
        return response.setId(id).setProperties(encode(protect(state, secrets, news)));
      } catch (error) {
        throw toServiceError(error, call.signal, { secrets, inputs: news });
      }
    }),
    read: unary(async (request: providerPb.ReadRequest, call) => {
      const inputs = request.hasInputs() ? decode(request.getInputs()) : undefined;
      const state = decode(request.getProperties());
      return readResource(resource(request.getUrn()), withClient(call), request.getId(), state, inputs);
    }),
    update: unary(async (request: providerPb.UpdateRequest, call) => {
      const definition = resource(request.getUrn());
      const [olds, news] = [decode(request.getOlds()), decode(request.getNews())];
      const response = new providerPb.UpdateResponse();
      if (request.getPreview()) {
        const planned = updatedPreview(definition, olds, news, request.getIgnorechangesList());
        return response.setProperties(encode(planned));
      }
      if (!definition.update) throw refused(status.INTERNAL, `${definition.token} cannot be updated, only replaced`);
      const secrets = definition.secretOutputs ?? [];
      const origin = { ...olds, ...news };
      try {
        const state = await definition.update(withClient(call), request.getId(), reveal(olds), reveal(news));
        return response.setProperties(encode(protect(state, secrets, origin)));
      } catch (error) {
        throw toServiceError(error, call.signal, { secrets, inputs: news, origin });
      }
    }),
    delete: unary(async (request: providerPb.DeleteRequest, call) => {
      const definition = resource(request.getUrn());
      await definition.delete?.(withClient(call), request.getId(), reveal(decode(request.getProperties())));
      return new emptyPb.Empty();
    }),
  };
}

function hasUrn(request: unknown): request is { getUrn(): string } {
  return typeof request === "object" && request !== null && "getUrn" in request && typeof request.getUrn === "function";
}

/**
 * Runs the plugin: listens on a free port of 127.0.0.1 and writes that port as the first line of standard output, as the
 * engine expects. The engine's address is the first argument, if there is one. Resolves when it listens; exits when the
 * engine that started it is gone.
 */
export async function runProvider<Client>(provider: ProviderDefinition<Client>): Promise<void> {
  const log = engineLog();
  const address = process.argv[2];
  if (address) log.attach(address);
  const unlimited = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
  const server = new Server(unlimited);
  server.addService(providerGrpc.ResourceProviderService, service(provider, log));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  process.stdout.write(`${port}\n`);
  flushCompileCache(); // the engine kills its plugins: at their end nothing would be written
  // A killed engine cannot stop its plugins.
  const parent = process.ppid;
  setInterval(() => process.ppid === parent || process.exit(0), 1000).unref();
}
