import { expect, it, onTestFinished } from "vitest";
import { WORK } from "../../../../runtime/relay/documents/body-tasks.ts";
import { BodyWorker, HERE_BYTES } from "../../../../runtime/relay/documents/body-worker.ts";

const SIZE = { characters: 1000, overlap: 120 };
const LONG = HERE_BYTES + 1;

function start(): BodyWorker {
  const heavy = new BodyWorker();
  onTestFinished(() => heavy.close());
  return heavy;
}

it("does in the thread exactly what is done here", async () => {
  const heavy = start();
  const text = "계약은 2026년에 시작한다. Payment is due 😀. ".repeat(200_000 / 40);
  for (const body of [{ text, version: "v" }, { chunks: [text, "가", text] }, { chunks: ["가".repeat(900_000)] }]) {
    const bytes = Buffer.from(JSON.stringify(body));
    const here = WORK.put(bytes, SIZE);
    expect(await heavy.run("a", LONG, "put", Buffer.from(bytes), SIZE)).toEqual(here);
  }
  const search = Buffer.from(JSON.stringify({ company: "A", title: "t", vector: [1, 2.5] }));
  expect(await heavy.run("a", LONG, "search", search)).toEqual(WORK.search(search));
  const embed = Buffer.from(JSON.stringify({ model: "m", input: ["가", "\ud800"] }));
  expect(await heavy.run("a", LONG, "embeddings", embed)).toEqual(WORK.embeddings(embed));
  const answers = [
    [
      "ollama",
      {
        embeddings: [
          [1, 2],
          [3, 4],
        ],
        prompt_eval_count: 7,
      },
    ],
    [
      "openai",
      {
        data: [
          { index: 1, embedding: [3] },
          { index: 0, embedding: [1] },
        ],
      },
    ],
    [
      "openai",
      {
        data: [
          { index: 1, embedding: [3, 4] },
          { index: 0, embedding: [1] },
        ],
      },
    ],
    ["ollama", { error: "no" }],
  ] as const;
  for (const [kind, answer] of answers) {
    const bytes = Buffer.from(JSON.stringify(answer));
    expect(await heavy.run("a", LONG, "vectors", bytes, kind)).toEqual(WORK.vectors(bytes, kind));
  }
  const request = { model: "m", input: ["가"], truncate: false } as const;
  expect(Buffer.from(await heavy.run("a", LONG, "request", request)).toString()).toBe(JSON.stringify(request));
});

it("refuses as here, and goes on after that", async () => {
  const heavy = start();
  const refused = heavy.run("a", LONG, "put", Buffer.from('{"text":1}'), SIZE);
  await expect(refused).rejects.toMatchObject({ code: "document_invalid", message: expect.stringContaining("text") });
  const fine = Buffer.from('{"text":"가"}');
  expect((await heavy.run("a", LONG, "put", fine, SIZE)).pieces).toHaveLength(1);
});

it("lets callers take turns", async () => {
  const heavy = start();
  const order: string[] = [];
  const ask = (caller: string, n: number) =>
    heavy.run(caller, LONG, "search", Buffer.from('{"company":"A","title":"t","query":"a"}')).then(() => {
      order.push(`${caller}${n}`);
    });
  await Promise.all([...[1, 2, 3, 4].map((n) => ask("a", n)), ...[1, 2].map((n) => ask("b", n))]);
  expect(order).toEqual(["a1", "a2", "b1", "a3", "b2", "a4"]);
});

it("fails what the thread was doing when that ends, and does not leave the rest waiting", async () => {
  const heavy = new BodyWorker(new URL("data:text/javascript,process.exit(1)"));
  onTestFinished(() => heavy.close());
  const asked = [1, 2].map(() => heavy.run("a", LONG, "put", Buffer.from('{"text":"a"}'), SIZE));
  for (const { reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[]) {
    expect(reason).toMatchObject({ code: "internal", detail: "the thread has ended" });
  }
});

it("does nothing more once it is closed", async () => {
  const heavy = new BodyWorker();
  const body = () => Buffer.from('{"text":"가"}');
  const two = [heavy.run("a", LONG, "put", body(), SIZE), heavy.run("a", LONG, "put", body(), SIZE)];
  const ends = Promise.allSettled(two);
  await heavy.close();
  expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(heavy.run("a", LONG, "put", body(), SIZE)).rejects.toMatchObject({ code: "shutting_down" });
});
