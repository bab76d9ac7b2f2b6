/** The sandbox's model server as a process of its own: `node model-process.ts PORT`; prints its address when it listens. */
import { startModelServer } from "../../../../sandbox/model/server.ts";

const port = Number(process.argv[2] ?? 0);
const server = await startModelServer({ port, log: console.error, tokensPerSecond: 2000, firstTokenMs: 5 });
console.log(server.url);
