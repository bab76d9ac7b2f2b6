/** The file that `pulumi import --file` reads. */
import { type Adoptable, parents, programName } from "./adoptable.ts";

/** The parts of a resource in the state that are used here. */
export interface Deployed {
  readonly urn: string;
  readonly type: string;
  readonly id?: string | undefined;
}

/**
 * A component that is not in the state yet is imported empty, so that its children get the URNs that the program gives them.
 * @param versions of the provider packages that the program uses
 * @see https://www.pulumi.com/docs/iac/guides/migration/import/#bulk-import-operations
 */
export function importFile(
  adoptable: readonly Adoptable[],
  deployed: readonly Deployed[],
  versions: Readonly<Record<string, string>>,
) {
  const wanted = [...new Set(adoptable.map(({ parent }) => parent))];
  const urnOf = (type: string) =>
    deployed.find((one) => one.type === type && one.urn.endsWith(`::${programName}`))?.urn;
  const nameTable: Record<string, string> = {};
  const components = wanted.flatMap((parent) => {
    const urn = urnOf(parents[parent]);
    if (urn === undefined) {
      return [{ type: parents[parent], name: parent, logicalName: programName, component: true }];
    }
    nameTable[parent] = urn;
    return [];
  });
  const resources = adoptable.map(({ type, name, parent, id }) => ({
    type,
    name,
    id,
    parent,
    ...versionOf(type, versions),
  }));
  return { nameTable, resources: [...components, ...resources] };
}

/** The version of the package whose name the type begins with. */
function versionOf(type: string, versions: Readonly<Record<string, string>>): { version?: string } {
  const version = versions[type.split(":")[0] ?? ""];
  return version === undefined ? {} : { version };
}

/** @returns what is not in the stack's state yet */
export function notYetOurs(adoptable: readonly Adoptable[], deployed: readonly Deployed[]): Adoptable[] {
  return adoptable.filter(
    ({ type, name }) => !deployed.some((one) => one.type === type && one.urn.endsWith(`::${name}`)),
  );
}
