/**
 * Which plugins made a sandbox's stack. The state of a stack made with the official plugins is not promised to be readable by
 * the emulated ones, and the other way round (ids, defaults), so a change under existing resources is refused.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Providers } from "./choice.ts";

const originSchema = z.strictObject({ providers: z.enum(["official", "ours"]) });

/** The stack has resources of the other plugins; the message says how to go on. */
export class ProvidersChanged extends Error {
  override name = "ProvidersChanged";
}

const inWords: Record<Providers, string> = {
  official: "the official provider plugins",
  ours: "the sandbox's own plugins",
};

/**
 * Compares the plugins with those that made the stack, and records them for a stack without resources.
 * @param folder the sandbox's folder, which keeps `providers.json`
 * @param hasResources whether the stack's state has resources
 * @throws ProvidersChanged
 */
export async function checkStackOrigin(folder: string, providers: Providers, hasResources: boolean): Promise<void> {
  const file = join(folder, "providers.json");
  const recorded = await readFile(file, "utf8").then(
    (text) => originSchema.parse(JSON.parse(text)).providers,
    () => undefined, // an older sandbox, or a new one
  );
  if (hasResources && recorded !== undefined && recorded !== providers) {
    const before = recorded === "ours" ? "SANDBOX_PROVIDERS=ours" : "SANDBOX_PROVIDERS=official (or installed)";
    throw new ProvidersChanged(
      [
        `this sandbox's stack was made with ${inWords[recorded]}, and this run would use ${inWords[providers]}: neither is promised to read the other's state.`,
        `Go on with the same ones: ${before} npm run sandbox`,
        `Or start over with the others: ${before} npm run sandbox -- --reset, then again.`,
      ].join("\n"),
    );
  }
  if (recorded === providers) return;
  if (hasResources && recorded === undefined) return; // unknown, and left so: a wrong guess would refuse the right ones
  await writeFile(file, `${JSON.stringify({ providers })}\n`, { mode: 0o600 });
}
