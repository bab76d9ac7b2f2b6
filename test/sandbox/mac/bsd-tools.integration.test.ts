import { afterAll, beforeAll, expect, it } from "vitest";
import { type TestMac, testMac } from "./fixture.ts";

let test: TestMac;
beforeAll(async () => {
  test = await testMac();
});
afterAll(() => test.end());

it.runIf(process.platform !== "darwin").each([
  ["sed -i s/a/b/ file", "GNU's -i takes no suffix"],
  ["sed --in-place s/a/b/ file", "long options"],
  ["date -d tomorrow", "BSD's -d is another"],
  ["ln -sfn -T here there", "-T"],
  ["cp -aT here there", "a letter among others"],
  ["cp here there -R", "an option after an operand"],
  ["mv --backup here there", "long options"],
  ["readlink -e file", "-e"],
  ["grep -P '\\d' file", "Perl's expressions"],
  ["head -n-1 file", "all but the last"],
  ["find . -printf '%p'", "-printf"],
  ["base64 -w0 file", "-w"],
  ["xargs -d , echo", "-d"],
  ["du -sb file", "bytes"],
  ["df --output=avail file", "long options"],
  ["touch --date=tomorrow file", "long options"],
  ["tar --transform s/a/b/ -cf x file", "--transform"],
])("refuses %s (%s)", async (command) => {
  const ran = await test.run(`printf 'a1\\n' > file; mkdir -p here; ${command}`);
  expect(ran.code, ran.stdout).toBe(64);
  expect(ran.stderr).toContain("macOS has BSD's");
  expect((await test.run("cat file")).stdout).toBe("a1\n");
});

it.runIf(process.platform !== "darwin").each(["systemctl status", "timeout 1 true", "useradd x", "getent passwd root"])(
  "has no `%s`",
  async (command) => {
    expect((await test.run(command)).code).toBe(127);
  },
);

it("accepts options common to both, and BSD's in-place editing", async () => {
  const script = `printf 'a1\\na2\\n' > f
sed -i '' s/a/b/ f && sed -i .bak -e s/b/c/ f && cat f f.bak
cp -R f g && mv -f g h && ln -sfn h l && readlink l && rm -f h l
mkdir -p -m 755 d/e && chmod 700 d && rm -rf d && head -n 1 f && grep -E 'c[12]' f | tail -n 1
tar -czf x.tgz f && tar -tzf x.tgz && date -u +%Y >/dev/null && echo whole | base64 | base64 --decode`;
  const ran = await test.run(script);
  expect(ran.stderr).toBe("");
  expect(ran.stdout).toBe("c1\nc2\nb1\nb2\nh\nc1\nc2\nf\nwhole\n");
});
