/** `route.direct` of the stack config: servers that the Mac connects to by SSH, so their calls do not cross Cloudflare. */
import { isIPv4 } from "node:net";
import { z } from "zod";
import { evenIfEntriesInvalid, hostName, resourceName, withMessage } from "./rule-helpers.ts";

/** Account names that useradd(8) accepts on every distribution. */
const accountName = /^[a-z_][a-z0-9_-]{0,30}$/;
/** Types of host keys that every OpenSSH has; RSA keys are long and have signature variants. */
const hostKeyTypes: ReadonlySet<string> = new Set(["ssh-ed25519", "ecdsa-sha2-nistp256"]);
/** Ports below belong to root, and sshd binds a forwarded port as the account. */
const lowestPort = 1024;

const hostKeyHelp =
  "run `cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub` on that server and copy the line `ssh-ed25519 AAAA…`";

/** @returns why the text is not a host key that can be pinned; undefined if it is one */
export function hostKeyProblem(line: string): string | undefined {
  const [type = "", base64 = "", ...rest] = line.trim().split(/\s+/);
  if (type === "ssh-rsa") return `is an RSA key: pin the server's ed25519 key instead; ${hostKeyHelp}`;
  if (!hostKeyTypes.has(type) || rest.length > 1) return `is not a public host key: ${hostKeyHelp}`;
  const bytes = Buffer.from(base64, "base64");
  const isWhole = bytes.length > 4 && bytes.toString("base64") === base64;
  const named = isWhole ? bytes.subarray(4, 4 + bytes.readUInt32BE(0)).toString("latin1") : "";
  if (named !== type) return `is cut off or damaged: ${hostKeyHelp}`;
  if (type === "ssh-ed25519" && bytes.length !== 51) return `is cut off or damaged: ${hostKeyHelp}`;
  return undefined;
}

/** Address and port where the server's callers connect. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
}

/** @param text `127.0.0.1:18400`. @returns its parts; undefined if it is not an IPv4 address with a port */
export function parseListen(text: string): ListenAddress | undefined {
  const [, address = "", digits = ""] = /^([^:]+):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  return isIPv4(address) && port >= 1 && port <= 65_535 ? { address, port } : undefined;
}

/** @returns whether only the server itself can connect to the address */
export const isLoopback = (address: string): boolean => address.startsWith("127.");

/** Addresses of a machine's own bridges (RFC 1918): containers on that server reach them. */
const isPrivate = (address: string): boolean => /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address);

function listenProblem(text: string): string | undefined {
  const listen = parseListen(text);
  if (listen === undefined) return "is not an IPv4 address with a port: write e.g. 127.0.0.1:18400";
  if (listen.port < lowestPort) return `has a port below ${lowestPort}, which only root may bind: use e.g. 18400`;
  if (isLoopback(listen.address) || isPrivate(listen.address)) return undefined;
  return "would be open to other machines: use 127.0.0.1, or the address of the server's container bridge, e.g. 172.17.0.1 (docs/direct.md)";
}

const directRouteSchema = z
  .object({
    server: z
      .string(withMessage("is missing: the name in access.servers of the server that calls on this line"))
      .regex(resourceName, withMessage("is not a name in access.servers")),
    host: z
      .string(withMessage("is missing: the server's DNS name or IP address, as the Mac reaches it by SSH"))
      .regex(hostName, withMessage("is not a DNS name or IP address, e.g. backend.example.com")),
    port: z
      .int(withMessage("is not a port (1 to 65535)"))
      .min(1, withMessage("is not a port (1 to 65535)"))
      .max(65_535, withMessage("is not a port (1 to 65535)"))
      .default(22),
    user: z
      .string()
      .regex(accountName, withMessage("is not an account name: lower-case letters, digits, - and _"))
      .refine((user) => user !== "root", withMessage("must not be root: the line needs an account without any rights"))
      .default("slm-direct"),
    hostKey: z
      .string(withMessage(`is missing: without it another machine could pose as the server; ${hostKeyHelp}`))
      .refine((line) => hostKeyProblem(line) === undefined, {
        error: ({ input }) => hostKeyProblem(String(input)) ?? "",
      }),
    listen: z
      .string(withMessage("is not text: write e.g. 127.0.0.1:18400"))
      .refine((text) => listenProblem(text) === undefined, { error: ({ input }) => listenProblem(String(input)) ?? "" })
      .default("127.0.0.1:18400"),
  })
  .strict();

/** An entry of `route.direct`. */
export type DirectRouteConfig = z.infer<typeof directRouteSchema>;

/** Most lines of one stack: each has a port on the Mac and a process. */
const mostLines = 32;

/** `route.direct` of the stack config. */
export const directRoutesSchema = z
  .array(
    directRouteSchema,
    withMessage("must be a list, e.g. [{ server: backend, host: backend.example.com, hostKey: … }]"),
  )
  .max(mostLines, withMessage(`has more than ${mostLines} lines`))
  .default([])
  .refine((lines) => duplicates(lines).length === 0, {
    error: ({ input }) => duplicates(input).join("; "),
    when: evenIfEntriesInvalid,
  });

/** What the cross rules read; any field may be missing or wrong, and then has a message of its own. */
const looseLines = z.array(
  z.looseObject({
    server: z.string().optional(),
    host: z.string().optional(),
    listen: z.string().default("127.0.0.1:18400"),
  }),
);

function duplicates(input: unknown): string[] {
  const lines = looseLines.safeParse(input).data ?? [];
  const seen = new Map<string, number>();
  return lines.flatMap(({ server, host, listen }, index) => {
    const problems: string[] = [];
    const once = (key: string | undefined, text: (first: number) => string) => {
      if (key === undefined) return;
      const first = seen.get(key);
      if (first === undefined) seen.set(key, index);
      else problems.push(text(first));
    };
    once(
      server && `server ${server}`,
      (first) => `[${index}].server: ${server} has a line already ([${first}]); one line per server`,
    );
    once(
      host && `port ${host.toLowerCase()} ${listen}`,
      (first) => `[${index}].listen: ${listen} on ${host} is taken by [${first}]; give each line its own port`,
    );
    return problems;
  });
}

/** Ports on the Mac that lines use: consecutive, in the order of the list. */
export const directPort = (first: number, index: number): number => first + index;

const crossSchema = z.object({
  route: z.looseObject({ direct: looseLines }),
  access: z.looseObject({ servers: z.array(z.looseObject({ name: z.string() })) }).optional(),
  macs: z
    .array(
      z.looseObject({
        ports: z
          .looseObject({
            relay: z.int().default(8790),
            admin: z.int().default(8791),
            connector: z.int().default(8792),
            direct: z.int().default(8793),
          })
          .prefault({}),
      }),
    )
    .optional(),
});

/** @returns problems of `route.direct` with other sections of the config; checked even while parts of them are invalid */
export function directProblems(config: unknown): string[] {
  const read = crossSchema.safeParse(config).data;
  if (read === undefined) return [];
  const { direct } = read.route;
  const names = read.access?.servers.map(({ name }) => name);
  const problems = direct.flatMap(({ server }, index) =>
    server === undefined || names === undefined || names.includes(server)
      ? []
      : [`[${index}].server: ${server} is not in access.servers, which has ${names.join(", ") || "none"}`],
  );
  for (const { ports } of read.macs ?? []) {
    const { direct: first, ...others } = ports;
    for (const [index] of direct.entries()) {
      const port = directPort(first, index);
      const other = Object.entries(others).find(([, number]) => number === port);
      if (port > 65_535) problems.push(`[${index}] would get port ${port} on the Mac: lower macs[].ports.direct`);
      if (other)
        problems.push(
          `[${index}] gets port ${port} on the Mac, which is macs[].ports.${other[0]}: set macs[].ports.direct so that ${direct.length} ports from it are free`,
        );
    }
  }
  return problems;
}
