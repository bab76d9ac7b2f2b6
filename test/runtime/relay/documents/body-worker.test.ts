import { expect, it, onTestFinished } from "vitest";
import { TASKS } from "../../../../runtime/relay/documents/body-tasks.ts";
import { BodyWorker, HERE_BYTES } from "../../../../runtime/relay/documents/body-worker.ts";

const SIZE = { characters: 1000, overlap: 120 };
const LONG = HERE_BYTES + 1;

function start(): BodyWorker {
  const bodyWorker = new BodyWorker();
  onTestFinished(() => bodyWorker.close());
  return bodyWorker;
}

it("returns the same from the thread as on the main thread", async () => {
  const bodyWorker = start();
  const text = "계약은 2026년에 시작한다. Payment is due 😀. ".repeat(200_000 / 40);
  for (const body of [{ text, version: "v" }, { chunks: [text, "가", text] }, { chunks: ["가".repeat(900_000)] }]) {
    const bytes = Buffer.from(JSON.stringify(body));
    const here = TASKS.put(bytes, SIZE);
    expect(await bodyWorker.run("a", LONG, "put", Buffer.from(bytes), SIZE)).toEqual(here);
  }
  const search = Buffer.from(JSON.stringify({ company: "A", title: "t", vector: [1, 2.5] }));
  expect(await bodyWorker.run("a", LONG, "search", search)).toEqual(TASKS.search(search));
  const embed = Buffer.from(JSON.stringify({ model: "m", input: ["가", "\ud800"] }));
  expect(await bodyWorker.run("a", LONG, "embeddings", embed)).toEqual(TASKS.embeddings(embed));
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
    expect(await bodyWorker.run("a", LONG, "vectors", bytes, kind)).toEqual(TASKS.vectors(bytes, kind));
  }
  const request = { model: "m", input: ["가"], truncate: false } as const;
  expect(Buffer.from(await bodyWorker.run("a", LONG, "request", request)).toString()).toBe(JSON.stringify(request));
});

it("refuses as on the main thread, and continues after that", async () => {
  const bodyWorker = start();
  const refused = bodyWorker.run("a", LONG, "put", Buffer.from('{"text":1}'), SIZE);
  await expect(refused).rejects.toMatchObject({ code: "document_invalid", message: expect.stringContaining("text") });
  const fine = Buffer.from('{"text":"가"}');
  expect((await bodyWorker.run("a", LONG, "put", fine, SIZE)).pieces).toHaveLength(1);
});

it("lets callers take turns", async () => {
  const bodyWorker = start();
  const order: string[] = [];
  const ask = (caller: string, n: number) =>
    bodyWorker.run(caller, LONG, "search", Buffer.from('{"company":"A","title":"t","query":"a"}')).then(() => {
      order.push(`${caller}${n}`);
    });
  await Promise.all([...[1, 2, 3, 4].map((n) => ask("a", n)), ...[1, 2].map((n) => ask("b", n))]);
  expect(order).toEqual(["a1", "a2", "b1", "a3", "b2", "a4"]);
});

it("fails the running task when the thread ends, and does not leave the others waiting", async () => {
  const bodyWorker = new BodyWorker(new URL("data:text/javascript,process.exit(1)"));
  onTestFinished(() => bodyWorker.close());
  const asked = [1, 2].map(() => bodyWorker.run("a", LONG, "put", Buffer.from('{"text":"a"}'), SIZE));
  for (const { reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[]) {
    expect(reason).toMatchObject({ code: "internal", detail: "the thread of long bodies has ended" });
  }
});

it("accepts no tasks once it is closed", async () => {
  const bodyWorker = new BodyWorker();
  const body = () => Buffer.from('{"text":"가"}');
  const two = [bodyWorker.run("a", LONG, "put", body(), SIZE), bodyWorker.run("a", LONG, "put", body(), SIZE)];
  const ends = Promise.allSettled(two);
  await bodyWorker.close();
  expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(bodyWorker.run("a", LONG, "put", body(), SIZE)).rejects.toMatchObject({ code: "shutting_down" });
});
