/** Alerts in Korean. */
import type { Words } from "./words.ts";

const STORES: Readonly<Record<string, string>> = { jobs: "작업 저장소", documents: "문서 저장소" };

export const ko: Words = {
  raised: {
    model_down: (subject, { seconds }) =>
      `모델 서버(${subject})가 ${seconds}초 동안 응답하지 않습니다. 요청은 503으로 거절되고 작업은 대기합니다.`,
    queue_wait: (subject, { seconds, waiting }) =>
      `${subject} 대기열: 요청이 ${seconds}초째 기다리고 있습니다. 대기 중인 요청은 ${waiting}건입니다.`,
    disk: (_, { percent, freeGiB }) =>
      `Mac의 디스크를 ${percent}% 사용 중입니다(남은 공간 ${freeGiB} GiB). 필요 없는 파일을 지우십시오. 큰 파일은 대개 모델입니다.`,
    quota: (subject, { percent }) => `${subject}: 할당량의 ${percent}%를 사용했습니다.`,
    token_end: (subject, { expiresAt }) =>
      `${subject}의 서비스 토큰이 ${expiresAt}에 만료됩니다. 그 전에 유효 기간을 늘리거나 새로 만드십시오(docs/rotation.md).`,
    update_waiting: (_, { updates }) =>
      `설치를 기다리는 macOS 업데이트가 있습니다: ${updates}. 편한 시간에 설치하십시오. Mac이 재시동됩니다.`,
    store_down: (subject, { seconds }) => `${STORES[subject] ?? subject}를 ${seconds}초 동안 사용할 수 없습니다.`,
    direct_line_down: (subject, { seconds }) =>
      `${subject}의 직통 회선이 ${seconds}초 동안 끊겨 있습니다. Cloudflare를 거치지 않는 호출은 실패합니다.`,
  },
  resolved: {
    model_down: (subject) => `모델 서버(${subject})가 다시 응답합니다.`,
    queue_wait: (subject) => `${subject} 대기열: 대기 시간이 정상으로 돌아왔습니다.`,
    disk: (_, { percent }) => `Mac의 디스크에 다시 여유가 생겼습니다(알림 당시 ${percent}% 사용).`,
    quota: (subject) => `${subject}: 할당량이 새로 시작되었습니다.`,
    token_end: (subject) => `${subject}의 서비스 토큰이 이제 곧 만료되지 않습니다.`,
    update_waiting: () => "설치를 기다리는 macOS 업데이트가 없습니다.",
    store_down: (subject) => `${STORES[subject] ?? subject}를 다시 사용할 수 있습니다.`,
    direct_line_down: (subject) => `${subject}의 직통 회선이 다시 연결되었습니다.`,
  },
  test: "시험 알림입니다. 이 네트워크의 알림이 여기로 옵니다.",
};
