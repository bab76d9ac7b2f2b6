/** All checks, in the order of the report. A new check is a file in checks/, a line here, and its title and words in messages/. */
import type { Check } from "./check.ts";
import { atlas } from "./checks/atlas.ts";
import { autoLogin } from "./checks/auto-login.ts";
import { chip } from "./checks/chip.ts";
import { clock } from "./checks/clock.ts";
import { directLines } from "./checks/direct-lines.ts";
import { disk } from "./checks/disk.ts";
import { fileVault } from "./checks/file-vault.ts";
import { lastStarts } from "./checks/last-starts.ts";
import { macos } from "./checks/macos.ts";
import { metal } from "./checks/metal.ts";
import { modelAutostart } from "./checks/model-autostart.ts";
import { repeatedPrompts, reproducibleVectors } from "./checks/model-probe.ts";
import { modelServer } from "./checks/model-server.ts";
import { modelSlots } from "./checks/model-slots.ts";
import { powerRestart } from "./checks/power-restart.ts";
import { relay } from "./checks/relay.ts";
import { remoteLogin } from "./checks/remote-login.ts";
import { sleep } from "./checks/sleep.ts";
import { sudo } from "./checks/sudo.ts";
import { tunnel } from "./checks/tunnel.ts";
import { updates } from "./checks/updates.ts";
import { ups } from "./checks/ups.ts";

export const checks: readonly Check[] = [
  sudo,
  macos,
  chip,
  metal,
  disk,
  clock,
  fileVault,
  powerRestart,
  sleep,
  ups,
  updates,
  autoLogin,
  remoteLogin,
  lastStarts,
  modelServer,
  modelAutostart,
  modelSlots,
  repeatedPrompts,
  reproducibleVectors,
  relay,
  tunnel,
  directLines,
  atlas,
];
