/** Everything that the stack file needs to say, found out or asked. */
import { atlasLookups } from "../../accounts/atlas.ts";
import { hasCredentials } from "../../accounts/atlas-sign-in.ts";
import { cloudflareLookups } from "../../accounts/cloudflare.ts";
import { atlasSource, cloudflareAccess } from "../../accounts/credentials.ts";
import { problemText } from "../../accounts/finding.ts";
import { chooseAccount } from "./cloudflare.ts";
import { chooseDocuments } from "./documents.ts";
import { chooseMac } from "./mac.ts";
import { ensureCloudflareToken } from "./machine.ts";
import { chooseModel } from "./model.ts";
import { listOf, type Options } from "./options.ts";
import type { Asker } from "./prompts.ts";
import { type Answers, type Before, setting } from "./stack-file.ts";
import { storedSecret } from "./stack-secrets.ts";
import { faultAt } from "./validate.ts";

/** Prints a line of progress. */
export const say = (line: string): void => console.log(`  ${line}`);

/** URLs and credentials as `up` will use them with this stack file and environment. Prints what is wrong with them. */
export function accountsOf(before: Before) {
  const config = (key: string): string | undefined => own(before, key);
  const cloudflare = cloudflareAccess(config);
  const { access: atlas, findings } = atlasSource(config);
  for (const finding of findings) say(problemText(finding));
  // Written into the stack file, so that it is complete without the environment.
  const baseUrls = {
    cloudflare: cloudflare.baseUrl,
    atlas: process.env.MONGODB_ATLAS_BASE_URL || config("mongodbatlas:baseUrl"),
  };
  return { cloudflare, atlas, baseUrls };
}

/** Asks the accounts, the Mac and the user. @throws Refusal, SessionError */
export async function gatherAnswers(options: Options, asker: Asker, before: Before): Promise<Answers> {
  const known = (key: string, ...path: (string | number)[]): string | undefined => {
    const value = setting(before, key, ...path);
    return typeof value === "string" ? value : undefined;
  };
  console.log("\nCloudflare");
  const unsigned = accountsOf(before);
  const uses = { alerts: { emails: options.alerts ?? [] }, route: {} };
  await ensureCloudflareToken(unsigned.cloudflare.apiToken, uses, { asker, say });
  const { cloudflare, atlas, baseUrls } = accountsOf(before);
  const account = await chooseAccount(cloudflareLookups(cloudflare), { asker, options, say, known: known("hostname") });

  console.log("\nMac");
  const port = setting(before, "macs", 0, "port");
  const mac = await chooseMac(
    {
      ...(known("macs", 0, "host") && { host: known("macs", 0, "host") }),
      ...(typeof port === "number" && { port }),
      ...(known("macs", 0, "user") && { user: known("macs", 0, "user") }),
      ...(known("macs", 0, "hostKey") && { hostKey: known("macs", 0, "hostKey") }),
    },
    { asker, options, say },
  );
  const model = await chooseModel(mac, {
    asker,
    options,
    say,
    known: { url: known("model", "url"), embeddingModel: known("model", "embeddingModel") },
    storedKey: async () =>
      setting(before, "modelKey") === undefined ? undefined : storedSecret(options.stack, "modelKey"),
  });

  console.log("\nDocuments");
  const documents = await chooseDocuments(atlasLookups(atlas), {
    asker,
    options,
    say,
    hasKeys: hasCredentials(atlas),
    known: known("documents", "store"),
  });

  console.log("\nCallers");
  const server = await asker.text({
    flag: "--server",
    given: options.server,
    question: "Name of the server that may call:",
    preferred: known("access", "servers", 0, "name") ?? "backend",
    fault: (text) => faultAt(["access", "servers", 0, "name"], text),
  });
  const people = await mails(
    asker,
    options.people,
    "--people",
    "E-mail addresses of people who may open /status (empty: nobody):",
    {
      before: setting(before, "access", "people", "emails"),
      fault: (list) => faultAt(["access", "people", "emails"], list),
    },
  );
  const alerts = await mails(
    asker,
    options.alerts,
    "--alerts",
    "E-mail addresses for alerts when the tunnel is down (empty: none):",
    {
      before: setting(before, "alerts", "emails"),
      fault: (list) => faultAt(["alerts", "emails"], list),
    },
  );
  say(`server: ${server}; people: ${people.join(", ") || "nobody"}; alerts: ${alerts.join(", ") || "none"}`);
  return { account, server, people, alerts, mac, model, documents, baseUrls };
}

const own = ({ config }: Before, key: string): string | undefined =>
  typeof config[key] === "string" ? config[key] : undefined;

async function mails(
  asker: Asker,
  given: readonly string[] | undefined,
  flag: string,
  question: string,
  { before, fault }: { before: unknown; fault: (list: string[]) => string | undefined },
): Promise<string[]> {
  const preferred = Array.isArray(before) ? before.join(", ") : "";
  const text = await asker.text({
    flag,
    given: given?.join(", "),
    question,
    preferred,
    fault: (answer) => fault(listOf(answer)),
  });
  return listOf(text);
}
