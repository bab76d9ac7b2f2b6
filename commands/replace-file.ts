import { rename, stat, writeFile } from "node:fs/promises";

/**
 * Writes a file in one step: a reader sees the old text or the new one. Keeps an existing file's mode.
 * @param newMode of a file that does not exist yet
 */
export async function replaceFile(file: string, text: string, newMode = 0o644): Promise<void> {
  const mode = await stat(file).then(
    (found) => found.mode & 0o777,
    () => newMode,
  );
  const beside = `${file}.${process.pid}`;
  await writeFile(beside, text, { mode });
  await rename(beside, file);
}
