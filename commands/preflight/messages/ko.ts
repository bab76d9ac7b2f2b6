/** What preflight says, in Korean. */
import type { Said } from "../../../accounts/finding.ts";
import { failureText } from "../../../accounts/messages/ko.ts";
import type { ModelServerKind } from "../../../runtime/model-servers.ts";
import { prepareText } from "../../../ssh/prepare.ts";
import { maxAuthTries, type SessionError, type SessionProblem } from "../../../ssh/session-error.ts";
import { en, type Messages } from "./en.ts";

const keysPage = "cloud.mongodb.com → 프로젝트 → Project Access → Applications → API Keys";
const makeOwner = `Project Owner 역할을 주십시오: ${keysPage} → Edit`;
const atlasOutages = "다시 해 보십시오. 장애는 https://status.mongodb.com 에 나옵니다";
const botSettings = "dash.cloudflare.com → zone → Security → Settings → Bot traffic";
const botsOff = `꺼져 있는지 확인하십시오: ${botSettings}(또는 토큰에 Zone · Bot Management · Read 권한을 주십시오)`;
const goOn = "그대로 진행하려면 `npm run up -- --no-preflight`";
const setKey = "서버를 시작할 때 쓴 키로 `pulumi config set --secret modelKey`를 실행하십시오";
const checkHostKey = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub";

/** How a server of each kind is named, and what a person does on it; `MODEL_SERVERS` has the same in English. */
const SERVERS: Readonly<
  Record<ModelServerKind, { readonly title: string; readonly start: string; load(model: string): string }>
> = {
  ollama: {
    title: "Ollama",
    start: "`ollama serve` 또는 Ollama 앱",
    load: (model) => `\`ollama pull ${model}\`을(를) 실행하거나`,
  },
  openai: {
    title: "OpenAI 호환 서버(LM Studio, llama.cpp, mlx-lm)",
    start: "LM Studio: Developer → Start",
    load: (model) => `${model} 모델을 불러오거나`,
  },
};

export const ko: Messages = {
  sum: (fail, warn, ok) => `막는 것 ${fail}, 알아 둘 것 ${warn}, 정상 ${ok}.`,
  noConfig: (): Said => [
    "계정과 Mac은 점검하지 않았습니다. 스택 설정이 있어야 합니다",
    "위의 것을 고친 뒤 다시 실행하십시오",
  ],
  unexpected: (part, error): Said => [
    `${part} 점검이 예기치 않게 실패했습니다: ${error}`,
    "다시 실행하십시오. 또 실패하면 preflight의 버그입니다",
  ],
  globalKey: (names): Said => [
    `provider가 ${names.join(", ")}(으)로 Cloudflare에 로그인하는데, preflight는 그것을 쓸 수 없습니다. 계정은 점검하지 않았습니다`,
    "권한을 제한할 수 있는 API 토큰을 쓰십시오: .env에 CLOUDFLARE_API_TOKEN=…",
  ],
  node: {
    ok: (version) => `Node ${version}`,
    old: (version, least): Said => [
      `Node가 ${version}입니다. TypeScript를 실행하려면 ${least} 이상이 필요합니다`,
      "`npm ci`가 `npm run …`에 쓸 Node 24를 설치합니다. 또는 https://nodejs.org 에서 설치하십시오",
    ],
    plainOld: (here, plain, least): Said => [
      `여기서는 Node가 ${here}이지만, \`pulumi up\`을 직접 입력하면 Node ${plain}(으)로 실행됩니다`,
      `\`npm run up\`을 쓰거나 Node ${least} 이상을 설치하십시오`,
    ],
    plainNone: (here, least): Said => [
      `여기서는 Node가 ${here}이지만, \`pulumi up\`을 직접 입력하면 Node가 없습니다`,
      `\`npm run up\`을 쓰거나 Node ${least} 이상을 설치하십시오`,
    ],
  },
  pulumi: {
    none: (): Said => [
      "`pulumi` 명령이 설치되어 있지 않습니다",
      "설치하십시오: https://www.pulumi.com/docs/install/ (macOS: brew install pulumi/tap/pulumi)",
    ],
    version: (version) => `Pulumi ${version}`,
    backend: (user) => `Pulumi 백엔드가 응답합니다(${user})`,
    notLoggedIn: (): Said => [
      "Pulumi가 스택의 상태를 둘 백엔드에 로그인되어 있지 않습니다",
      "`pulumi login`(Pulumi Cloud), 또는 직접 정한 폴더나 버킷: `pulumi login file://~/slm-state`, `pulumi login s3://<bucket>`",
    ],
    backendSilent: (said): Said => [
      `Pulumi 백엔드가 응답하지 않습니다: ${said}`,
      "`pulumi whoami -v`와 PULUMI_BACKEND_URL을 확인하십시오",
    ],
  },
  stack: {
    notSelected: (): Said => [
      "스택을 고르지 않았습니다",
      "새로 만들거나(`npm run init`) 고르십시오: `pulumi stack select <name>`, `--stack <name>`",
    ],
    ok: (stack, resources) => `스택 ${stack}에 리소스가 ${resources}개 있습니다`,
    unfinished: (count): Said => [
      `앞선 \`up\`이 강제로 종료되었습니다. 기록되지 않은 리소스가 ${count}개 있을 수 있습니다`,
      "`pulumi cancel`을 실행한 뒤 `npm run recover`를 실행하십시오(docs/sandbox.md)",
    ],
    none: (stack): Said => [
      `이 백엔드에는 스택 ${JSON.stringify(stack)}이(가) 없습니다`,
      `스택의 목록은 \`pulumi stack ls\`, 새 스택은 \`npm run init -- --stack ${stack}\``,
    ],
    unreadable: (stack, said): Said => [
      `스택 ${stack}을(를) 읽을 수 없습니다: ${said}`,
      "`pulumi stack`으로 확인하십시오",
    ],
    wrongPassphrase: (): Said => [
      "이 스택의 암호 구문(passphrase)이 아닙니다",
      "PULUMI_CONFIG_PASSPHRASE는 스택을 만들 때 쓴 것이어야 합니다(잃어버렸으면 docs/state.md)",
    ],
    noPassphrase: (): Said => [
      "스택의 비밀값을 위한 암호 구문(passphrase)이 설정되어 있지 않습니다",
      "스택을 만들 때 쓴 것을 .env에 PULUMI_CONFIG_PASSPHRASE=…로 적으십시오(또는 PULUMI_CONFIG_PASSPHRASE_FILE=<file>)",
    ],
    configUnreadable: (said): Said => [`스택 설정을 읽을 수 없습니다: ${said}`, "`pulumi config`로 확인하십시오"],
  },
  config: {
    ok: (file) => `${file} 파일이 올바릅니다`,
    unknownKey: (key, file): Said => [
      `${key}은(는) slm-network의 설정이 아닙니다. 아무것도 읽지 않습니다`,
      `${file}에서 지우거나 이름을 고치십시오`,
    ],
    problem: (problem, file): Said => [problem, `${file}에서 고치십시오`],
  },
  session: {
    short: (ours, organization): Said => [
      `access.people.sessionDuration은 ${ours}이지만 조직의 세션이 ${organization} 뒤에 끝나므로, 사람은 그때 다시 로그인합니다`,
      `${organization} 이하로 설정하거나, 조직의 값을 늘리십시오(one.dash.cloudflare.com → Settings → Authentication → Global session timeout)`,
    ],
    ok: (ours, organization) => `사람의 세션 ${ours}이(가) 조직의 세션(${organization ?? "제한 없음"})에 맞습니다`,
  },
  bots: {
    fightMode: (): Said => [
      "이 zone에 Bot Fight Mode가 켜져 있습니다. 토큰이 있든 없든 서버가 풀 수 없는 챌린지로 응답합니다",
      `끄십시오(${botSettings}). 호스트 이름 하나만 끌 수는 없습니다`,
    ],
    automated: (action): Said => [
      `Super Bot Fight Mode가 "definitely automated" 트래픽을 ${action}하도록 설정되어 있습니다. 서버도 여기에 들어갑니다`,
      `"Definitely automated"를 Allow로 바꾸거나(${botSettings}), 이 호스트 이름을 건너뛰는 WAF 규칙을 추가하십시오`,
    ],
    ok: "Bot Fight Mode가 서버를 막지 않습니다",
    noPermission: (): Said => ["Bot Fight Mode가 켜져 있는지 알 수 없습니다. 토큰에 읽을 권한이 없습니다", botsOff],
    unknown: (failure): Said => [`Bot Fight Mode가 켜져 있는지 알 수 없습니다. ${failureText(failure)}`, botsOff],
  },
  serviceTokens: {
    ok: "이 스택 밖에 같은 이름의 서비스 토큰이 없습니다",
    other: (name, token): Said => [
      `이 스택의 것이 아닌 서비스 토큰 ${JSON.stringify(name)} (${token})이(가) 있습니다. \`up\`은 같은 이름으로 하나를 더 만듭니다`,
      "아무도 쓰지 않으면 지우십시오. 가져오면 어떻게 되는지는 `npm run init -- --adopt`가 알려 줍니다(비밀값은 읽을 수 없습니다)",
    ],
  },
  tokenEnds: (days, end): Said => [
    `Cloudflare API 토큰이 ${days}일 뒤(${end})에 만료됩니다. 그 뒤에는 \`up\`이 되지 않습니다`,
    "교체한 뒤(dash.cloudflare.com → My Profile → API Tokens → Roll) 배포하는 모두에게 새 값을 주십시오",
  ],
  atlas: {
    key: (project) => `Atlas 키로 프로젝트 ${project}을(를) 읽을 수 있습니다`,
    here: "이 컴퓨터의 주소",
    noKey: (): Said => [
      "Atlas 자격 증명이 설정되어 있지 않습니다",
      "서비스 계정을 만들어(cloud.mongodb.com → 프로젝트 → Project Access → Applications → Service Accounts, 역할은 Project Owner, 미리 보기에만 쓰면 Project Read Only) .env에 MONGODB_ATLAS_CLIENT_ID=…와 MONGODB_ATLAS_CLIENT_SECRET=…를 적으십시오. API 키라면 MONGODB_ATLAS_PUBLIC_KEY=…와 MONGODB_ATLAS_PRIVATE_KEY=…",
    ],
    keyUnknown: (failure): Said => [
      `Atlas가 API 키나 서비스 계정을 받아들이지 않습니다(${failureText(failure)})`,
      `두 값을 다시 복사하거나 새로 만드십시오: ${keysPage}`,
    ],
    keyAddress: (here): Said => [
      `여기서는 Atlas API 키를 쓸 수 없습니다. 키 자체의 액세스 목록에 ${here}이(가) 없습니다`,
      `키의 API Access List에 ${here}을(를) 추가하십시오(${keysPage} → Edit). 이 목록은 데이터베이스의 액세스 목록과 다릅니다`,
    ],
    noProject: (projectId, reason): Said => [
      `documents.atlas.projectId: API 키로는 프로젝트 ${projectId}을(를) 볼 수 없습니다(${reason})`,
      "id를 비교하고(Atlas → Project Settings), 키를 그 프로젝트에 추가하십시오: Project Access → Applications → API Keys → Invite",
    ],
    silent: (failure): Said => [`Atlas가 응답하지 않았습니다. ${failureText(failure)}`, atlasOutages],
    mayWrite: "Atlas 키로 프로젝트를 바꿀 수 있습니다",
    readOnly: (): Said => ["Atlas 키로는 프로젝트를 읽을 수만 있습니다", makeOwner],
    forbidden: (failure): Said => [`Atlas 키에 이 일을 할 권한이 없습니다. ${failureText(failure)}`, makeOwner],
    notChecked: (failure): Said => [`점검하지 못했습니다. ${failureText(failure)}`, atlasOutages],
    nameTaken: (name, size): Said => [
      `documents.atlas.cluster.create: 클러스터 ${name}이(가) 이미 있습니다(${size})`,
      `다른 이름을 고르거나, 그 클러스터를 쓰려면 cluster: ${name}(으)로 설정하십시오`,
    ],
    flexExists: (name) => `Flex 클러스터 ${name}이(가) 있습니다`,
    flexPlanned: (name) => `${name}을(를) Flex 클러스터로 만듭니다. 몇 분 걸립니다`,
    noCluster: (name, names): Said => [
      `documents.atlas.cluster: 프로젝트에 클러스터 ${JSON.stringify(name)}이(가) 없습니다. 있는 것: ${names || "없음"}`,
      "이 이름 중 하나를 쓰거나, 새 Flex 클러스터라면 { create: { name: slm } }으로 설정하십시오",
    ],
    paused: (name): Said => [
      `클러스터 ${name}이(가) 일시 중지되어 있어 아무것도 연결할 수 없습니다`,
      "Atlas → Clusters → … → Resume. 몇 분 걸립니다(중지된 것은 30일이 지나면 Atlas가 다시 시작합니다)",
    ],
    busy: (name, state): Said => [
      `클러스터 ${name}의 상태가 ${state}입니다`,
      "Atlas에 준비된 것으로 나올 때까지 기다리십시오. `up`도 몇 분 동안 기다립니다",
    ],
    cluster: (name, size, region, version) => `클러스터 ${name}이(가) 있습니다(${size}, ${region}, MongoDB ${version})`,
    usersFree: (names) => `데이터베이스 사용자 ${names.join(", ")}은(는) 비어 있거나 이 스택의 것입니다`,
    userTaken: (name, roles): Said => [
      `데이터베이스 사용자 ${name} (${roles})이(가) 이미 있고 이 스택의 것이 아닙니다`,
      "이 Atlas 프로젝트를 쓰는 다른 스택이 있습니까? documents.atlas.userPrefix를 설정하거나 다른 documents.atlas.database를 쓰십시오. 아무도 그 사용자로 로그인하지 않으면 지우십시오(Atlas → Database Access). `npm run init -- --adopt`로 가져올 수도 있습니다",
    ],
    address: (address) => `클러스터가 이 컴퓨터의 주소(${address})를 허용합니다`,
    notAllowed: (allowFrom, address): Said => [
      `documents.atlas.allowFrom은 ${allowFrom}인데 Atlas에는 이 컴퓨터가 ${address}(으)로 보입니다. \`up\`이 컬렉션을 만들 수 없습니다`,
      `${address}/32를 추가하십시오. Mac이 다른 네트워크에 있으면 그 공인 IP도 추가하십시오`,
    ],
  },
  mac: {
    answers: (user, host) => `${user}@${host}이(가) SSH에 응답하며, 호스트 키가 설정과 같습니다`,
    sudo: "이 계정은 `sudo -n`을 쓸 수 있습니다",
    chip: "Apple 실리콘 Mac입니다",
    otherChip: (machine): Said => [
      `Apple 실리콘 Mac이 아닙니다(\`uname -m\`의 출력: ${JSON.stringify(machine)}). Node와 cloudflared의 기본 빌드가 여기서는 실행되지 않습니다`,
      "Apple 실리콘 Mac을 쓰십시오. 또는 artifacts.node와 artifacts.cloudflared를 공급자의 darwin-x64, darwin-amd64 빌드와 그 SHA-256으로 설정하고 이것을 무시하십시오",
    ],
    clock: "Mac의 시계가 맞습니다",
    clockAhead: (seconds): Said => clockOff(seconds, "빠릅니다"),
    clockBehind: (seconds): Said => clockOff(seconds, "느립니다"),
    diskUnknown: (): Said => [
      "Mac의 남은 디스크 공간을 알 수 없습니다. `df -k /`의 출력을 읽지 못했습니다",
      "Mac에서 `df -h /`로 확인하십시오",
    ],
    disk: (freeGiB) => `Mac의 디스크에 ${freeGiB} GiB가 남아 있습니다`,
    diskFull: (freeMiB, releases, minFree): Said => [
      `Mac의 디스크에 ${freeMiB} MiB가 남아 있습니다. 설치에 ${releases} MiB가 필요하고, jobs.minFreeMiB(${minFree}) 미만이면 작업을 받지 않습니다`,
      "Mac의 공간을 비우거나 jobs.minFreeMiB를 낮추십시오",
    ],
  },
  model: {
    wantsKey: (url, answer): Said => [`모델 서버(Mac의 ${url})에 키가 필요합니다(${answer})`, setKey],
    refusesKey: (url, answer): Said => [`모델 서버(Mac의 ${url})가 modelKey를 거절합니다(${answer})`, setKey],
    toEmbedding: "임베딩 요청에 401",
    silent: (url, why, kind): Said => [
      `모델 서버(Mac의 ${url})가 응답하지 않습니다: ${why}`,
      `Mac에서 시작하고(${SERVERS[kind].start}), model.url이 /v1을 뺀 그 주소인지 확인하십시오`,
    ],
    badStatus: (url, status, kind): Said => [
      `모델 서버(Mac의 ${url})가 응답하지 않습니다: 모델 목록에 상태 ${status}`,
      `Mac에서 시작하고(${SERVERS[kind].start}), model.url이 /v1을 뺀 그 주소인지 확인하십시오`,
    ],
    other: (url, kind): Said => [
      `${url}에서 응답하는 것은 ${SERVERS[kind].title}이(가) 아닙니다`,
      "model.kind와 model.url, 그리고 그 주소를 어느 프로그램이 쓰는지 확인하십시오",
    ],
    remote: (names): Said => [
      `모델 서버에 Ollama 클라우드의 모델이 있습니다(${names}). 그 모델로 가는 요청은 Mac을 떠나므로, model.allowed에 없으면 relay가 거절합니다`,
      "Mac에서 `ollama rm`으로 지우고, Ollama를 OLLAMA_NO_CLOUD=1로 시작하십시오(model.service는 그렇게 합니다)",
    ],
    ok: (count, embeddingModel) => `모델 서버에 모델이 ${count}개 있고, ${embeddingModel}도 있습니다`,
    missing: (embeddingModel, names, kind): Said => [
      `model.embeddingModel: 모델 서버에 ${JSON.stringify(embeddingModel)}이(가) 없습니다. 있는 것: ${names || "없음"}`,
      `Mac에서 ${SERVERS[kind].load(embeddingModel)}, 있는 모델 중 하나의 이름으로 설정하십시오`,
    ],
  },
  mute: {
    macSilent: (at, seconds): Said => mute(`Mac ${at}`, `${seconds}초 동안 아무 말도 하지 않습니다`),
    macOther: (at): Said => mute(`Mac ${at}`, "SSH로 응답하지 않습니다"),
    jumpSilent: (at, seconds): Said => mute(`경유 서버(jump host) ${at}`, `${seconds}초 동안 아무 말도 하지 않습니다`),
    jumpOther: (at): Said => mute(`경유 서버(jump host) ${at}`, "SSH로 응답하지 않습니다"),
    answers: (host) => `${host}이(가) SSH에 응답합니다`,
    answersThrough: (host, jump) => `${host}이(가) ${jump}을(를) 거쳐 SSH에 응답합니다`,
    behind: (at, jump, seconds, error): Said => [
      `${jump} 뒤의 Mac ${at}이(가) ${seconds}초 안에 응답하지 않습니다(${sessionText(error)[0]})`,
      `재시동하거나 host와 port를 고치십시오. ${goOn}`,
    ],
  },
  ssh: sessionText,
};

function clockOff(seconds: number, how: string): Said {
  return [
    `Mac의 시계가 이 컴퓨터보다 ${seconds}초 ${how}. relay가 Access의 서명된 토큰을 아직 유효하지 않거나 만료된 것으로 보고 거절합니다`,
    "Mac에서: `sudo systemsetup -setusingnetworktime on`(또는 둘 중 어느 쪽이 틀렸는지 확인하십시오)",
  ];
}

function mute(who: string, how: string): Said {
  return [
    `${who}이(가) 연결은 받지만 ${how}. 업로드가 끝없이 기다리게 됩니다`,
    `재시동하거나 host와 port를 고치십시오. \`ssh -v\`로도 볼 수 있습니다. ${goOn}`,
  ];
}

/** What ends a session, in Korean; in English when the error has nothing but its message. */
function sessionText(error: SessionError): Said {
  const { problem } = error;
  return problem ? sessionTexts(problem) : en.ssh(error);
}

function sessionTexts(problem: SessionProblem): Said {
  const retry = "다시 실행하십시오";
  switch (problem.kind) {
    case "unreachable": {
      const by = problem.by === undefined ? "" : `경유 서버(jump host) ${problem.by}에서 `;
      const why = problem.why === "no SSH server answered in time" ? "SSH 서버가 제때 응답하지 않음" : problem.why;
      return [
        `${by}${problem.at}에 접속할 수 없습니다(${why})`,
        "Mac이 켜져 있고, 이 컴퓨터가 같은 네트워크에 있고, 원격 로그인이 켜져 있습니까(시스템 설정 → 일반 → 공유)? FileVault를 켠 Mac은 정전 뒤 화면 앞에서 암호를 입력할 때까지 기다립니다.",
      ];
    }
    case "host-key":
      return [
        `${problem.at}의 호스트 키가 설정과 다릅니다. 다른 컴퓨터이거나 중간자 공격일 수 있습니다. 아무것도 보내지 않았습니다`,
        `설정의 hostKey: ${problem.expected}\n  호스트가 보인 키: ${problem.shown}\nMac에서 직접 어느 키가 맞는지 확인하십시오: ${checkHostKey}\n보인 키가 맞으면(Mac을 다시 설치한 경우) Mac의 hostKey를 이것으로 바꾸십시오: ${problem.line}`,
      ];
    case "rsa-host-key":
      return [
        `${problem.at}의 hostKey가 RSA 키라서 \`pulumi up\`이 검사할 수 없습니다. 그 SSH 클라이언트의 RSA는 SHA-1뿐이고, sshd는 그것을 거절합니다`,
        `hostKey를 이것으로 바꾸십시오: ${problem.line}\n호스트가 보인 키입니다(${problem.fingerprint}). Mac에서 직접 비교하십시오: ${checkHostKey}`,
      ];
    case "no-host-key":
      return [
        `${problem.at}에 ed25519 호스트 키도 ECDSA 호스트 키도 없고, \`pulumi up\`은 RSA를 쓸 수 없습니다`,
        "그 호스트에서: sudo ssh-keygen -A",
      ];
    case "no-key":
      return [
        `쓸 수 있는 SSH 키가 없습니다(${problem.why})`,
        'Mac에 공개 키를 넣은 키를 에이전트에 올리십시오: `ssh-add ~/.ssh/id_ed25519`(에이전트는 `eval "$(ssh-agent)"`로 시작합니다). 또는 키 하나만 쓰도록 지정하십시오: SLM_NETWORK_SSH_KEY=<file> 또는 --key <file>(개인 키. 암호가 있는 키나 .pub이면 에이전트에 있는 같은 키를 씁니다)',
      ];
    case "refused": {
      const { at, user, offered } = problem;
      const keys = offered.length === 0 ? "" : `보낸 키: ${offered.join(", ")}\n`;
      const tooMany =
        offered.length > maxAuthTries
          ? `에이전트에 키가 ${offered.length}개 있고 sshd는 ${maxAuthTries}개에서 끊습니다(MaxAuthTries). 맞는 키 하나만 지정하십시오: SLM_NETWORK_SSH_KEY=~/.ssh/<key>(또는 그 .pub).\n`
          : "";
      return [
        `${at}이(가) ${user} 계정의 로그인을 거절했습니다`,
        `${keys}${tooMany}Mac의 /Users/${user}/.ssh/authorized_keys에 공개 키가 있고, ${user} 계정이 원격 로그인을 쓸 수 있습니까? Mac을 준비한 적이 없으면:\n\n${prepareText(user)}`,
      ];
    }
    case "sudo":
      return [
        `${problem.host}의 ${problem.user} 계정이 \`sudo -n\`을 쓸 수 없습니다(${problem.said || "출력 없음"}). 설치에 필요합니다`,
        `Mac에서 한 번 실행하십시오:\n\n${prepareText(problem.user)}`,
      ];
    case "forced-command":
      return [
        `${problem.host}에 ${problem.user} 계정으로 로그인하는 키는 정해진 명령만 실행합니다(authorized_keys). Mac의 상태를 읽을 수만 있으며, 아무것도 바꾸지 않았습니다`,
        "배포용 키로 로그인하십시오: SLM_NETWORK_SSH_KEY=<file>, 또는 SLM_NETWORK_SSH_KEY 없이 SSH 에이전트",
      ];
    case "broken":
      return [`${problem.host}와(과)의 연결이 끊겼습니다(${problem.why})`, retry];
    case "timeout":
      return [`${problem.host}에서 \`${problem.command}\`이(가) ${problem.seconds}초 안에 끝나지 않았습니다`, retry];
  }
}
