/** The sign-in pages' HTML: pure functions. */

function escaped(text: string): string {
  const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

const page = (title: string, content: string): string => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(title)}</title></head>
<body>
<h1>${escaped(title)}</h1>
${content}
<hr><p>The sandbox's emulation of Cloudflare Access.</p>
</body>
</html>
`;

const elsewhere = (methods: readonly string[]): string =>
  methods.length === 0
    ? ""
    : `\n<p>Also by ${escaped(methods.join(", "))}: outside the sandbox only, which does not emulate these.</p>`;

/**
 * The form for the email address, submitted to the page's own URL. @param others login methods besides the code by e-mail
 */
export const emailPage = (application: string, others: readonly string[] = []): string =>
  page(
    `Sign in to ${application}`,
    `<form method="post"><label>E-mail <input type="email" name="email" autocomplete="email" required autofocus></label> <button>Send me a code</button></form>${elsewhere(others)}`,
  );

/** The page without one-time PIN. @param others the available login methods */
export const noPinPage = (application: string, others: readonly string[]): string =>
  page(
    `Sign in to ${application}`,
    `<p>${others.length === 0 ? "There is no login method." : "There is no code by e-mail here."}</p>${elsewhere(others)}`,
  );

/** The form for the code. Identical whether or not a code was sent. */
export const codePage = (email: string, request: string, fault = ""): string =>
  page(
    "Enter the code",
    `${fault === "" ? "" : `<p role="alert">${escaped(fault)}</p>\n`}<p>If ${escaped(email)} may come in, a code has been sent there (in the sandbox: to its mail file).</p>
<form method="post" action="/cdn-cgi/access/verify"><input type="hidden" name="request" value="${escaped(request)}"><label>Code <input name="code" inputmode="numeric" autocomplete="one-time-code" required autofocus></label> <button>Sign in</button></form>`,
  );

/** The page for a sign-in that cannot continue. */
export const refusedPage = (reason: string): string => page("Not signed in", `<p>${escaped(reason)}</p>`);
