/** Where documents are kept: the Atlas project, the cluster, and who may reach it. */
import type { AtlasLookups } from "../../accounts/atlas.ts";
import { InitRefusal } from "../refusal.ts";
import { answerOf } from "./cloudflare.ts";
import { listOf, type Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** `documents` of the stack's config, as far as init decides it. */
export type DocumentsChoice =
  | { readonly store: "embedded" }
  | {
      readonly store: "atlas";
      readonly projectId: string;
      /** An existing cluster, or one to make. */
      readonly cluster: string | { readonly create: { readonly name: string } };
      readonly allowFrom: readonly string[];
    };

const keyAdvice =
  "Make an API key of the project (Atlas → Access Manager → API Keys, Project Owner) and set MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY; or keep documents on the Mac: --store embedded";

/** The name of a cluster that is made. */
const newCluster = "slm";

/** @param hasKeys whether Atlas' API keys are in the environment; then Atlas is what is meant unless said otherwise */
export async function chooseDocuments(
  lookups: AtlasLookups,
  about: { asker: Asker; options: Options; say: (line: string) => void; hasKeys: boolean; known: string | undefined },
): Promise<DocumentsChoice> {
  const { asker, options, say, hasKeys, known } = about;
  const store = await asker.choose<"atlas" | "embedded">({
    flag: "--store",
    given: options.store,
    question: "Where should document vectors be stored?",
    choices: [
      { value: "embedded", shown: "embedded: on the Mac; nothing else is needed", keys: ["embedded"] },
      { value: "atlas", shown: "atlas: in a MongoDB Atlas cluster, which outlives the Mac's disk", keys: ["atlas"] },
    ],
    preferred: hasKeys && known !== "embedded" ? "atlas" : "embedded",
  });
  say(
    `documents: ${store}${options.store === undefined && !asker.asks ? (hasKeys ? ", since Atlas' keys are in the environment" : ", since no Atlas key is in the environment") : ""}`,
  );
  if (store === "embedded") return { store };

  const projects = answerOf(await lookups.projects(), keyAdvice);
  if (projects.length === 0) throw new InitRefusal(`the Atlas key sees no project. ${keyAdvice}`);
  const project = await asker.choose({
    flag: "--project",
    given: options.project,
    question: "Which Atlas project?",
    choices: projects.map((one) => ({ value: one, shown: `${one.name} (${one.id})`, keys: [one.id, one.name] })),
  });
  say(`Atlas project: ${project.name} (${project.id})`);

  const clusters = answerOf(await lookups.clusters(project.id), keyAdvice);
  const cluster = await asker.choose<string | { create: { name: string } }>({
    flag: "--cluster",
    given: options.cluster,
    question: "Which cluster? One that is there is not touched but for two users and one database.",
    choices: [
      ...clusters.map((one) => ({
        value: one.name,
        shown: `${one.name} (${one.size}, ${one.region}${one.paused ? ", paused" : ""})`,
        keys: [one.name],
      })),
      {
        value: { create: { name: newCluster } },
        shown: `make a Flex cluster in Seoul (${newCluster}); it costs by use`,
        keys: ["create"],
      },
    ],
    // What costs money is made only when somebody said so.
    preferred: clusters[0]?.name,
  });
  say(
    typeof cluster === "string" ? `cluster: ${cluster}` : `cluster: a Flex cluster ${cluster.create.name} will be made`,
  );

  const allowFrom = await chooseNetworks(lookups, about);
  return { store, projectId: project.id, cluster, allowFrom };
}

async function chooseNetworks(
  lookups: AtlasLookups,
  { asker, options, say }: { asker: Asker; options: Options; say: (line: string) => void },
): Promise<string[]> {
  const address = await lookups.publicAddress();
  if (address.ok) say(`this machine's public address, as Atlas sees it: ${address.value}`);
  const text = await asker.text({
    flag: "--allow-from",
    given: options.allowFrom?.join(","),
    question: "Networks that may reach the database (the office's, and the one where `pulumi up` runs):",
    preferred: address.ok ? `${address.value}/32` : undefined,
    fault: (answer) => networksFault(listOf(answer)),
  });
  say(`may reach the database: ${text}`);
  return listOf(text);
}

/** The rule against the whole internet is asked only of a whole `atlas`. */
export const networksFault = (allowFrom: readonly string[]): string | undefined =>
  faultAt(["documents", "atlas"], { projectId: "0".repeat(24), cluster: "any", allowFrom });
