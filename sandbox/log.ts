/** Writes one line to the terminal or the sandbox's log. Must never contain a secret. */
export type Log = (message: string) => void;
