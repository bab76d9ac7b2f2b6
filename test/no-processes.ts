/**
 * Set up in the project `unit`: a test that starts a process or opens a socket fails, with the way out. Such tests are slow on
 * a busy machine and belong into the project `integration`, by their file's name (`*.integration.test.ts`).
 */
import childProcess from "node:child_process";
import dgram from "node:dgram";
import { syncBuiltinESMExports } from "node:module";
import net from "node:net";

function forbidden(what: string): () => never {
  return () => {
    throw new Error(`a unit test must not ${what}: rename the file to *.integration.test.ts`);
  };
}

const startsProcesses = ["spawn", "spawnSync", "exec", "execSync", "execFile", "execFileSync", "fork"] as const;
for (const name of startsProcesses) Object.assign(childProcess, { [name]: forbidden("start a process") });
net.Server.prototype.listen = forbidden("listen on a socket");
net.Socket.prototype.connect = forbidden("open a connection");
dgram.Socket.prototype.bind = forbidden("bind a socket");
syncBuiltinESMExports();
