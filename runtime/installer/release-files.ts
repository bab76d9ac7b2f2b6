/** The manifest of a release: names the release, and tells which of its files was altered. */

/** In the archive beside the files: `<sha256>  <name>` a line, as `shasum -a 256 -c` takes it. Its own sha256 names the release. */
export const manifestName = "SHA256SUMS";
