import type { Case } from "../case.ts";

const MIB = 1024 * 1024;

/** The store of documents has a bound on the disk and gives space back. */
export const documentsFill: Case = {
  name: "documents-fill",
  attack: "puts one document after the other with 9 MiB of text",
  serviceMs: 0,
  quietAlso: ["document"],
  async run(attacker) {
    const text = "x".repeat(9 * MIB);
    await attacker.repeat(2, () => {
      const title = String(attacker.random());
      const body = Buffer.from(JSON.stringify({ chunks: [title + text] }));
      return attacker.send({ method: "PUT", path: `/v1/documents?company=attacker&title=${title}`, body });
    });
  },
};
