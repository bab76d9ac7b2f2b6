/** What `npm run alerts` prints. Pure. */
import { z } from "zod";
import { ALERT_KINDS, type AlertKind } from "../../runtime/alert-config.ts";
import type { Language } from "../language.ts";

/** The part of the relay's `/details` that is shown; absent without webhooks. */
export const detailsSchema = z.looseObject({
  alerts: z
    .object({
      active: z.array(z.looseObject({ kind: z.enum(ALERT_KINDS), subject: z.string(), since: z.string() })),
      webhooks: z.array(
        z.object({
          host: z.string(),
          format: z.string(),
          pending: z.int(),
          last: z.array(
            z.object({
              type: z.string(),
              at: z.string(),
              isDelivered: z.boolean(),
              status: z.int().optional(),
              reason: z.string().optional(),
            }),
          ),
        }),
      ),
    })
    .optional(),
});
export type AlertsShown = NonNullable<z.infer<typeof detailsSchema>["alerts"]>;

/** What `relay.mjs --test-alerts` prints. */
export const testSchema = z.array(
  z.object({
    host: z.string(),
    format: z.string(),
    isDelivered: z.boolean(),
    status: z.int().optional(),
    reason: z.string().optional(),
  }),
);
export type TestResults = z.infer<typeof testSchema>;

interface Words {
  readonly kinds: Readonly<Record<AlertKind, string>>;
  readonly none: string;
  readonly since: (at: string) => string;
  readonly nothingSent: string;
  readonly pending: (count: number) => string;
  readonly delivered: string;
  readonly failed: (reason: string) => string;
}

const en: Words = {
  kinds: {
    model_down: "model server down",
    queue_wait: "long waits",
    disk: "disk nearly full",
    quota: "limit reached",
    token_end: "service token ends soon",
    update_waiting: "macOS update waiting",
    store_down: "store unavailable",
    direct_line_down: "direct line down",
  },
  none: "No alert at the moment.",
  since: (at) => `since ${at}`,
  nothingSent: "nothing sent yet",
  pending: (count) => `${count} waiting to be delivered`,
  delivered: "delivered",
  failed: (reason) => `not delivered: ${reason}`,
};

const ko: Words = {
  kinds: {
    model_down: "모델 서버 중단",
    queue_wait: "긴 대기",
    disk: "디스크 부족",
    quota: "한도 도달",
    token_end: "서비스 토큰 만료 임박",
    update_waiting: "macOS 업데이트 대기",
    store_down: "저장소 사용 불가",
    direct_line_down: "직통 회선 끊김",
  },
  none: "지금은 알림이 없습니다.",
  since: (at) => `${at}부터`,
  nothingSent: "아직 보낸 것이 없음",
  pending: (count) => `전달 대기 ${count}건`,
  delivered: "전달됨",
  failed: (reason) => `전달되지 않음: ${reason}`,
};

const WORDS: Readonly<Record<Language, Words>> = { en, ko };

/** What is an alert now, and how the last messages went. */
export function render({ active, webhooks }: AlertsShown, language: Language): string {
  const say = WORDS[language];
  const alerts = active.map(({ kind, subject, since }) => `! ${say.kinds[kind]} (${subject}) ${say.since(since)}`);
  const sent = webhooks.flatMap(({ host, format, pending, last }) => [
    `${host} (${format})${pending > 0 ? `: ${say.pending(pending)}` : ""}`,
    ...(last.length === 0
      ? [`  ${say.nothingSent}`]
      : last.map((one) => `  ${one.at}  ${one.type}  ${ended(one, say)}`)),
  ]);
  return [...(alerts.length > 0 ? alerts : [say.none]), "", ...sent].join("\n");
}

/** How the test of each webhook went. */
export function renderTest(results: TestResults, language: Language): string {
  return results.map((one) => `${one.host} (${one.format})  ${ended(one, WORDS[language])}`).join("\n");
}

function ended(
  { isDelivered, reason, status }: TestResults[number] | AlertsShown["webhooks"][number]["last"][number],
  say: Words,
): string {
  return isDelivered ? `${say.delivered} (${status ?? "–"})` : say.failed(reason ?? String(status ?? "?"));
}
