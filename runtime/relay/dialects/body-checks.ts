/** The checks of a dialect's requests: those that every dialect has, and its own. Pure. */
import type { Dialect, MemberCheck } from "./dialect.ts";
import { keepAliveCheck } from "./keep-alive-check.ts";

/** @returns the checks for requests in this dialect; `keep_alive` is among them unless the dialect opts out */
export const bodyChecksOf = ({ bodyChecks, keepAliveIsHarmless }: Dialect): readonly MemberCheck[] =>
  keepAliveIsHarmless ? bodyChecks : [keepAliveCheck, ...bodyChecks];
