import { type AttackRequest, type Case, CHAT, chatBody } from "../case.ts";

const LONG = 60_000;
/** A request's line and headers may take 40 KiB together. */
const HEADER = 36_000;

const chat = (headers: Record<string, string>): AttackRequest => ({ path: CHAT, headers, body: chatBody({ ms: 1 }) });
const body = (fields: object): AttackRequest => ({ path: CHAT, body: JSON.stringify({ model: "m", ...fields }) });
const query = (text: string): AttackRequest => ({ method: "GET", path: `/v1/documents?${text}` });

/** Each is a text of the caller's that some rule of the relay reads. */
const TEXTS: readonly AttackRequest[] = [
  body({ keep_alive: "1h".repeat(LONG / 2) }),
  body({ keep_alive: `${"1".repeat(LONG)}.` }),
  body({ keep_alive: `${"1.1".repeat(LONG / 3)}x` }),
  { path: CHAT, body: `{"model":"m","keep_alive":"5m","x":"${"\\\\".repeat(LONG)}","keep_alive":"5m"}` },
  { path: CHAT, body: `{"keep_alive":"5m",${Array.from({ length: LONG / 6 }, (_, i) => `"k${i}":1`).join(",")}}` },
  chat({ prefer: `${"wait".repeat(HEADER / 8)},${" ".repeat(HEADER / 2)}=` }),
  chat({ prefer: ",".repeat(HEADER) }),
  chat({ "idempotency-key": `"${'"'.repeat(HEADER)}x ` }),
  chat({ "slm-company": "%".repeat(HEADER) }),
  query(`company=${"+".repeat(HEADER)}&title=x`),
  query("&".repeat(HEADER)),
  query(`company=x&title=y&include=${",".repeat(HEADER)}`),
  { method: "GET", path: `/v1/models/${"a%2F".repeat(HEADER / 4)}..` },
  { method: "GET", path: `/v1/jobs/${"a".repeat(HEADER)}` },
];

/** What any rule does with a caller's text grows no faster than the text. */
export const hostileText: Case = {
  name: "hostile-text",
  attack: "long texts in every field, header, query and path that a rule of the relay reads",
  serviceMs: 1,
  async run(attacker) {
    let next = 0;
    await attacker.repeat(2, () => attacker.send(TEXTS[next++ % TEXTS.length]!));
  },
};
