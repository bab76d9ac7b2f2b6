/** The policy pack; `pack` beside it runs it: `pulumi preview --policy-pack policy/pack`. */
import { PolicyPack } from "@pulumi/policy";
import { policies } from "./policies.ts";

new PolicyPack("slm-network", { enforcementLevel: "mandatory", policies });
