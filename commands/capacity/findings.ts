/** What a run means for the owner, in sentences of either language: what is, and what to set. Pure. */

import type { Language } from "../language.ts";
import type { Capacity, Part } from "./measure.ts";
import { SAME_VECTOR } from "./probes.ts";
import { rounded } from "./sentence.ts";

/** Throughput at the end differs so much from the start: something else was going on. */
const DRIFTED = 0.15;

const grouped = (value: number): string => Math.round(value).toLocaleString("en-US");

/** Money: cents only where they matter. */
const money = (value: number): string => (value >= 100 ? grouped(value) : value.toFixed(2));

/** What to put where, how many users, the wait at twice that, and a day's tokens. */
export function adviceLines(
  { advice }: Part,
  currency: string,
  questionsPerHour: number,
  language: Language,
): string[] {
  if (advice === undefined) return [];
  const { atOnce, users, waitMs, waitAtTwiceMs, tokensPerDay, costPerDay } = advice;
  const wait = (ms: number) => rounded(ms / 1000);
  if (language === "ko") {
    return [
      `설정: limits.chat: ${atOnce} (Ollama라면 OLLAMA_NUM_PARALLEL=${atOnce}).`,
      `한 사람이 한 시간에 ${rounded(questionsPerHour)}번 묻는다면 ${grouped(users)}명까지: 평균 대기 ${wait(waitMs)}초.`,
      waitAtTwiceMs === undefined
        ? `그 두 배(${grouped(2 * users)}명)면 대기가 끝없이 늘어납니다.`
        : `그 두 배(${grouped(2 * users)}명)면 평균 대기 ${wait(waitAtTwiceMs)}초.`,
      `하루 종일 돌리면 출력 ${grouped(tokensPerDay)}토큰${costPerDay === undefined ? "" : `, 클라우드라면 하루 ${money(costPerDay)} ${currency}`}.`,
    ];
  }
  return [
    `Set limits.chat to ${atOnce}, and with Ollama OLLAMA_NUM_PARALLEL to ${atOnce} as well.`,
    `At ${rounded(questionsPerHour)} questions per user and hour: up to ${grouped(users)} users, who wait ${wait(waitMs)} s on average.`,
    waitAtTwiceMs === undefined
      ? `At twice that (${grouped(2 * users)} users) the queue grows without end.`
      : `At twice that (${grouped(2 * users)} users) they wait ${wait(waitAtTwiceMs)} s on average.`,
    `A day at full load: ${grouped(tokensPerDay)} output tokens${costPerDay === undefined ? "" : `, for which a cloud would charge ${money(costPerDay)} ${currency}`}.`,
  ];
}

/** How far the throughput at the knee varied. */
function spreadNotes(parts: readonly Part[], say: (level: Note["level"], ko: string, en: string) => Note): Note[] {
  const measured = parts.flatMap(({ sweep: { knee, isSettled } }) =>
    knee && knee.runs > 1 ? [{ knee, isSettled }] : [],
  );
  if (measured.length === 0) return [];
  const runs = [...new Set(measured.map(({ knee }) => knee.runs))].join(", ");
  const spread = Math.round(100 * Math.max(...measured.map(({ knee }) => knee.spread)));
  if (measured.every(({ isSettled }) => isSettled))
    return [
      say(
        "ok",
        `최적 지점의 수는 번갈아 ${runs}번씩 잰 중앙값이며, 처리량은 ±${spread}% 안에서 흔들렸습니다.`,
        `Numbers at the knee are medians of ${runs} windows each, in turn; throughput varied by ±${spread} % (the middle half of them).`,
      ),
    ];
  return [
    say(
      "warn",
      `최적 지점의 수가 시간 안에 안정되지 않았습니다 (${runs}번씩, ±${spread}%): --minutes를 늘리거나 조용할 때 다시 재십시오.`,
      `The numbers at the knee had not settled in time (${runs} windows each, ±${spread} %): give more --minutes, or measure when it is quiet.`,
    ),
  ];
}

/** One fact, and what to do about it. */
export interface Note {
  readonly level: "ok" | "warn";
  readonly text: string;
}

/** Everything else that was found. */
export function notes(capacity: Capacity, language: Language): Note[] {
  const say = (level: Note["level"], ko: string, en: string): Note => ({ level, text: language === "ko" ? ko : en });
  const { warm, vectors, target, relaySlots, others, drift, endedBy, parts } = capacity;
  const found: Note[] = [];
  if (warm?.state === "warm") {
    found.push(
      say(
        "ok",
        `반복된 프롬프트는 캐시에서 옵니다: 첫 글자까지 ${rounded(warm.firstMs)} ms → ${rounded(warm.againMs)} ms.`,
        `A repeated prompt is warm: first token after ${rounded(warm.firstMs)} ms the first time, ${rounded(warm.againMs)} ms again.`,
      ),
    );
  } else if (warm?.state === "cold") {
    found.push(
      say(
        "warn",
        `반복된 프롬프트를 처음부터 다시 계산합니다 (${rounded(warm.firstMs)} ms → ${rounded(warm.againMs)} ms). llama-server라면 --cache-ram(기본 8192 MiB)을 켜 두십시오: 문서에 대한 질문에서 2.7배 빨라집니다. Ollama라면 0.30 이상으로 올리십시오.`,
        `A repeated prompt is computed again (${rounded(warm.firstMs)} ms, then ${rounded(warm.againMs)} ms). With llama-server leave --cache-ram on (8192 MiB by default): it is worth 2.7 times on questions about documents. With Ollama use 0.30 or later.`,
      ),
    );
  } else if (warm?.state === "unknown") {
    found.push(
      say(
        "ok",
        "반복된 프롬프트가 캐시에서 오는지는 알 수 없습니다: 프롬프트 길이가 첫 글자까지의 시간에 영향을 주지 않습니다.",
        "Whether a repeated prompt is warm cannot be told: the prompt's length makes no difference here.",
      ),
    );
  }
  if (typeof vectors === "object") {
    found.push(
      vectors.isReproducible
        ? say(
            "ok",
            `벡터는 재현됩니다 (코사인 ${vectors.cosine.toFixed(4)}).`,
            `Vectors can be reproduced (cosine ${vectors.cosine.toFixed(4)}).`,
          )
        : say(
            "warn",
            `같은 글이 다른 벡터가 됩니다 (코사인 ${vectors.cosine.toFixed(3)}, ${SAME_VECTOR} 이상이어야 함). 임베딩 전용 모델을 쓰거나, 임베딩 서버의 프롬프트 캐시를 끄십시오.`,
            `The same text gets different vectors (cosine ${vectors.cosine.toFixed(3)}, which must be at least ${SAME_VECTOR}). Use an embedding model proper, or turn the prompt cache off for embeddings.`,
          ),
    );
  } else if (vectors !== undefined) {
    found.push(say("ok", `벡터는 확인하지 못했습니다: ${vectors}.`, `Vectors were not checked: ${vectors}.`));
  }
  if (relaySlots !== undefined && target.slots !== undefined && relaySlots !== target.slots) {
    found.push(
      say(
        "warn",
        `릴레이는 한 번에 ${relaySlots}건을 보내지만 모델 서버는 ${target.slots}건을 받습니다: 두 수를 같게 하십시오.`,
        `The relay sends ${relaySlots} at once, the model server takes ${target.slots}: make the two numbers the same.`,
      ),
    );
  }
  if (capacity.ledgerCalls !== undefined) {
    found.push(
      say(
        "ok",
        `길이는 기록된 답 ${grouped(capacity.ledgerCalls)}건의 것입니다: 질문은 중앙값, 답은 중앙값과 90%.`,
        `The lengths are those of ${grouped(capacity.ledgerCalls)} answers of the ledger: the median question, the median answer and the 90th percentile.`,
      ),
    );
  }
  found.push(...spreadNotes(parts, say));
  const knees = parts.flatMap(({ sweep: { knee } }) => (knee ? [knee.atOnce] : []));
  if (new Set(knees).size > 1) {
    found.push(
      say(
        "ok",
        `짧은 답과 긴 답의 최적 동시 처리 수가 다릅니다 (${knees.join(", ")}): 고정값은 작은 쪽입니다. limits.chat: auto는 부하를 따라갑니다.`,
        `Short and long answers have different knees (${knees.join(", ")}): a fixed number must be the smaller one. limits.chat: auto follows the load.`,
      ),
    );
  }
  if (others) {
    found.push(
      say(
        "warn",
        `재는 동안 다른 호출이 최대 ${others.most}건 있었습니다: 실제로는 더 많이 처리할 수 있습니다. 조용할 때 다시 재십시오.`,
        `Up to ${others.most} requests of others ran meanwhile (as ${others.source} says): the server can do more than this. Measure again when it is quiet.`,
      ),
    );
  }
  if (drift !== undefined && Math.abs(drift - 1) > DRIFTED) {
    found.push(
      say(
        "warn",
        `끝에서 다시 재니 처음의 ${Math.round(drift * 100)}%였습니다: 다른 일이 함께 돌았거나 Mac이 뜨거워졌습니다.`,
        `One at a time was ${Math.round(drift * 100)} % of the start when measured again at the end: something else was running, or the Mac got hot.`,
      ),
    );
  }
  const failing = parts
    .flatMap(({ sweep: { levels }, warm: again }) => [...levels, ...(again ? [again] : [])])
    .find(({ failed, refused }) => failed + refused > 0);
  if (failing) {
    found.push(
      say(
        "warn",
        `${failing.atOnce}건에서 ${failing.failed + failing.refused}건이 거절되거나 실패했습니다: ${failing.why}.`,
        `At ${failing.atOnce}, ${failing.failed + failing.refused} requests were refused or failed: ${failing.why}.`,
      ),
    );
  }
  if (endedBy !== undefined) {
    const why = {
      user: ["사용자가 멈춤", "ended by hand"],
      time: ["시간 한도", "the time was up"],
      tokens: ["토큰 한도", "the tokens were used up"],
    }[endedBy];
    found.push(say("warn", `끝까지 재지 못했습니다 (${why[0]}).`, `Not everything was measured: ${why[1]}.`));
  }
  return found;
}
