/**
 * Stands for what is counted together: the companies and models of a caller beyond the bound on names of a day, in roll-ups,
 * and the companies beyond the bound on quotas. Not a possible name. The status page's program reads it too: imports nothing.
 */
export const OTHERS = "\u0001others";
