/** The snippets: which clients there are, how they are shown to work, and how a template is filled in. Pure but for reading templates. */
import { readFileSync } from "node:fs";
import { extname, join } from "node:path";

/** A client that a snippet configures. */
export interface Client {
  /** For the command line. */
  readonly name: string;
  readonly title: string;
  /** In `templates/`. Its values are read as the language reads the environment, so that it runs as it is, too. */
  readonly template: string;
  /** What must be installed. */
  readonly needs?: string;
  /** Undefined: a test runs the snippet as printed. Else where it is described: nobody has run it here. */
  readonly describedAt?: string;
  /** The model server must serve this path. */
  readonly path?: string;
  /** It can send one header only: `access.singleHeader` must be set. */
  readonly needsSingleHeader?: true;
}

export const CLIENTS: readonly Client[] = [
  { name: "curl", title: "curl", template: "curl.sh" },
  { name: "python", title: "Python", template: "with_openai.py", needs: "pip install openai" },
  { name: "javascript", title: "JavaScript", template: "with-openai.mjs", needs: "npm install openai" },
  {
    name: "langchain-python",
    title: "LangChain, Python",
    template: "with_langchain.py",
    needs: "pip install langchain-openai",
  },
  {
    name: "langchain-javascript",
    title: "LangChain, JavaScript",
    template: "with-langchain.mjs",
    needs: "npm install @langchain/openai @langchain/core",
  },
  { name: "spring", title: "Spring's RestClient", template: "Caller.java", needs: "spring-web and Jackson" },
  {
    name: "anthropic-python",
    title: "Anthropic SDK, Python",
    template: "with_anthropic.py",
    needs: "pip install anthropic",
    path: "/v1/messages",
  },
  {
    name: "anthropic-javascript",
    title: "Anthropic SDK, JavaScript",
    template: "with-anthropic.mjs",
    needs: "npm install @anthropic-ai/sdk",
    path: "/v1/messages",
  },
  {
    name: "ollama-python",
    title: "Ollama's client, Python",
    template: "with_ollama.py",
    needs: "pip install ollama",
    path: "/api/chat",
  },
  {
    name: "ollama-javascript",
    title: "Ollama's client, JavaScript",
    template: "with-ollama.mjs",
    needs: "npm install ollama",
    path: "/api/chat",
  },
  {
    name: "claude-code",
    title: "Claude Code",
    template: "claude-code.sh",
    describedAt: "https://code.claude.com/docs/en/settings#environment-variables",
    path: "/v1/messages",
  },
  {
    name: "continue",
    title: "Continue (config.yaml)",
    template: "continue.yaml",
    describedAt: "https://docs.continue.dev/reference#models",
  },
  {
    name: "n8n",
    title: "n8n",
    template: "n8n.txt",
    describedAt: "https://github.com/n8n-io/n8n/blob/master/packages/nodes-base/credentials/OpenAiApi.credentials.ts",
    needsSingleHeader: true,
  },
  {
    name: "dify",
    title: "Dify",
    template: "dify.txt",
    describedAt: "https://github.com/langgenius/dify-official-plugins/issues/3012",
  },
  {
    name: "open-webui",
    title: "Open WebUI",
    template: "open-webui.txt",
    describedAt: "https://github.com/open-webui/open-webui/pull/18021",
  },
  {
    name: "anythingllm",
    title: "AnythingLLM",
    template: "anythingllm.txt",
    describedAt: "https://github.com/Mintplex-Labs/anything-llm/issues/4988",
  },
];

/** What a snippet is filled in with. */
export interface Values {
  /** Base URL without /v1. */
  readonly url: string;
  readonly model: string;
  readonly embeddingModel: string;
  readonly clientId: string;
  /** Undefined: left out; the snippet reads it from the environment, or has a placeholder. */
  readonly clientSecret: string | undefined;
  /** `access.singleHeader`. */
  readonly singleHeader: string | undefined;
}

/** How a value is read from the environment in a kind of file, and how it is written in its place. */
interface Language {
  readonly read: (name: string) => string;
  readonly literal: (value: string) => string;
  /** In place of a secret that is left out; undefined: reading it from the environment works there. */
  readonly placeholder?: string;
}

const plain = (value: string): string => value;
const LANGUAGES: Readonly<Record<string, Language>> = {
  ".sh": { read: (name) => `$${name}`, literal: (value) => value.replace(/[\\"$`]/g, "\\$&") },
  ".py": { read: (name) => `os.environ["${name}"]`, literal: (value) => JSON.stringify(value) },
  ".mjs": { read: (name) => `process.env.${name}`, literal: (value) => JSON.stringify(value) },
  ".java": { read: (name) => `System.getenv("${name}")`, literal: (value) => JSON.stringify(value) },
  ".yaml": { read: (name) => `\${{ secrets.${name} }}`, literal: plain },
  ".txt": { read: (name) => `\${${name}}`, literal: plain, placeholder: "<client secret>" },
};

/** The template's text as it is. */
export const templateOf = ({ template }: Client): string =>
  readFileSync(join(import.meta.dirname, "templates", template), "utf8");

/** The snippet for a client, without its heading. */
export function snippetOf(client: Client, values: Values): string {
  const language = LANGUAGES[extname(client.template)]!;
  const filled: Record<string, string | undefined> = {
    SLM_URL: values.url,
    SLM_EMBEDDING_MODEL: values.embeddingModel,
    SLM_MODEL: values.model,
    SLM_CLIENT_ID: values.clientId,
    SLM_CLIENT_SECRET: values.clientSecret ?? language.placeholder,
    SLM_SINGLE_HEADER: values.singleHeader ?? "<access.singleHeader>",
  };
  let text = templateOf(client);
  for (const [name, value] of Object.entries(filled)) {
    if (value !== undefined) text = text.replaceAll(language.read(name), () => language.literal(value));
  }
  return text;
}

/** What is said above a snippet, a line each. */
export function headingOf(client: Client, values: Values): string[] {
  const { title, needs, describedAt, path, needsSingleHeader } = client;
  return [
    title,
    ...(needs === undefined ? [] : [`needs: ${needs}`]),
    describedAt === undefined
      ? "run as printed by this project's tests"
      : `as described at ${describedAt}; not run by this project's tests`,
    ...(path === undefined ? [] : [`needs a model server that serves ${path}`]),
    ...(needsSingleHeader === true && values.singleHeader === undefined
      ? ["needs access.singleHeader in the stack config (docs/access.md): this client sends one header only"]
      : []),
    ...(values.clientSecret === undefined
      ? ["the client secret is left out: set SLM_CLIENT_SECRET where the snippet runs, or add --show-secret"]
      : []),
  ];
}
