/** The answer in one sentence for the owner, in Korean or English, and the words of the report. */
import type { Language } from "../language.ts";
import type { Level } from "./stats.ts";
import type { Sweep } from "./sweep.ts";

/** Part of the requests that the sentence holds for: the times are their p90, the rates their p10. */
const PERCENT = 90;

/** `1.2`, `85`: two digits that mean something. */
export function rounded(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return value >= 10 ? String(Math.round(value)) : String(Math.round(value * 10) / 10);
}

const seconds = (ms: number): string => rounded(Math.ceil(ms / 100) / 10);

/** The first measured level above the knee, from where on requests only wait. */
export function aboveKnee({ levels, knee }: Sweep): Level | undefined {
  return knee && levels.find(({ atOnce }) => atOnce > knee.atOnce);
}

/** What becomes of requests above the knee. */
function beyond(sweep: Sweep): { from: number; loses: boolean } | undefined {
  const above = aboveKnee(sweep);
  if (above === undefined || sweep.knee === undefined) return undefined;
  return { from: above.atOnce, loses: above.tokensPerSecond < 0.95 * sweep.knee.tokensPerSecond };
}

/** @returns e.g. "Up to 4 at once: first token within 1.2 s, 22 tokens per second each (90 %). From 6 on it only gets slower." */
export function sentence(sweep: Sweep | undefined, language: Language): string {
  const knee = sweep?.knee;
  if (sweep === undefined || knee === undefined)
    return language === "ko" ? "측정된 것이 없습니다." : "Nothing was measured.";
  const { isComplete, levels } = sweep;
  const after = beyond(sweep);
  const most = levels.at(-1)?.atOnce ?? knee.atOnce;
  if (language === "ko") {
    const first = `동시에 ${knee.atOnce}건까지: 첫 글자까지 ${seconds(knee.ttft.p90)}초 이하, 초당 ${rounded(knee.perAnswer)}토큰(${PERCENT}%).`;
    const next =
      after === undefined
        ? isComplete
          ? `${most}건까지 재었고 그 위는 재지 않았습니다.`
          : "중간에 멈추어 그 위는 재지 않았습니다."
        : after.loses
          ? `${after.from}건부터는 전체가 오히려 느려집니다.`
          : `${after.from}건부터는 느려지기만 합니다.`;
    return `${first} ${next}`;
  }
  const first = `Up to ${knee.atOnce} at once: first token within ${seconds(knee.ttft.p90)} s, ${rounded(knee.perAnswer)} tokens per second each (${PERCENT} %).`;
  const next =
    after === undefined
      ? isComplete
        ? `Measured up to ${most}; more was not tried.`
        : "It was ended early; more was not tried."
      : after.loses
        ? `From ${after.from} on the whole server gets slower.`
        : `From ${after.from} on requests only wait.`;
  return `${first} ${next}`;
}
