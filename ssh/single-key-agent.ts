/** A single key of an SSH agent. */
import ssh2, { type IdentityCallback, type ParsedKey, type SignCallback, type SigningRequestOptions } from "ssh2";

/** An agent for ssh2 that offers only one of another agent's keys. */
export class SingleKeyAgent extends ssh2.BaseAgent<ParsedKey> {
  readonly #agent: InstanceType<typeof ssh2.OpenSSHAgent>;
  readonly #only: Buffer;

  /** @param only public key, SSH wire format */
  constructor(socketPath: string, only: Buffer) {
    super();
    this.#agent = new ssh2.OpenSSHAgent(socketPath);
    this.#only = only;
  }

  getIdentities(callback: IdentityCallback<ParsedKey>): void {
    this.#agent.getIdentities((error, keys) => {
      if (error) callback(error);
      else
        callback(
          null,
          keys?.filter((key) => "getPublicSSH" in key && key.getPublicSSH().equals(this.#only)),
        );
    });
  }

  sign(key: ParsedKey, data: Buffer, options: SigningRequestOptions | SignCallback, callback?: SignCallback): void {
    if (typeof options === "function") this.#agent.sign(key, data, options);
    else this.#agent.sign(key, data, options, callback);
  }
}

/**
 * @param content of a public key file (`ssh-ed25519 AAAA…`), or of a private key in OpenSSH's format, which contains the public
 * key unencrypted even with a passphrase (PROTOCOL.key of OpenSSH's sources)
 * @returns the public key in SSH wire format; undefined if there is none
 */
export function publicKeyIn(content: Buffer): Buffer | undefined {
  const text = content.toString("latin1");
  const line = /^(?:ssh-|ecdsa-|sk-)\S+ +([A-Za-z0-9+/]+=*)/m.exec(text)?.[1];
  if (line !== undefined) return Buffer.from(line, "base64");
  const body = /-----BEGIN OPENSSH PRIVATE KEY-----([\s\S]+?)-----END/.exec(text)?.[1];
  if (body === undefined) return undefined;
  const bytes = Buffer.from(body, "base64");
  const magic = "openssh-key-v1\0";
  if (bytes.subarray(0, magic.length).toString("latin1") !== magic) return undefined;
  let at = magic.length;
  const next = (): Buffer => {
    const start = at + 4;
    at = start + bytes.readUInt32BE(at);
    return bytes.subarray(start, at);
  };
  try {
    for (const _ of ["cipher", "kdf", "kdf options"]) next();
    at += 4; // number of keys
    const key = next();
    return key.length > 0 ? key : undefined;
  } catch {
    return undefined; // truncated
  }
}
