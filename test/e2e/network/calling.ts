/** The README's callers, run as they are printed, through edge, Access, tunnel and relay. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { CLIENTS, snippetOf } from "../../../commands/callers/snippets.ts";
import { DIALECTS } from "../../../runtime/relay/dialects/dialects.ts";
import type { Ready } from "../../../sandbox/ready.ts";
import { printedFiles, runCaller, writeCallers } from "../callers.ts";
import { eventually, project, ready, sandbox, tokenHeaders } from "../harness.ts";

const pages = await Promise.all(["README.md", "docs/calling.md"].map((page) => readFile(join(project, page), "utf8")));
const files = new Map(pages.flatMap((page) => [...printedFiles(page)]));
let here: Ready;
let folder: string;

const environment = () => ({
  SLM_URL: here.url,
  SLM_MODEL: here.chatModel,
  SLM_EMBEDDING_MODEL: here.embeddingModel,
  SLM_CLIENT_ID: here.serviceTokens.backend?.clientId ?? "",
  SLM_CLIENT_SECRET: here.serviceTokens.backend?.clientSecret ?? "",
});

/** What each must print: the emulated model says back what it was asked. */
const expected: Record<string, (printed: string) => void> = {
  "models.sh": (printed) =>
    expect(JSON.parse(printed).data.map(({ id }: { id: string }) => id)).toContain(here.chatModel),
  "chat.sh": (printed) => {
    expect(printed).toMatch(/^data: /);
    expect(printed).toContain("data: [DONE]");
  },
  "with_openai.py": (printed) => expect(printed).toContain("계약서를 요약해 주세요."),
  "with_requests.py": (printed) => expect(printed.trim()).toBe("2"),
  "with_langchain.py": (printed) => expect(printed.trim()).toMatch(/계약서를 요약해 주세요\.[\s\S]*\n2$/),
  "with-openai.mjs": (printed) => expect(printed).toContain("계약서를 요약해 주세요."),
  "with_anthropic.py": (printed) => expect(printed.match(/계약서를 요약해 주세요\./g)).toHaveLength(2),
  "with-anthropic.mjs": (printed) => expect(printed.match(/계약서를 요약해 주세요\./g)).toHaveLength(2),
  "with-langchain.mjs": (printed) => expect(printed.trim()).toMatch(/계약서를 요약해 주세요\.[\s\S]*\n2$/),
  "Caller.java": (printed) => expect(printed).toContain("계약서를 요약해 주세요."),
};

const printed = CLIENTS.filter(
  ({ describedAt, path }) => describedAt === undefined && (path === undefined || served(path)),
);

/** Whether the relay knows the path: `/v1/messages` belongs to a dialect of its own. */
function served(path: string): boolean {
  return DIALECTS.some(({ routes }) => routes.some(({ name }) => name === path));
}

/** Which server answered, by the method of the page. */
async function answerTo(path: string, headers: Record<string, string>, method = "GET") {
  const response = await fetch(`${here.url}${path}`, { method, headers, redirect: "manual" });
  const byRelay = response.headers.has("x-slm-request-id");
  return {
    status: response.status,
    byRelay,
    viaCloudflare: response.headers.has("cf-ray"),
    text: await response.text(),
  };
}

/** Registers the tests of the callers. The Mac is off for a moment at their end. */
export function calling(): void {
  beforeAll(async () => {
    here = await ready();
    folder = await mkdtemp(join(tmpdir(), "slm-callers-"));
    await writeCallers(files, folder);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("prints the callers that are expected, and no other", () => {
    expect([...files.keys()].sort()).toEqual(Object.keys(expected).sort());
  });

  it("prints the same callers in Korean", async () => {
    const korean = printedFiles(await readFile(join(project, "README.ko.md"), "utf8"));
    expect(korean.size).toBeGreaterThan(3);
    for (const [file, text] of korean) expect(text, file).toBe(files.get(file));
  });

  it.each(Object.keys(expected))("%s is answered with the token, and fails without one", async (file) => {
    const ran = await runCaller(folder, file, environment());
    expect(ran.code, ran.stdout + ran.stderr).toBe(0);
    expected[file]?.(ran.stdout);
    const refused = await runCaller(folder, file, { ...environment(), SLM_CLIENT_SECRET: "wrong" });
    expect(refused.code, refused.stdout).not.toBe(0);
    // Anthropic's Python client names the error's class for the status, since Cloudflare's body is no JSON.
    expect(refused.stdout + refused.stderr).toMatch(/403|PermissionDeniedError/);
  });

  it.each(printed.map((client) => [client.name, client] as const))(
    "what `npm run callers` prints for %s runs as printed, with no environment",
    async (_name, client) => {
      const token = here.serviceTokens.backend;
      const values = {
        url: here.url,
        model: here.chatModel,
        embeddingModel: here.embeddingModel,
        clientId: token?.clientId ?? "",
        clientSecret: token?.clientSecret,
        singleHeader: undefined,
      };
      const own = await mkdtemp(join(tmpdir(), "slm-printed-"));
      try {
        await writeCallers(new Map([[client.template, snippetOf(client, values)]]), own);
        const ran = await runCaller(own, client.template, {});
        expect(ran.code, ran.stdout + ran.stderr).toBe(0);
        if (client.name === "curl") expect(ran.stdout).toContain("data: [DONE]");
        else expect(ran.stdout).toContain("계약서를 요약해 주세요.");
      } finally {
        await rm(own, { recursive: true, force: true });
      }
    },
  );

  it("tells Cloudflare's answers from the relay's by the header that the page names", async () => {
    expect(await answerTo("/v1/models", {})).toMatchObject({ status: 403, byRelay: false, viaCloudflare: true });
    expect(await answerTo("/status", {})).toMatchObject({ status: 302, byRelay: false, viaCloudflare: true });
    const refused = await answerTo("/api/delete", tokenHeaders(here), "DELETE");
    expect(refused).toMatchObject({ status: 404, byRelay: true, viaCloudflare: true });
    expect(JSON.parse(refused.text)).toMatchObject({ code: "not_found" });
  });

  it("answers 530 with 1033 while the Mac is off, and 200 again by itself", async () => {
    const models = () => answerTo("/v1/models", tokenHeaders(here));
    expect((await sandbox("--do", "power-cut")).code).toBe(0);
    await eventually(async () => (await models()).status === 530, 60_000);
    expect(await models()).toMatchObject({ byRelay: false, viaCloudflare: true, text: "error code: 1033" });
    expect((await sandbox("--do", "boot")).code).toBe(0);
    await eventually(async () => (await models()).status === 200, 120_000);
  });
}
