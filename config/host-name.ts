const label = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** @returns whether `text` is one label of a DNS name, in lower case (RFC 1035 §2.3.1, RFC 5890 for `xn--`) */
export const isDnsLabel = (text: string): boolean => label.test(text);

/** @returns whether `name` is a lower-case DNS name of at least three labels */
export function isHostname(name: string): boolean {
  const labels = name.split(".");
  return name.length <= 253 && labels.length >= 3 && labels.every(isDnsLabel);
}

/** @returns the name and the names above it, without the top-level domain: the zones that could hold it, the longest first */
export function zonesAbove(name: string): string[] {
  const labels = name.split(".");
  return labels.slice(0, -1).map((_, index) => labels.slice(index).join("."));
}
