import { expect, it } from "vitest";
import { clusterImport, missingCluster } from "../../../commands/recover/lost-cluster.ts";
import type { StackConfig } from "../../../config/config.ts";
import { typeToken } from "../../../config/resource-types.ts";

const projectId = "64f0c0ffee0123456789abcd";
const documents = (cluster: unknown) =>
  ({ store: "atlas", atlas: { projectId, cluster } }) as unknown as StackConfig["documents"];
const create = { create: { name: "slm", provider: "AWS", region: "AP_NORTHEAST_2" } };
const urn = (type: string) => `urn:pulumi:prod::slm-network::${type}::slm`;

it("looks for a declared Flex cluster that the state lacks, and for no other", () => {
  expect(missingCluster(documents(create), [])).toEqual({ projectId, name: "slm" });
  const known = [{ urn: urn(typeToken("cluster")), type: typeToken("cluster"), id: "1" }];
  expect(missingCluster(documents(create), known)).toBeUndefined();
  expect(missingCluster(documents("main"), [])).toBeUndefined();
  expect(missingCluster({ ...documents(create), store: "embedded" }, [])).toBeUndefined();
});

it("imports it under the program's name, by the provider's own id", () => {
  const parent = {
    urn: urn("slm-network:document-store:DocumentStore"),
    type: "slm-network:document-store:DocumentStore",
  };
  expect(clusterImport({ projectId, name: "slm" }, [parent], { mongodbatlas: "4.16.0" })).toEqual({
    nameTable: { documents: parent.urn },
    resources: [
      {
        type: typeToken("cluster"),
        name: "slm-cluster",
        id: `${projectId}-slm`,
        parent: "documents",
        version: "4.16.0",
      },
    ],
  });
});
