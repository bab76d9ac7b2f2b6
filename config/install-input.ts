import * as pulumi from "@pulumi/pulumi";
import type { TokenInfo } from "../runtime/config.ts";
import type { DirectCredentials, DirectLine } from "../runtime/direct-config.ts";
import type { InstallInput } from "../runtime/install-input-schema.ts";
import { isCloudModel, modelServer } from "../runtime/model-servers.ts";
import type { StackConfig } from "./config.ts";
import { parseOtlpHeaders } from "./telemetry.ts";

/** As cloudflared writes them. */
const EDGE_IP_VERSIONS = { 4: "4", 6: "6", auto: "auto" } as const;

/** Seconds that running requests may go on when the relay is stopped; launchd waits a little longer. */
const graceSeconds = 30;

/** What is known only once the other components are there. */
export interface InstallInputArgs {
  readonly config: StackConfig;
  /** `<team>.cloudflareaccess.com` */
  readonly teamDomain: pulumi.Input<string>;
  readonly audiences: {
    readonly servers: pulumi.Input<string>;
    readonly people: pulumi.Input<string>;
    /** Absent without scrapers. */
    readonly metrics?: pulumi.Input<string> | undefined;
  };
  /** Client ids by the name of the server or the scraper. */
  readonly clientIds: ReadonlyMap<string, pulumi.Input<string>>;
  /** When each token's own life ends (RFC 3339), by the server's name. */
  readonly endOfLife?: ReadonlyMap<string, pulumi.Input<string>> | undefined;
  /** A secret. */
  readonly connectorToken: pulumi.Input<string>;
  /** Connection string of the relay's user, a secret; absent with the embedded store. */
  readonly mongodbUri?: pulumi.Input<string> | undefined;
  /** Key of the fallback server, a secret; absent without one. */
  readonly fallbackKey?: pulumi.Input<string | undefined> | undefined;
  /** Key of the model server, a secret; absent when it wants none. */
  readonly modelKey?: pulumi.Input<string | undefined> | undefined;
  /** Headers for the collector of traces, a secret; absent when it wants none. */
  readonly otlpHeaders?: pulumi.Input<string | undefined> | undefined;
  /** Direct lines, and the newest credential of each server, a secret; absent without lines. */
  readonly direct?:
    | { readonly lines: readonly DirectLine[]; readonly credentials: pulumi.Input<DirectCredentials> }
    | undefined;
}

/** @returns the installer's input, in the form `runtime/install-input-schema.ts` describes */
export function installInput(args: InstallInputArgs): pulumi.Output<InstallInput> {
  const { config } = args;
  const [mac] = config.macs;
  const { service, ...model } = config.model;
  const { mayStayOff: _, ...ups } = mac!.power.ups ?? {};
  const { store, ttlDays, atlas, embedding, chunk, maxDiskMiB, tokensPerCompanyPerDay } = config.documents;
  // An optional field of the relay that is forgotten here does not compile.
  const documents = { store, ttlDays, embedding, chunk, maxDiskMiB, tokensPerCompanyPerDay } satisfies Readonly<
    Record<Exclude<keyof InstallInput["relay"]["documents"], "database" | "collection">, unknown>
  >;
  return pulumi
    .all([
      args.teamDomain,
      args.audiences.servers,
      args.audiences.people,
      pulumi.all(Object.fromEntries(args.clientIds)),
      args.connectorToken,
      args.mongodbUri,
      // `all` has types for eight values at most.
      pulumi.all([args.fallbackKey, args.modelKey, args.otlpHeaders]),
      pulumi.all([
        args.direct?.credentials,
        args.audiences.metrics,
        pulumi.all(Object.fromEntries([...(args.endOfLife ?? [])].map(([server, end]) => [server, whenKnown(end)]))),
      ]),
    ])
    .apply(
      ([
        teamDomain,
        servers,
        people,
        clientIds,
        connectorToken,
        mongodbUri,
        [fallbackKey, modelKey, otlpHeaders],
        [directCredentials, metrics, endOfLife],
      ]) => ({
        relay: {
          port: mac!.ports.relay,
          adminPort: mac!.ports.admin,
          hostname: config.hostname,
          access: {
            teamDomain,
            audiences: { servers, people, ...(metrics !== undefined && { metrics }) },
            ...(config.access.people.operators.length > 0 && { operators: config.access.people.operators }),
          },
          callers: config.access.servers.map(({ name, companies, weight, enabled }) => ({
            name,
            clientId: clientIds[name] ?? "",
            companies,
            weight,
            enabled,
          })),
          ...(config.metrics.scrapers.length > 0 && {
            scrapers: config.metrics.scrapers.map(({ name, enabled }) => ({
              name,
              clientId: clientIds[name] ?? "",
              enabled,
            })),
          }),
          tokens: Object.fromEntries(
            [...config.access.servers, ...config.metrics.scrapers].map((server) => [
              server.name,
              tokenInfo(server, endOfLife),
            ]),
          ),
          ...(args.direct && {
            direct: {
              lines: args.direct.lines.map(({ server, relayPort }) => ({ server, port: relayPort })),
              ...(config.access.singleHeader && { singleHeader: config.access.singleHeader }),
            },
            directCredentials,
          }),
          model,
          ...(config.fallback && { fallback: config.fallback }),
          limits: config.limits,
          jobs: config.jobs,
          usage: config.usage,
          documents: {
            ...documents,
            ...(store === "atlas" && atlas && { database: atlas.database, collection: atlas.collection }),
          },
          ...(config.telemetry.otlp && { telemetry: { otlp: config.telemetry.otlp } }),
          ...(config.alerts.webhooks.length > 0 && { alerts: relayAlerts(config.alerts) }),
          graceSeconds,
        },
        secrets: {
          ...(mongodbUri !== undefined && { mongodbUri }),
          ...(fallbackKey !== undefined && { fallbackKey }),
          ...(modelKey !== undefined && { modelKey }),
          ...(otlpHeaders !== undefined && { otlpHeaders: parseOtlpHeaders(otlpHeaders) }),
          ...(config.alerts.webhooks.length > 0 && {
            alertWebhooks: config.alerts.webhooks.map(({ url, secret }) => ({
              url,
              ...(secret !== undefined && { secret }),
            })),
          }),
        },
        connectorToken,
        connectorPort: mac!.ports.connector,
        ...(mac!.edgeIpVersion !== undefined && { edgeIpVersion: EDGE_IP_VERSIONS[mac!.edgeIpVersion] }),
        cloudflared: { ...config.artifacts.cloudflared, ...(config.artifacts.push && { uploaded: true }) },
        power: { set: mac!.power.set, ...(mac!.power.ups && { ups }) },
        ...(service && { modelService: withoutCloud(service, config.model) }),
        ...(args.direct && { direct: [...args.direct.lines] }),
      }),
    );
}

/** The relay's part of the alerts; addresses and keys of the webhooks are among its secrets. */
function relayAlerts({
  emails: _,
  webhooks,
  ...thresholds
}: StackConfig["alerts"]): NonNullable<InstallInput["relay"]["alerts"]> {
  return {
    thresholds,
    webhooks: webhooks.map(({ format, language, events }) => ({ format, language, ...(events && { events }) })),
  };
}

/**
 * @returns the value, or undefined in a preview that does not know it. Cloudflare's provider knows a token's end for no update
 * before it is made; an unknown part would make all of the Mac's input unknown, and a rotation would show it as an update.
 */
function whenKnown<T>(value: pulumi.Input<T>): pulumi.Output<T | undefined> {
  const output = pulumi.output(value);
  // Not in the SDK's types, but a part of each output. Source: sdk/nodejs/output.ts
  const { isKnown } = output as unknown as { readonly isKnown: Promise<boolean> };
  return pulumi.output(
    isKnown.then((known): pulumi.Output<T> | undefined => (known ? (output as pulumi.Output<T>) : undefined)),
  ) as pulumi.Output<T | undefined>;
}

/** What the status page shows of a token, of a server's or a scraper's. */
function tokenInfo(
  { name, duration }: StackConfig["metrics"]["scrapers"][number],
  endOfLife: Readonly<Record<string, string | undefined>>,
): TokenInfo {
  const expiresAt = endOfLife[name];
  return {
    ...(expiresAt && duration !== "forever" && { expiresAt }),
    ...(duration !== "forever" && { duration }),
  };
}

/** A model server's cloud is off unless the config names one of its models: nothing is to leave the Mac unnoticed. */
function withoutCloud(
  service: NonNullable<StackConfig["model"]["service"]>,
  { kind, allowed = [] }: StackConfig["model"],
): NonNullable<InstallInput["modelService"]> {
  if (allowed.some(isCloudModel)) return service;
  return { ...service, env: { ...modelServer(kind).withoutCloudEnv, ...service.env } };
}
