/** One new connection to a host, with the times of its parts. */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { Client } from "undici";

/** An address to connect to. */
export interface Address {
  readonly address: string;
  readonly family: 4 | 6;
}

/** What is requested over the connection. */
export interface Target {
  /** Scheme, host and port. */
  readonly origin: URL;
  /** A path that the relay answers; undefined for hosts that are only compared. */
  readonly path?: string | undefined;
  /** The service token's headers; not sent to any other host. */
  readonly headers: Readonly<Record<string, string>>;
  /** Limit for each part (connect, TLS, an answer's headers), in ms. */
  readonly timeoutMs: number;
}

/** Timing and headers of a response. */
export interface Answer {
  readonly status: number;
  /** From the request to the response headers, on the open connection. */
  readonly ms: number;
  /** Suffix of CF-Ray: where the request entered. https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-ray */
  readonly colo?: string | undefined;
  /** Value of `cf-mitigated`, e.g. `challenge`. https://developers.cloudflare.com/cloudflare-challenges/challenge-types/challenge-pages/detect-response/ */
  readonly mitigated?: string | undefined;
  /** Time in the relay and the model server, as the relay reports it (Server-Timing). */
  readonly relayMs?: number | undefined;
}

/** A successful connection. */
export interface Sample extends Address {
  readonly tcpMs: number;
  /** 0 for plain HTTP. */
  readonly tlsMs: number;
  /** `/cdn-cgi/trace`: the edge's own response. `colo` and `warp` only when there was one. */
  readonly trace: Answer & { readonly warp?: boolean | undefined };
  /** The response to `path`. */
  readonly request?: Answer | undefined;
}

/** A failed connection. */
export interface Failure extends Address {
  readonly at: "connect" | "tls" | "answer";
  readonly reason: string;
}

const first = (value: string | string[] | undefined): string | undefined => (Array.isArray(value) ? value[0] : value);

/** @returns the values of `/cdn-cgi/trace`, by name; empty when the text is something else */
export function readTrace(text: string): Record<string, string> {
  const pairs = text.split("\n").flatMap((line) => {
    const [name, value] = line.split(/=(.*)/s);
    return name && value !== undefined ? [[name, value.trim()] as const] : [];
  });
  const trace = Object.fromEntries(pairs);
  return /^[A-Z]{3}$/.test(trace.colo ?? "") ? trace : {};
}

/** @returns milliseconds of `relay;dur=…` in Server-Timing (https://www.w3.org/TR/server-timing/), if present */
export function relayTime(header: string | undefined): number | undefined {
  const found = /(?:^|,)\s*relay\s*;(?:[^,]*;)?\s*dur=([\d.]+)/.exec(header ?? "")?.[1];
  return found === undefined ? undefined : Number(found);
}

/** Resolves with the ms until the event. Rejects on "error" and on timeout. */
function timed(socket: Socket, event: string, timeoutMs: number): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.once(event, () => {
      clearTimeout(timer);
      resolve(performance.now() - started);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      reject(new Error(error.code ?? error.message));
    });
  });
}

/** Opens a new connection and measures it. Never rejects. */
export async function measure(to: Address, target: Target): Promise<Sample | Failure> {
  const { origin, timeoutMs, headers, path } = target;
  const host = origin.hostname.replace(/^\[|\]$/g, "");
  const secure = origin.protocol === "https:";
  const port = Number(origin.port || (secure ? 443 : 80));
  const tcp = connectTcp({ host: to.address, port, noDelay: true });
  let at: Failure["at"] = "connect";
  let client: Client | undefined;
  try {
    const tcpMs = await timed(tcp, "connect", timeoutMs);
    at = "tls";
    let socket = tcp;
    let tlsMs = 0;
    if (secure) {
      const name = isIP(host) ? {} : { servername: host };
      const wrapped = connectTls({ socket: tcp, ALPNProtocols: ["http/1.1"], ...name });
      tlsMs = await timed(wrapped, "secureConnect", timeoutMs);
      socket = wrapped;
    }
    at = "answer";
    let used = false;
    client = new Client(origin.origin, {
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      connect: (_options, done) => {
        const again = used;
        used = true;
        // undici does not expect the callback before its own call has returned.
        setImmediate(() => {
          if (again) done(new Error("the connection was closed between two requests"), null);
          else done(null, socket);
        });
      },
    });
    const trace = await answer(client, "/cdn-cgi/trace", headers, true);
    const request = path === undefined ? undefined : await answer(client, path, headers, false);
    return { ...to, tcpMs, tlsMs, trace, request };
  } catch (error) {
    return { ...to, at, reason: error instanceof Error ? error.message : String(error) };
  } finally {
    await client?.destroy();
    tcp.destroy();
  }
}

async function answer(
  client: Client,
  path: string,
  headers: Target["headers"],
  isTrace: boolean,
): Promise<Sample["trace"]> {
  const started = performance.now();
  const {
    statusCode,
    headers: got,
    body,
  } = await client.request({
    method: "GET",
    path,
    headers: { ...headers, "user-agent": "slm-network-probe" },
  });
  const ms = performance.now() - started;
  // Other bodies are discarded; they are read to the end so that the connection can be reused.
  const trace =
    isTrace && statusCode === 200 ? readTrace((await body.text()).slice(0, 4096)) : void (await body.dump());
  return {
    status: statusCode,
    ms,
    colo: trace?.colo ?? /-([A-Z]{3})$/.exec(first(got["cf-ray"]) ?? "")?.[1],
    mitigated: first(got["cf-mitigated"]),
    relayMs: relayTime(first(got["server-timing"])),
    ...(trace?.warp && { warp: trace.warp !== "off" }),
  };
}
