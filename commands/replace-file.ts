import { rename, stat, writeFile } from "node:fs/promises";

/** Writes a file in one step: a reader sees the old text or the new one. Keeps the file's mode. */
export async function replaceFile(file: string, text: string): Promise<void> {
  const mode = await stat(file).then(
    (found) => found.mode & 0o777,
    () => 0o644,
  );
  const beside = `${file}.${process.pid}`;
  await writeFile(beside, text, { mode });
  await rename(beside, file);
}
