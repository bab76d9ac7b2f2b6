/** @returns the text as one quoted word for a POSIX shell */
export const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
