/** Commands that describe the machine. */
import { type Command, fail, illegalOption, ok } from "./command.ts";

/** macOS 26 runs Darwin 25, macOS 15 Darwin 24. */
function kernelOf(macos: string): string {
  const [major = 26, minor = 0] = macos.split(".").map(Number);
  return `${major >= 26 ? major - 1 : major + 9}.${minor}.0`;
}
/** Apple's build numbers begin with Darwin's version and a letter for the minor one; the rest is invented. */
const buildOf = (macos: string): string => {
  const [darwin, minor] = kernelOf(macos).split(".").map(Number);
  return `${darwin}${String.fromCharCode(65 + (minor ?? 0))}80`;
};

/** sw_vers [-productName|-productVersion|-buildVersion] */
export const swVers: Command = (call, { macos }) => {
  switch (call.argv[0]?.replace(/^--?/, "")) {
    case undefined:
      return ok("ProductName:\t\tmacOS", `ProductVersion:\t\t${macos}`, `BuildVersion:\t\t${buildOf(macos)}`);
    case "productName":
      return ok("macOS");
    case "productVersion":
      return ok(macos);
    case "buildVersion":
      return ok(buildOf(macos));
    default:
      return fail(1, "Usage: sw_vers [--help|--productName|--productVersion|--productVersionExtra|--buildVersion]");
  }
};

/** uname [-amnrsv] */
export const uname: Command = (call, { macos }) => {
  const illegal = illegalOption("uname", call.argv, "amnoprsv", "uname [-amnoprsv]");
  if (illegal) return illegal;
  const kernel = kernelOf(macos);
  const flags = call.argv.join("").replaceAll("-", "") || "s";
  const fields: [string, string][] = [
    ["s", "Darwin"],
    ["n", "mac-studio.local"],
    ["r", kernel],
    ["v", `Darwin Kernel Version ${kernel}: root:xnu/RELEASE_ARM64_T6031`],
    ["m", "arm64"],
  ];
  const wanted = fields.filter(([flag]) => flags.includes("a") || flags.includes(flag)).map(([, value]) => value);
  if (flags.includes("p")) wanted.push("arm");
  return wanted.length > 0 ? ok(wanted.join(" ")) : fail(1, "usage: uname [-amnoprsv]");
};

/** sysctl [-n] name …: a subset of the hardware's and kernel's names */
export const sysctl: Command = (call, { macos }) => {
  const values: Record<string, string> = {
    "hw.memsize": String(128 * 2 ** 30),
    "hw.model": "Mac16,9",
    "hw.ncpu": "16",
    "hw.physicalcpu": "16",
    "hw.optional.arm64": "1",
    "machdep.cpu.brand_string": "Apple M4 Max",
    "kern.osproductversion": macos,
    "kern.osrelease": kernelOf(macos),
    "kern.ostype": "Darwin",
  };
  const isBare = call.argv.some((arg) => /^-[a-z]*n/.test(arg));
  const names = call.argv.filter((arg) => !arg.startsWith("-"));
  const unknown = names.find((name) => !Object.hasOwn(values, name));
  if (unknown !== undefined) return fail(1, `sysctl: unknown oid '${unknown}'`);
  return ok(...names.map((name) => (isBare ? `${values[name]}` : `${name}: ${values[name]}`)));
};

/** fdesetup isactive|status; isactive's exit code is 0 when FileVault is on */
export const fdesetup: Command = (call, { power }) => {
  const { fileVault } = power.value;
  switch (call.argv[0] ?? "") {
    case "isactive":
      return { ...ok(String(fileVault)), code: fileVault ? 0 : 1 };
    case "status":
      return ok(`FileVault is ${fileVault ? "On" : "Off"}.`);
    default:
      return fail(1, "fdesetup: the sandbox's fdesetup knows isactive and status");
  }
};

/** csrutil status */
export const csrutil: Command = (call) =>
  call.argv[0] === "status"
    ? ok("System Integrity Protection status: enabled.")
    : fail(1, "csrutil: the sandbox's csrutil knows status");

/** systemsetup -getremotelogin | -getrestartpowerfailure | -setrestartpowerfailure on|off */
export const systemsetup: Command = (call, mac) => {
  if (call.user !== "root") return fail(1, "You need administrator access to run this tool... exiting!");
  const [verb = "", value = ""] = call.argv;
  switch (verb.toLowerCase()) {
    case "-getremotelogin":
      return ok("Remote Login: On");
    case "-getrestartpowerfailure":
      return ok(`Restart After Power Failure: ${mac.power.value.ac.autorestart === 1 ? "On" : "Off"}`);
    case "-setrestartpowerfailure":
      if (value !== "on" && value !== "off") return fail(1, "systemsetup: say on or off");
      mac.power.value.ac.autorestart = value === "on" ? 1 : 0;
      mac.power.save();
      return ok(`setrestartpowerfailure: ${value === "on" ? "On" : "Off"}`);
    default:
      return fail(1, `systemsetup: the sandbox's systemsetup does not know ${verb}`);
  }
};

/** system_profiler SPDisplaysDataType|SPHardwareDataType: a Mac Studio without a display */
export const systemProfiler: Command = (call, { hardware }) => {
  const types = call.argv.filter((arg) => !arg.startsWith("-"));
  if (types.join() === "SPHardwareDataType") {
    return ok(
      "Hardware:",
      "",
      "    Hardware Overview:",
      "",
      "      Model Name: Mac Studio",
      "      Model Identifier: Mac16,9",
      "      Chip: Apple M4 Max",
      "      Memory: 128 GB",
      `      Serial Number (system): ${hardware.serial}`,
      `      Hardware UUID: ${hardware.uuid}`,
      "",
    );
  }
  if (types.join() !== "SPDisplaysDataType") {
    return fail(1, "system_profiler: the sandbox's system_profiler knows SPDisplaysDataType and SPHardwareDataType");
  }
  return ok(
    "Graphics/Displays:",
    "",
    "    Apple M4 Max:",
    "",
    "      Chipset Model: Apple M4 Max",
    "      Type: GPU",
    "      Bus: Built-In",
    "      Total Number of Cores: 40",
    "      Vendor: Apple (0x106b)",
    "      Metal Support: Metal 4",
    "",
  );
};
