/** `ioreg`: the entry of the machine itself, ioreg(8). */
import { type Command, fail, ok } from "./command.ts";

/** ioreg -rd1 -c IOPlatformExpertDevice, as Apple silicon prints it (reduced to entries with a fixed format) */
export const ioreg: Command = (call, { hardware }) => {
  const at = call.argv.indexOf("-c");
  const flags = call.argv.filter((arg, index) => arg.startsWith("-") && index !== at).join("");
  if (call.argv[at + 1] !== "IOPlatformExpertDevice" || at === -1 || !/r/.test(flags) || !/d1/.test(flags)) {
    return fail(64, "ioreg: the sandbox's ioreg knows -rd1 -c IOPlatformExpertDevice");
  }
  return ok(
    "+-o J575dAP  <class IOPlatformExpertDevice, id 0x100000249, registered, matched, active, busy 0 (0 ms), retain 42>",
    "    {",
    '      "IOPolledInterface" = "AppleARMWatchdogTimerHibernateHandler is not serializable"',
    '      "#address-cells" = <02000000>',
    '      "IOBusyInterest" = "IOCommand is not serializable"',
    '      "target-type" = <"J575d">',
    '      "name" = <"device-tree">',
    '      "manufacturer" = <"Apple Inc.">',
    '      "compatible" = <"J575dAP","Mac16,9","AppleARM">',
    `      "IOPlatformSerialNumber" = "${hardware.serial}"`,
    '      "model" = <"Mac16,9">',
    '      "IONWInterrupts" = "IONWInterrupts"',
    '      "device_type" = <"bootrom">',
    '      "#size-cells" = <02000000>',
    `      "IOPlatformUUID" = "${hardware.uuid}"`,
    "    }",
    "    ",
  );
};
