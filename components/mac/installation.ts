import * as pulumi from "@pulumi/pulumi";
import type { MacInputs } from "./record.ts";

/** The provider's inputs, as the program gives them. */
export type MacInstallationArgs = { readonly [key in keyof MacInputs]: pulumi.Input<MacInputs[key]> };

// As in ttl-collection.ts: Pulumi writes the text of these functions into the state, so they only lead to the module that
// does the work. A module that moves stays at its old path for one version (dynamic-state.ts).
const load = async (): Promise<typeof import("./provider.ts")> =>
  import(`file://${process.cwd()}/components/mac/provider.ts`);

const provider: pulumi.dynamic.ResourceProvider<MacInputs, object> = {
  check: async (olds, news) => (await load()).check(olds, news),
  diff: async (id, olds, news) => (await load()).diff(id, olds, news),
  create: async (inputs) => (await load()).create(inputs),
  read: async (id, state) => (await load()).read(id as string, state as object),
  update: async (id, olds, news) => (await load()).update(id, olds, news),
  delete: async (_id, state) => (await load()).remove(state),
};

/**
 * What the installer leaves on the Mac, as a resource with state. `preview` says in words what an `up` will do there, `refresh`
 * compares the Mac with what the last installation left, and a change of name, address or machine is an update, never a
 * replacement. What `command:remote:Command` of the version before left is taken over in place (by an alias).
 *
 * @example
 * new MacInstallation("slm-mac-install", { connection, release, node, input, removeData: false, previousGone: false });
 */
export class MacInstallation extends pulumi.dynamic.Resource {
  /** The installer's report, one line of JSON. */
  declare readonly report: pulumi.Output<string>;
  /** Which machine it is, whatever its name and address. */
  declare readonly hardwareUuid: pulumi.Output<string>;
  /** What a removal must have. */
  declare readonly installation: pulumi.Output<string>;

  constructor(name: string, args: MacInstallationArgs, opts?: pulumi.CustomResourceOptions) {
    super(
      provider,
      name,
      {
        ...args,
        input: pulumi.secret(args.input),
        report: undefined,
        hardwareUuid: undefined,
        installation: undefined,
        drift: undefined,
      },
      // Hashes of secrets among others.
      pulumi.mergeOptions(opts, { additionalSecretOutputs: ["input", "digests", "expected", "directCredentials"] }),
      "mac",
      "Installation",
    );
  }
}

// Takes over the -reach of the version before, whose removal would otherwise ask the Mac whether it is there.
const nothing: pulumi.dynamic.ResourceProvider = {
  // What the Command left has no provider's text yet, and its removal would run by none.
  diff: async (_id, olds: { __provider?: string }) => ({ changes: olds.__provider === undefined }),
  create: async () => ({ id: "nothing" }),
};

/** Stands in the state for what an earlier version declared, and does nothing. */
export class Nothing extends pulumi.dynamic.Resource {
  constructor(name: string, opts?: pulumi.CustomResourceOptions) {
    super(nothing, name, {}, opts, "mac", "Nothing");
  }
}
