/** All fault cases, in the order of the table: those on MongoDB last, since the relay is installed again for them. */
import { hops } from "./cases/hops.ts";
import { processes } from "./cases/processes.ts";
import { resources } from "./cases/resources.ts";
import { services } from "./cases/services.ts";
import type { FaultCase } from "./fault.ts";

const all = [...processes, ...hops, ...services, ...resources];

export const FAULTS: readonly FaultCase[] = [
  ...all.filter(({ store }) => store !== "atlas"),
  ...all.filter(({ store }) => store === "atlas"),
];
