/** Names of a caller's flows, for requests waiting in memory and for jobs on disk. */

/**
 * Companies of one caller that have flows of their own at the same time, per queue. A caller bound to `["*"]` can name any
 * number of companies; the rest share one flow, so that memory and the work per round stay bounded. A caller's share among
 * the callers does not depend on the companies it names.
 */
export const MAX_COMPANY_FLOWS = 64;
/** The flow of requests without a company. Not a possible company: names are not empty. */
export const NO_COMPANY = "";
/** The flow shared by companies beyond `MAX_COMPANY_FLOWS`. Not a possible company: names have no control characters. */
export const SHARED_FLOW = "\u0001shared";
