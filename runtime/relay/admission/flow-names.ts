/** Which companies of a caller are flows of their own; the same for what waits in memory and for jobs on the disk. */

/**
 * Companies of one caller that are flows of their own at a time, in a lane. A caller bound to `["*"]` can name as many as it
 * likes; those beyond share one flow, so that memory and the work per turn stay bounded. Whatever a caller names, its own
 * share among the callers stays the same.
 */
export const MAX_COMPANY_FLOWS = 64;
/** The flow of requests that name no company. No company has this name: names are not empty. */
export const NO_COMPANY = "";
/** The flow that the companies beyond `COMPANY_FLOWS` share. No company has this name: names hold no control character. */
export const SHARED_FLOW = "\u0001shared";
