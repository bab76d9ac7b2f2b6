/** Chooses where documents are kept: on the Mac, or in which Atlas project and cluster. */
import type { AtlasLookups } from "../../accounts/atlas.ts";
import { Refusal } from "../errors.ts";
import { answerOf } from "./cloudflare.ts";
import { listOf, type Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { faultAt } from "./validate.ts";

/** The part of `documents` in the stack's config that init decides. */
export type DocumentsChoice =
  | { readonly store: "embedded" }
  | {
      readonly store: "atlas";
      readonly projectId: string;
      /** An existing cluster, or one to create. */
      readonly cluster: string | { readonly create: { readonly name: string } };
      readonly allowFrom: readonly string[];
    };

const keyAdvice =
  "Make an API key of the project (Atlas → Access Manager → API Keys, Project Owner) and set MONGODB_ATLAS_PUBLIC_KEY and MONGODB_ATLAS_PRIVATE_KEY; or keep documents on the Mac: --store embedded";

/** Name of a created cluster. */
const newCluster = "slm";

/** @param hasKeys whether Atlas' API keys are set; then Atlas is the default */
export async function chooseDocuments(
  lookups: AtlasLookups,
  about: { asker: Asker; options: Options; say: (line: string) => void; hasKeys: boolean; known: string | undefined },
): Promise<DocumentsChoice> {
  const { asker, options, say, hasKeys, known } = about;
  const store = await asker.choose<"atlas" | "embedded">({
    flag: "--store",
    given: options.store,
    question: "Where are document vectors kept?",
    choices: [
      { value: "embedded", shown: "embedded: on the Mac, without another service", keys: ["embedded"] },
      { value: "atlas", shown: "atlas: in a MongoDB Atlas cluster, independent of the Mac's disk", keys: ["atlas"] },
    ],
    preferred: hasKeys && known !== "embedded" ? "atlas" : "embedded",
  });
  say(
    `documents: ${store}${options.store === undefined && !asker.asks ? (hasKeys ? ", since Atlas' keys are in the environment" : ", since no Atlas key is in the environment") : ""}`,
  );
  if (store === "embedded") return { store };

  const projects = answerOf(await lookups.projects(), keyAdvice);
  if (projects.length === 0) throw new Refusal(`the Atlas key has access to no project. ${keyAdvice}`);
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
    question: "Which cluster? In an existing one, only two users and one database are added.",
    choices: [
      ...clusters.map((one) => ({
        value: one.name,
        shown: `${one.name} (${one.size}, ${one.region}${one.paused ? ", paused" : ""})`,
        keys: [one.name],
      })),
      {
        value: { create: { name: newCluster } },
        shown: `create a Flex cluster in Seoul (${newCluster}), billed by usage`,
        keys: ["create"],
      },
    ],
    // What costs money is created only on request.
    preferred: clusters[0]?.name,
  });
  say(
    typeof cluster === "string"
      ? `cluster: ${cluster}`
      : `cluster: a Flex cluster ${cluster.create.name} will be created`,
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

/** The rule against 0.0.0.0/0 applies to a complete `atlas` only. */
export const networksFault = (allowFrom: readonly string[]): string | undefined =>
  faultAt(["documents", "atlas"], { projectId: "0".repeat(24), cluster: "any", allowFrom });
