/** All checks, in the order in which a person would ask. */
import { directFindings } from "./direct.ts";
import type { Answer, Expected, Finding } from "./finding.ts";
import {
  chipFinding,
  clockFinding,
  diskFinding,
  macosFinding,
  metalFinding,
  remoteLoginFinding,
  sudoFinding,
} from "./machine.ts";
import { modelProbeFindings } from "./model-probe.ts";
import {
  autoLoginFinding,
  bootsFinding,
  fileVaultFinding,
  restartFinding,
  sleepFinding,
  updatesFinding,
  upsFinding,
} from "./power.ts";
import type { Question } from "./questions.ts";
import { atlasFinding, modelFinding, modelStartFinding, relayFinding, slotsFinding, tunnelFinding } from "./service.ts";

/** What the Mac said, by question. */
export type Answers = Partial<Record<Question, Answer>>;

/** @returns one finding a check */
export function findings(answers: Answers, expected: Expected): Finding[] {
  return [
    sudoFinding(answers.sudo, expected.mac.user),
    macosFinding(answers.macos),
    chipFinding(answers.chip),
    metalFinding(answers.metal),
    diskFinding(answers.disk, expected),
    clockFinding(answers.clock, expected),
    fileVaultFinding(answers.fileVault),
    restartFinding(answers.power),
    sleepFinding(answers.power),
    upsFinding(answers.ups),
    updatesFinding(answers.updates),
    autoLoginFinding(answers.autoLogin),
    remoteLoginFinding(answers.remoteLogin),
    bootsFinding(answers.boots, answers.panics),
    modelFinding(answers.model, expected),
    modelStartFinding(answers, expected),
    slotsFinding(answers, expected),
    ...modelProbeFindings(answers.modelProbe),
    relayFinding(answers.relayReady, answers.relayState),
    tunnelFinding(answers.tunnel, answers.tunnelPlaces, expected),
    ...directFindings(answers.direct, expected.directServers ?? []),
    ...(expected.documents.store === "atlas" ? [atlasFinding(answers.atlas)] : []),
  ];
}

/** @returns 0 when nothing has failed, else 1 */
export const exitCode = (found: readonly Finding[]): number => (found.some(({ level }) => level === "fail") ? 1 : 0);
