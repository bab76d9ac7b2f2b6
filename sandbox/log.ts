/** One line for the person at the terminal or the sandbox's log; never a secret. */
export type Log = (message: string) => void;
