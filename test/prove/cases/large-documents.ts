import type { Attacker, Case } from "../case.ts";

const path = (title: string): string => `/v1/documents?company=attacker&title=${title}`;

/** A document of 1,800 short chunks: 7 MiB of vectors, which are 40 MiB as lists of numbers. */
async function store(attacker: Attacker): Promise<void> {
  const chunks = Array.from({ length: 1800 }, (_, i) => `chunk ${i}`);
  const reply = await attacker.send({ method: "PUT", path: path("large"), body: JSON.stringify({ chunks }) });
  if (reply.status !== 201) throw new Error(`the document was not stored: ${reply.status} ${reply.text.slice(0, 200)}`);
}

/** `encoding=float` writes a document's vectors as JSON numbers. */
export const floatDocuments: Case = {
  name: "float-documents",
  attack: "two at a time read a document of 7 MiB of vectors as JSON lists of numbers",
  serviceMs: 0,
  quietAlso: ["document"],
  async run(attacker) {
    await store(attacker);
    const read = `${path("large")}&include=chunks,vectors&encoding=float`;
    await attacker.repeat(2, () => attacker.send({ method: "GET", path: read }));
  },
};

/** A text that is far over the bound on a document is refused before it is cut into chunks. */
export const hugeText: Case = {
  name: "huge-text",
  attack: "puts one document after the other with a text of 60 MiB",
  serviceMs: 0,
  quietAlso: ["document"],
  async run(attacker) {
    const body = Buffer.from(JSON.stringify({ text: "word ".repeat(12 * 1024 * 1024) }));
    await attacker.repeat(1, () => attacker.send({ method: "PUT", path: path("huge"), body }));
  },
};
