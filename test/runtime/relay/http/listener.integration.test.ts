import { Agent, get } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { listen, sendText } from "../../../../runtime/relay/http/listener.ts";
import type { RelayResponse } from "../../../../runtime/relay/http/relay-response.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

test("an ended response is not kept while its connection is open", async () => {
  const responses: WeakRef<RelayResponse>[] = [];
  const listener = await listen("public", 0, (_req, res) => {
    responses.push(new WeakRef(res));
    sendText(res, 200, "text/plain", "ok\n");
  });
  onTestFinished(() => listener.close());
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  await new Promise<void>((resolve, reject) => {
    get({ port: listener.port, host: "127.0.0.1", agent }, (answer) => {
      answer.resume().on("end", resolve);
    }).on("error", reject);
  });
  const connections = () =>
    new Promise<number>((resolve, reject) => {
      listener.server.getConnections((cause, count) => (cause ? reject(cause) : resolve(count)));
    });
  await expect
    .poll(() => {
      collectGarbage();
      return responses.map((one) => one.deref() === undefined);
    })
    .toEqual([true]);
  expect(await connections()).toBe(1);
});
