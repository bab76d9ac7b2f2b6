/** Programs as the shell finds them. */
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** @returns whether this user may run the file */
export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @returns every executable of that name on PATH, in order */
export function executablesOnPath(name: string, path: string = process.env.PATH ?? ""): string[] {
  return path
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .filter(isExecutable);
}
