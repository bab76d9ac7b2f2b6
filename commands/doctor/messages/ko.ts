/** What the doctor says, in Korean. */
import type { Said } from "../said.ts";
import type { Messages } from "./en.ts";

const setKey = "서버를 시작할 때 쓴 키로 `pulumi config set --secret modelKey`를 실행한 뒤 `pulumi up`을 실행하십시오.";
const deniedMeans = "호출은 502 model_server_denied로 거절되고 작업은 대기합니다.";
const aboutRevoked = "대시보드에서 폐기한 토큰도 다음 `pulumi up --refresh`까지는 여기서 통합니다";
const prepareLine = (server: string) =>
  `그 서버에서 root로 \`npm run direct -- --prepare ${server}\`가 출력하는 명령을 실행하십시오`;
const viaCloudflare = "이 서버의 요청은 Cloudflare를 거쳐야 합니다.";
const waitThere = "나머지는 모델 서버 안에서 기다리며, 그곳에는 공정 배분도 waitSeconds도 적용되지 않습니다.";

function duration(seconds: number): string {
  if (seconds < 120) return `${Math.round(seconds)}초`;
  if (seconds < 7200) return `${Math.round(seconds / 60)}분`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)}시간` : `${Math.round(seconds / 86_400)}일`;
}

export const ko: Messages = {
  titles: {
    sudo: "sudo",
    macOS: "macOS",
    chip: "칩",
    Metal: "Metal",
    disk: "디스크",
    clock: "시계",
    FileVault: "FileVault",
    "power returns": "전원 복구",
    sleep: "잠자기",
    UPS: "UPS",
    "automatic updates": "자동 업데이트",
    "automatic login": "자동 로그인",
    "Remote Login": "원격 로그인",
    "last starts": "최근 시동",
    "model server": "모델 서버",
    "model server's start": "모델 서버 시작",
    slots: "슬롯",
    "repeated prompts": "반복 프롬프트",
    vectors: "벡터",
    relay: "릴레이",
    tunnel: "터널",
    "direct line": "직통 회선",
    Atlas: "Atlas",
  },
  titleOf: (title, subject) => `${title}: ${subject}`,
  summary: (mac, ok, warn, fail) =>
    `${mac}: 정상 ${ok}, 확인 필요 ${warn}, 고칠 것 ${fail}. 아무것도 바꾸지 않았습니다.`,
  unknown: {
    found: (reason) => `알 수 없음(${reason})`,
    means: "점검하지 못했습니다.",
    notAsked: "확인하지 않음",
    exitCode: (code) => `종료 코드 ${code}`,
  },
  sudo: {
    ok: (user) => `${user} 계정은 암호 없이 root가 됩니다`,
    no: (user): Said => [
      `${user} 계정이 \`sudo -n\`을 쓸 수 없습니다`,
      "`pulumi up`이 아무것도 설치하지 못하며, 아래 점검 중 일부도 할 수 없었습니다.",
      "`npm run ssh -- --prepare`가 출력하는 명령을 Mac에서 실행하십시오.",
    ],
  },
  macos: {
    old: (found, oldest): Said => [
      found,
      `릴레이에는 macOS ${oldest} 이상이 필요합니다.`,
      "macOS를 업데이트하십시오: 시스템 설정 → 일반 → 소프트웨어 업데이트.",
    ],
  },
  chip: {
    memory: (size) => `메모리 ${size}`,
    other: (found): Said => [
      found,
      "Node와 cloudflared는 Apple 실리콘용으로 설치됩니다.",
      "스택 설정의 artifacts.node와 artifacts.cloudflared를 이 칩용 빌드로 바꾸십시오.",
    ],
  },
  metal: {
    cores: (cores) => `${cores}코어`,
    none: "그래픽 프로세서 없음",
    no: (found): Said => [
      found,
      "모델이 CPU만으로 실행되어 몇 배나 느립니다.",
      "가상 머신에는 Metal이 없습니다. 실제 Mac이라면 재시동한 뒤 Apple 메뉴 → 이 Mac에 관하여 → 추가 정보 → 시스템 리포트 → 그래픽에서 확인하십시오.",
    ],
  },
  disk: {
    found: (free, total) => `전체 ${total} 중 ${free} 남음`,
    todo: "필요 없는 파일을 지우십시오. 큰 파일은 대개 모델입니다(`ollama list`, `ollama rm <모델>`).",
    low: "디스크가 거의 찼습니다.",
    full: (limit) => `${limit}(jobs.minFreeMiB) 미만이면 새 작업을 받지 않습니다. 호출자는 507 disk_low를 받습니다.`,
  },
  clock: {
    same: "이 컴퓨터와 같음",
    ahead: (seconds) => `이 컴퓨터보다 ${seconds}초 빠름`,
    behind: (seconds) => `이 컴퓨터보다 ${seconds}초 느림`,
    off: (found, tolerance): Said => [
      found,
      `로그인 토큰에는 시각이 들어 있어, 차이가 ${tolerance}초를 넘으면 모든 요청이 401로 거절됩니다. (이 컴퓨터의 시계가 틀렸을 수도 있습니다.)`,
      "Mac에서: 시스템 설정 → 일반 → 날짜 및 시간 → 시간과 날짜를 자동으로 설정; 또는 `sudo sntp -sS time.apple.com`.",
    ],
  },
  fileVault: {
    off: "꺼짐: 사람 없이 시동합니다",
    on: (): Said => [
      "켜짐",
      "정전 뒤 Mac은 암호를 입력할 때까지 아무것도 시작하지 않으며, 이를 피하는 설정은 없습니다. macOS 26에서는 SSH로(Mac의 사용자로) 암호를 입력할 수 있고, 그 밖에는 화면 앞에서 입력해야 합니다.",
      "끄고(시스템 설정 → 개인정보 보호 및 보안 → FileVault) Mac을 잠긴 곳에 두거나, 켜 둔 채 정전 뒤에 누가 올지 정해 두십시오.",
    ],
  },
  powerRestart: {
    on: (settings) => `Mac이 스스로 켜집니다(${settings})`,
    off: (): Said => [
      "Mac이 꺼진 채로 있습니다(autorestart 0)",
      "정전 뒤 누군가 전원 버튼을 눌러야 합니다.",
      "`pulumi up`이 설정합니다. 직접 하려면 `sudo pmset -a autorestart 1`, 또는 시스템 설정 → 에너지 → 정전 후 자동으로 시동.",
    ],
  },
  sleep: {
    never: "잠자지 않음",
    after: (minutes): Said => [
      `${minutes}분 동안 쓰지 않으면 잠듦`,
      "잠든 Mac은 응답하지 않습니다. 누군가 깨울 때까지 호출자는 530을 받습니다.",
      "`pulumi up`이 설정합니다. 직접 하려면 `sudo pmset -a sleep 0`, 또는 시스템 설정 → 에너지 → 자동으로 잠자지 않게 하기.",
    ],
  },
  ups: {
    none: "이 Mac을 종료시키는 UPS가 없습니다",
    shuts: (thresholds): Said => [
      `${thresholds}에 따라 Mac을 종료시킵니다`,
      "UPS가 다 닳기 전에 전원이 돌아오면 Mac은 전원을 잃은 적이 없어 꺼진 채로 있을 수 있습니다. 정상 종료 뒤에는 ‘정전 후 자동으로 시동’이 적용되지 않습니다.",
      "기준값을 없애십시오(`sudo pmset -u haltlevel 0 haltafter 0 haltremain 0`). 접수된 작업은 정전에도 남습니다. 아니면 실제 Mac에서 다시 켜지는지 시험하십시오(docs/operations.md).",
    ],
  },
  updates: {
    off: "꺼짐",
    on: "켜짐",
    unset: "설정되지 않아 macOS의 기본값을 따릅니다",
    mayRestart: (found, key): Said => [
      found,
      "macOS를 설치하려고 밤에 Mac이 재시동될 수 있습니다. 사람 없이도 복구되지만, 처리 중이던 응답은 잃습니다.",
      `시스템 설정 → 일반 → 소프트웨어 업데이트 → 자동 업데이트 → macOS 업데이트 설치를 끄고 편한 때에 업데이트하십시오. 또는 \`sudo defaults write /Library/Preferences/com.apple.SoftwareUpdate ${key} -bool false\`.`,
    ],
  },
  autoLogin: {
    off: "꺼짐",
    as: (user): Said => [
      `${user} 계정으로 켜짐`,
      "Mac 앞에 있는 누구나 로그인된 상태가 됩니다. 릴레이와 터널은 로그인 없이 실행됩니다.",
      "모델 서버가 사용자 세션과 함께 시작될 때만 필요합니다. model.service를 쓴다면 끄십시오: 시스템 설정 → 사용자 및 그룹 → 다음으로 자동 로그인.",
    ],
  },
  remoteLogin: {
    on: "켜짐",
    unknownTodo: "지금은 켜져 있습니다. 이 점검이 그것을 통해 이루어졌습니다.",
    off: (state): Said => [
      `${state}: 지금 세션은 되지만 꺼져 있음`,
      "다음 시동 뒤에는 SSH로 Mac에 접속할 수 없고 `pulumi up`도 실패합니다.",
      "시스템 설정 → 일반 → 공유 → 원격 로그인.",
    ],
  },
  lastStarts: {
    onlyFirst: "첫 시동만 기록되어 있습니다",
    restarted: "재시동",
    crashed: "macOS 충돌",
    powerLost: "정전",
    crash: (found): Said => [
      found,
      "macOS 자체가 충돌했습니다. 접수된 작업은 남지만 처리 중이던 응답은 잃습니다.",
      "macOS를 업데이트하십시오. 보고서는 /Library/Logs/DiagnosticReports에 있습니다. 모델 서버가 메모리를 너무 많이 쓰는 경우가 많으니 더 작은 모델이나 더 적은 슬롯을 쓰십시오.",
    ],
  },
  modelServer: {
    silent: (url, hint): Said => [
      `${url}에서 응답하지 않습니다`,
      "모델 요청은 503으로 거절되고 작업은 대기합니다.",
      `Mac에서 시작하거나(${hint}) 스택 설정의 model.url을 고치십시오.`,
    ],
    denied: (url): Said => [`${url}에서 401로 응답합니다: 키가 필요하거나 받은 키를 거절합니다`, deniedMeans, setKey],
    noList: (status, url, kind): Said => [
      `${url}에서 ${status}로 응답하며 모델 목록이 없습니다`,
      "다른 프로그램이거나 model.kind와 다른 종류의 서버입니다.",
      `model.kind는 ${kind}입니다. 이것이나 스택 설정의 model.url을 고치십시오.`,
    ],
    remote: (names, remove): Said => [
      `Ollama 클라우드의 모델이 있습니다: ${names}`,
      "그 모델로 가는 요청은 Mac을 떠납니다. model.allowed에 없으면 릴레이가 거절합니다.",
      `Mac에서 ${remove}을(를) 실행하고, Ollama를 OLLAMA_NO_CLOUD=1로 시작하십시오(model.service는 그렇게 합니다).`,
    ],
    models: (count, names) => `모델 ${count}개: ${names}`,
    missing: (names, missing, isEmbedding, load): Said => [
      `${names || "모델 없음"}; 없는 모델: ${missing}`,
      isEmbedding
        ? "model.embeddingModel이 없어 문서를 임베딩할 수 없습니다."
        : "model.allowed에 적힌 모델이 없습니다.",
      `Mac에서 ${load}을(를) 실행하거나 스택 설정의 model을 고치십시오.`,
    ],
  },
  modelAutostart: {
    elsewhere: "다른 컴퓨터에 있습니다",
    byLaunchd: (label) => `launchd가 로그인 없이 시작합니다(${label})`,
    bySession: (pid, process, user): Said => [
      `launchd가 시작하지 않았습니다: 프로세스 ${pid}${process}`,
      `사용자 세션과 함께 시작되므로 정전 뒤에는 실행되지 않습니다${user ? `(자동 로그인하는 ${user}의 세션과 함께 시작하는 경우는 예외)` : ""}.`,
      "스택 설정에 model.service를 적으십시오. `pulumi up`이 Mac과 함께 시작하는 데몬으로 만듭니다. 먼저 세션에서 그 프로그램을 종료하십시오.",
    ],
    processOf: (user, command) => `, ${user} (${command})`,
  },
  modelSlots: {
    wanted: (chat, auto) => `limits.chat은 ${auto ? `auto(${auto.min}~${auto.max})` : chat}`,
    own: (slots, wanted) => `모델 서버는 동시에 ${slots}건을 처리합니다(--parallel); ${wanted}`,
    ownFewer: (found, chat, slots): Said => [
      found,
      `릴레이는 ${chat}건을 보냅니다. ${waitThere}`,
      `--parallel ${chat}로 시작하거나(--ctx-size도 그만큼 곱해서) limits.chat을 ${slots}로 설정하십시오.`,
    ],
    invisible: (wanted) => `${wanted}; 모델 서버 자체의 한도는 여기서 볼 수 없습니다`,
    variable: (name, set, unset, wanted) => `${name}: ${set ?? `설정되지 않아 ${unset}`}; ${wanted}`,
    fewer: (found, title, slots, chat, variable): Said => [
      found,
      `${title}은(는) 동시에 ${slots}건을 처리합니다. 릴레이는 ${chat}건을 보냅니다. ${waitThere}`,
      `${variable}=${chat}(model.service.env) 또는 limits.chat: ${slots}로 설정하십시오. 슬롯마다 메모리를 씁니다.`,
    ],
  },
  modelProbe: {
    denied: (): Said => ["모델 서버가 401로 응답합니다: 키가 필요하거나 받은 키를 거절합니다", deniedMeans, setKey],
    unknown: (why) => `알 수 없음(${why})`,
    times: (first, again) => `처음 ${first} ms, 다시 ${again} ms`,
    warm: (times) => `캐시에서 나옵니다: ${times}`,
    noDifference: (times) => `알 수 없음: 프롬프트 길이에 따른 차이가 없습니다(${times})`,
    cold: (times): Said => [
      `다시 계산합니다: ${times}`,
      "다른 요청이 슬롯을 쓰고 나면 반복된 프롬프트가 남아 있지 않습니다. 같은 문서에 대한 질문이 최대 2.7배 비싸집니다.",
      "llama-server: --cache-ram을 켜 두십시오(기본 8192 MiB). Ollama: 0.30 이상을 쓰십시오.",
    ],
    cosine: (value) => `같은 글을 두 번: 코사인 ${value}`,
    differ: (found, least): Said => [
      found,
      `모델 서버가 앞서 무엇을 계산했는지에 따라 같은 글에 다른 벡터를 줍니다(${least} 미만). 저장된 문서와 질문을 제대로 비교할 수 없습니다.`,
      "model.embeddingModel에 전용 임베딩 모델(예: bge-m3)을 쓰거나, 임베딩에 프롬프트 캐시를 쓰지 않는 모델 서버를 쓰십시오.",
    ],
  },
  relay: {
    silent: (log): Said => [
      "응답하지 않습니다",
      "호출자는 502를 받습니다.",
      `설치했습니까? \`pulumi up\`. 설치했다면 로그를 보십시오: ${log}.`,
    ],
    uptime: (seconds) => `, ${duration(seconds)}째 실행 중`,
    ready: (uptime) => `준비됨${uptime}`,
    notReady: (status, isDraining, uptime, log): Said => [
      `${status}로 응답: 준비되지 않음${isDraining ? "(종료 중)" : ""}${uptime}`,
      "요청이 거절됩니다.",
      `이유는 ${log}에 있습니다. Mac에서 \`curl -s 127.0.0.1:<ports.admin>/details\`로 상태를 볼 수 있습니다.`,
    ],
  },
  tunnel: {
    notRunning: (log): Said => [
      "cloudflared가 실행되고 있지 않습니다",
      "밖에서 아무것도 들어오지 못합니다. 호출자는 530을 받습니다.",
      `설치했습니까? \`pulumi up\`. 설치했다면 로그를 보십시오: ${log}.`,
    ],
    notConnected: (log, page): Said => [
      "cloudflared가 실행 중이지만 Cloudflare에 연결되지 않았습니다",
      "호출자는 530을 받습니다. 사무실 회선이 끊겼거나, 방화벽이 7844 포트를 막거나, 토큰이 더는 유효하지 않거나, 대시보드에서 터널이 지워졌습니다(`npm run preflight`로 확인).",
      `어느 것인지는 ${log}에 있습니다. cloudflared가 방화벽에 요구하는 것: ${page}`,
    ],
    connections: (count, colos) => `연결 ${count}개${colos ? `, ${colos}` : ""}`,
    elsewhere: (found, expected): Said => [
      found,
      `${expected}(route.expectColo)에 있는 연결이 없습니다. 사무실의 통신사가 다른 곳으로 보냅니다.`,
      "cloudflared는 가까운 위치를 스스로 고릅니다. 사무실의 통신사에 Cloudflare까지의 경로를 문의하십시오. 호출자 쪽은 `npm run probe`로 측정합니다.",
    ],
  },
  directLines: {
    tooOld: "이전 버전의 설치본은 알려 주지 못합니다. `pulumi up`을 실행하십시오.",
    notInstalled: (): Said => ["설치되지 않음", viaCloudflare, "`pulumi up`을 실행하십시오."],
    notConnected: (server, problem): Said => [
      `연결되지 않음: ${problem ?? "알 수 없음"} (${aboutRevoked})`,
      viaCloudflare,
      `${prepareLine(server)}. 로그는 /var/log/slm-network/direct-${server}.log입니다.`,
    ],
    unrestricted: (server, problems): Said => [
      `연결됨; ${problems} (${aboutRevoked})`,
      "회선의 계정이 제대로 제한되어 있지 않습니다.",
      `${prepareLine(server)}.`,
    ],
    connected: `연결됨, 서버의 계정이 제한되어 있음(${aboutRevoked})`,
  },
  atlas: {
    unknownTodo: "이 점검에는 `pulumi up`이 설치하는 것이 필요합니다.",
    open: (count) => `서버 ${count}대가 응답합니다`,
    closed: (hosts): Said => [
      hosts,
      "릴레이는 문서 캐시 없이 계속 동작합니다. 모든 문서를 다시 임베딩합니다.",
      "사무실의 공인 IP가 documents.atlas.allowFrom에 있습니까(바뀌었을 수 있습니다)? 방화벽이 나가는 27017 포트를 허용합니까?",
    ],
  },
};
