/** Network errors in the format of Go's HTTP client, which the official plugins print. */

/** @returns e.g. `Post "https://cloud.mongodb.com/api/…": dial tcp: lookup cloud.mongodb.com: no such host` */
export function networkError(method: string, url: URL, error: unknown): string {
  const verb = `${method[0]?.toUpperCase() ?? ""}${method.slice(1).toLowerCase()}`;
  return `${verb} "${url.href}": ${reason(url, deepest(error))}`;
}

/** Node wraps the socket's error, sometimes more than once. */
function deepest(error: unknown): unknown {
  return error instanceof Error && error.cause !== undefined ? deepest(error.cause) : error;
}

function reason(url: URL, error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { code, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  switch (code ?? "") {
    case "ENOTFOUND":
      return `dial tcp: lookup ${url.hostname}: no such host`;
    case "EAI_AGAIN":
      return `dial tcp: lookup ${url.hostname}: Temporary failure in name resolution`;
    case "ECONNREFUSED":
      return `dial tcp ${address ?? url.hostname}:${port ?? url.port}: connect: connection refused`;
    case "ECONNRESET":
    case "UND_ERR_SOCKET":
      return "EOF";
    default:
      return error.message;
  }
}
