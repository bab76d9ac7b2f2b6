import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SFTPWrapper } from "ssh2";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RootPaths } from "../../../sandbox/mac/root-path.ts";
import { connect, openSshOptions, program, sftpOf, type TestMac, testMac } from "./fixture.ts";

let test: TestMac;
let outside: string;
beforeAll(async () => {
  test = await testMac();
  outside = join(test.dir, "outside.txt");
  writeFileSync(outside, "not of the Mac");
});
afterAll(() => test.end());

const withSftp = async <T>(work: (sftp: SFTPWrapper) => Promise<T>): Promise<T> => {
  const client = await connect(test.mac);
  try {
    return await work(await sftpOf(client));
  } finally {
    client.end();
  }
};
const write = (sftp: SFTPWrapper, path: string, data: string) =>
  new Promise<void>((resolve, reject) => {
    sftp.writeFile(path, data, (error) => (error ? reject(error) : resolve()));
  });
const read = (sftp: SFTPWrapper, path: string) =>
  new Promise<string>((resolve, reject) => {
    sftp.readFile(path, (error, data) => (error ? reject(error) : resolve(data.toString())));
  });

describe("OpenSSH's sftp and scp", () => {
  it("puts a file where a command finds it, and gets it back", async () => {
    const local = join(test.dir, "up.bin");
    writeFileSync(local, Buffer.alloc(3_000_000, "slm"));
    const back = join(test.dir, "down.bin");
    const batch = [
      `put ${local} /tmp/up.bin`,
      "ls -l /tmp",
      `get /tmp/up.bin ${back}`,
      "rename /tmp/up.bin moved.bin",
      "pwd",
    ];
    const args = [
      "-P",
      String(test.mac.port),
      ...openSshOptions(test.mac, test.dir),
      "-b",
      "-",
      `deploy@${test.mac.host}`,
    ];
    const result = await program("sftp", args, { input: `${batch.join("\n")}\n` });
    expect(result).toMatchObject({ code: 0 });
    expect(result.stdout).toMatch(/-rw-r--r-- 1 deploy +wheel +3000000 .* (\/tmp\/)?up\.bin/);
    expect(result.stdout).toContain("Remote working directory: /Users/deploy");
    expect(readFileSync(back).equals(readFileSync(local))).toBe(true);
    expect(await test.run('wc -c < "$HOME/moved.bin"')).toMatchObject({ stdout: expect.stringContaining("3000000") });
  });

  it("copies a folder with scp", async () => {
    const folder = join(test.dir, "release");
    mkdirSync(join(folder, "inner"), { recursive: true });
    writeFileSync(join(folder, "inner/a.txt"), "a");
    const args = ["-r", "-P", String(test.mac.port), ...openSshOptions(test.mac, test.dir)];
    const result = await program("scp", [...args, folder, `deploy@${test.mac.host}:/tmp/`]);
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(await test.run('cat "$SLM_NETWORK_ROOT/tmp/release/inner/a.txt"')).toMatchObject({ stdout: "a" });
  });
});

it("means one file by /tmp in sftp, /private/tmp, and $SLM_NETWORK_ROOT/tmp in a command", async () => {
  await withSftp(async (sftp) => {
    await write(sftp, "/tmp/one.txt", "one");
    expect(await read(sftp, "/private/tmp/one.txt")).toBe("one");
    expect(await read(sftp, `${test.mac.root}/tmp/one.txt`)).toBe("one");
    expect(await promisify(sftp.realpath.bind(sftp))("/tmp/one.txt")).toBe("/private/tmp/one.txt");
    expect(await promisify(sftp.realpath.bind(sftp))(".")).toBe("/Users/deploy");
  });
  expect(await test.run('cat "$SLM_NETWORK_ROOT/tmp/one.txt"')).toMatchObject({ stdout: "one" });
  expect(test.mac.ownerOf(join(test.mac.root, "tmp/one.txt"))).toMatchObject({ user: "deploy", group: "wheel" });
});

it("never leads out of the root folder, by .. or by links", async () => {
  symlinkSync(outside, join(test.mac.root, "Users/deploy/absolute"));
  symlinkSync("../../../outside.txt", join(test.mac.root, "Users/deploy/relative"));
  symlinkSync(test.dir, join(test.mac.root, "Users/deploy/folder"));
  await withSftp(async (sftp) => {
    for (const path of [
      "/../outside.txt",
      "../../../outside.txt",
      outside,
      "absolute",
      "relative",
      "folder/outside.txt",
    ]) {
      await expect(read(sftp, path), path).rejects.toThrow("No such file");
    }
    await expect(write(sftp, "folder/new.txt", "x")).rejects.toThrow("No such file");
    await write(sftp, "../../tmp/../../../tmp/kept-in.txt", "x");
  });
  expect(readFileSync(outside, "utf8")).toBe("not of the Mac");
  expect(readFileSync(join(test.mac.root, "tmp/kept-in.txt"), "utf8")).toBe("x");
});

it("refuses access that the administrator lacks without sudo", async () => {
  const install =
    'echo x > "$TMPDIR/s" && sudo -n install -m 0640 -o root -g wheel "$TMPDIR/s" "$SLM_NETWORK_ROOT/etc/secret"';
  expect(await test.run(install)).toMatchObject({ code: 0, stderr: "" });
  await withSftp(async (sftp) => {
    await expect(write(sftp, "/usr/local/tool", "x")).rejects.toThrow("Permission denied");
    await expect(write(sftp, "/Library/LaunchDaemons/x.plist", "x")).rejects.toThrow("Permission denied");
    await expect(read(sftp, "/etc/secret")).rejects.toThrow("Permission denied");
  });
});

it("truncates a file that is written again, makes and removes folders and links", async () => {
  await withSftp(async (sftp) => {
    await write(sftp, "/tmp/again", "a long text");
    await write(sftp, "/tmp/again", "short");
    expect(await read(sftp, "/tmp/again")).toBe("short");
    await promisify(sftp.mkdir.bind(sftp) as (path: string, done: (error?: Error | null) => void) => void)(
      "/tmp/folder",
    );
    await promisify(sftp.symlink.bind(sftp))("/tmp/again", "/tmp/link");
    expect(await read(sftp, "/tmp/link")).toBe("short");
    expect(await promisify(sftp.readlink.bind(sftp))("/tmp/link")).toBe("/tmp/again");
    await promisify(sftp.rmdir.bind(sftp))("/tmp/folder");
    await promisify(sftp.unlink.bind(sftp))("/tmp/link");
    await expect(read(sftp, "/tmp/link")).rejects.toThrow("No such file");
  });
  expect(await test.run('cat "$SLM_NETWORK_ROOT/tmp/again"')).toMatchObject({ stdout: "short" });
});

it("stops at a loop of links", () => {
  symlinkSync("b", join(test.mac.root, "Users/deploy/a"));
  symlinkSync("a", join(test.mac.root, "Users/deploy/b"));
  const paths = new RootPaths(test.mac.root, "/Users/deploy");
  expect(() => paths.resolve("a")).toThrow("too many levels of symbolic links");
  expect(paths.resolve("a", false)).toBe(join(test.mac.root, "Users/deploy/a"));
  expect(paths.resolve("~/x/./y/../z")).toBe(join(test.mac.root, "Users/deploy/x/z"));
});
