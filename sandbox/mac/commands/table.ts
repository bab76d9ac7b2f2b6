/** All emulated commands by name, with their folder on macOS. */
import { dseditgroup, id, sysadminctl } from "./accounts.ts";
import type { Command } from "./command.ts";
import { defaults } from "./defaults.ts";
import { dscl } from "./dscl.ts";
import { chgrp, chown, install, stat } from "./files.ts";
import { ioreg } from "./ioreg.ts";
import { last } from "./last.ts";
import { launchctl } from "./launchctl.ts";
import { lsof } from "./lsof.ts";
import { plutil } from "./plutil.ts";
import { pmset } from "./pmset.ts";
import { shasum } from "./shasum.ts";
import { sudoCheck, visudo } from "./sudoers.ts";
import { csrutil, fdesetup, swVers, sysctl, systemProfiler, systemsetup, uname } from "./system.ts";

/**
 * Folder on the Mac, and the emulated command. `sudo` runs in the caller's process and only checks permission here
 * (`sudo.ts`).
 */
export const commands: Readonly<Record<string, { folder: string; run: Command }>> = {
  chgrp: { folder: "usr/bin", run: chgrp },
  chown: { folder: "usr/sbin", run: chown },
  csrutil: { folder: "usr/bin", run: csrutil },
  defaults: { folder: "usr/bin", run: defaults },
  dscl: { folder: "usr/bin", run: dscl },
  dseditgroup: { folder: "usr/sbin", run: dseditgroup },
  fdesetup: { folder: "usr/bin", run: fdesetup },
  id: { folder: "usr/bin", run: id },
  install: { folder: "usr/bin", run: install },
  ioreg: { folder: "usr/sbin", run: ioreg },
  last: { folder: "usr/bin", run: last },
  launchctl: { folder: "bin", run: launchctl },
  lsof: { folder: "usr/sbin", run: lsof },
  plutil: { folder: "usr/bin", run: plutil },
  pmset: { folder: "usr/bin", run: pmset },
  shasum: { folder: "usr/bin", run: shasum },
  stat: { folder: "usr/bin", run: stat },
  sudo: { folder: "usr/bin", run: sudoCheck },
  sw_vers: { folder: "usr/bin", run: swVers },
  sysadminctl: { folder: "usr/sbin", run: sysadminctl },
  sysctl: { folder: "usr/sbin", run: sysctl },
  system_profiler: { folder: "usr/sbin", run: systemProfiler },
  systemsetup: { folder: "usr/sbin", run: systemsetup },
  uname: { folder: "usr/bin", run: uname },
  visudo: { folder: "usr/sbin", run: visudo },
};
