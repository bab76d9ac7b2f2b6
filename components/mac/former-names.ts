/**
 * Names that an earlier version of the program made from the Mac's name (`slm-studio`, `slm-studio-install` …). They are found
 * in the deployed state, since the config may have another name by now, and declared as aliases: the resources stay what they are.
 */
import type { Alias } from "@pulumi/pulumi";
import type { DeployedResource } from "../../accounts/deployed.ts";

/** Aliases for what belongs to the Mac. */
export interface FormerMacNames {
  /** Of the component `MacHost`; its uploads inherit them. */
  readonly component: Alias[];
  /** Full URNs of the `command:remote:Command` that the resource takes over. */
  readonly install: string[];
  /** Of the `command:local:Command` that asked before a removal whether the Mac is there; undefined: there is none. */
  readonly reach: string[] | undefined;
  /** Of the components `SshEntry` and `Route` of SSH through the tunnel. */
  readonly sshEntry: Alias[];
  readonly sshRoute: Alias[];
}

/** Nothing was deployed by an earlier version. */
export const noFormerNames: FormerMacNames = {
  component: [],
  install: [],
  reach: undefined,
  sshEntry: [],
  sshRoute: [],
};

/**
 * @param name of the component now, e.g. `slm-mac`
 * @param deployed the last deployment
 */
export function formerMacNames(name: string, deployed: readonly DeployedResource[]): FormerMacNames {
  const others = (type: string, fits: (name: string) => boolean = () => true): Alias[] =>
    deployed
      .filter((one) => one.type === type && one.name !== name && fits(one.name))
      .map((one) => ({ name: one.name }));
  const commands = (type: string, suffix: string) =>
    deployed.filter((one) => one.type === type && one.name.endsWith(suffix) && isOfMac(one.urn)).map(({ urn }) => urn);
  const reach = commands("command:local:Command", "-reach");
  // Stays declared: its removal is what must not run any more, and an `up` without it would be one more change.
  const isTaken = deployed.some((one) => one.type === "pulumi-nodejs:dynamic/mac:Nothing");
  const routes = others("slm-network:route:Route", (route) => route.endsWith("-ssh"));
  return {
    component: others("slm-network:mac-host:MacHost"),
    install: commands("command:remote:Command", "-install"),
    reach: reach.length > 0 || isTaken ? reach : undefined,
    sshEntry: others("slm-network:ssh-entry:SshEntry"),
    sshRoute: routes.filter((alias) => "name" in alias && alias.name !== `${name}-ssh`),
  };
}

/** A child of the component that installs on the Mac. */
const isOfMac = (urn: string): boolean => /::slm-network:mac-host:MacHost\$command:/.test(urn);
