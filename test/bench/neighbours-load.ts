/** The loud caller of `neighbours.ts`: `node neighbours-load.ts <url> <load> <token>`, two requests at a time until it is killed. */
import type { Load } from "./neighbours.ts";

const [url, load, token] = process.argv.slice(2) as [string, Load, string];
const MIB = 1024 * 1024;
// A little less than the relay's bound, so that all of it is read and looked at.
const LENGTH = 64 * MIB - 1024;
const headers = { "content-type": "application/json", "cf-access-jwt-assertion": token };
const DOCUMENT = "/v1/documents?company=A&title=loud";

const around = (head: string, part: string, tail: string): Buffer =>
  Buffer.from(head + part.repeat(Math.floor((LENGTH - head.length - tail.length) / Buffer.byteLength(part))) + tail);

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: Buffer;
}

function asked(): Asked {
  const chat = (body: Buffer) => ({ method: "POST", path: "/v1/chat/completions", body });
  switch (load) {
    case "64 MiB text":
      return chat(around('{"model":"m","a":"', "가나다 ", '"}'));
    case "64 MiB nested":
      return chat(around('{"model":"m","a":[', '[[{"a":[]}]],', "0]}"));
    case "64 MiB of keys":
      return chat(around('{"model":"m",', '"\\u0061":1,', '"a":0}'));
    case "64 MiB documents":
      return { method: "PUT", path: DOCUMENT, body: around('{"text":"', "가나다. ", '"}') };
    case "float vectors":
      return { method: "GET", path: `${DOCUMENT}&include=chunks,vectors&encoding=float` };
  }
}

if (load === "float vectors") {
  // 2,800 chunks of 1,024 dimensions are close to the longest document there is.
  const body = JSON.stringify({ chunks: Array.from({ length: 2800 }, (_, i) => `chunk ${i}`) });
  const put = await fetch(url + DOCUMENT, { method: "PUT", headers, body });
  if (!put.ok) throw new Error(`the document was not taken: ${put.status} ${await put.text()}`);
  await put.arrayBuffer();
}
const { path, ...init } = asked();
process.send?.("begun");
const again = async () => {
  for (;;) {
    const answer = await fetch(url + path, { ...init, headers } as RequestInit);
    if (answer.body !== null) for await (const _ of answer.body);
  }
};
await Promise.all([again(), again()]);
