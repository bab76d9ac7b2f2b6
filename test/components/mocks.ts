/**
 * Pulumi without an engine: records every resource, answers the functions it knows and throws on any other. To be set
 * before the components are imported.
 */
import * as pulumi from "@pulumi/pulumi";

/** A resource as the program declared it. */
export interface Declared {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
  provider: string | undefined;
}

/** The answers of data sources, by token. */
export type Answers = Record<string, (args: Record<string, unknown>) => Record<string, unknown>>;

/** What providers would add to a resource's state. */
const computed: Record<string, (name: string) => Record<string, unknown>> = {
  "cloudflare:index/zeroTrustAccessApplication:ZeroTrustAccessApplication": (name) => ({ aud: `aud-of-${name}` }),
  "cloudflare:index/zeroTrustAccessServiceToken:ZeroTrustAccessServiceToken": (name) => ({
    clientId: `${name}.access`,
    clientSecret: `secret-of-${name}`,
    expiresAt: "2099-01-01T00:00:00Z",
  }),
  "mongodbatlas:index/flexCluster:FlexCluster": () => ({
    connectionStrings: { standardSrv: "mongodb+srv://flex.abc.mongodb.net", standard: "" },
  }),
  "pulumi-nodejs:dynamic/mac:Installation": () => ({ report: "{}", installation: "i", hardwareUuid: "h" }),
};

/** Starts recording. Resources get the id `id-of-<name>`. */
export async function recordResources(answers: Answers = {}): Promise<Declared[]> {
  const declared: Declared[] = [];
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs, provider }) => {
        declared.push({ type, name, inputs, provider });
        return { id: `id-of-${name}`, state: { ...inputs, ...computed[type]?.(name) } };
      },
      call: ({ token, inputs }) => {
        const answer = answers[token];
        if (!answer) throw new Error(`the program called ${token}, for which the test has no answer`);
        return answer(inputs);
      },
    },
    "slm-network",
    "test",
    false,
  );
  return declared;
}

/** @returns the value of an output; secret says whether it is one */
export function resolved<T>(output: pulumi.Output<T>): Promise<{ value: T; secret: boolean }> {
  return new Promise((resolve) => {
    output.apply((value) => {
      void (output as unknown as { isSecret: Promise<boolean> }).isSecret.then((secret) => resolve({ value, secret }));
    });
  });
}

/** Waits until everything declared so far has been recorded. */
export const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

/** @returns the one resource of this type */
export function only(declared: Declared[], type: string): Declared {
  const found = declared.filter((resource) => resource.type === type);
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} resources of type ${type}, expected one`);
  return found[0];
}
