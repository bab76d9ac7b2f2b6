/** @param stdout of `curl -w '\n%{http_code}'` @returns the body, and the status of the last line: 000 without an answer */
export function splitStatus(stdout: string): { body: string; status: string } {
  const at = stdout.lastIndexOf("\n");
  return { body: stdout.slice(0, at), status: stdout.slice(at + 1) };
}
