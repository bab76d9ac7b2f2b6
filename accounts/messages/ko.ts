/** What the checks of the accounts say, in Korean. */
import type { DnsRecord } from "../cloudflare.ts";
import type { Said } from "../finding.ts";
import type { LookupFailure } from "../lookup-result.ts";
import type { Messages, NamedPermission, Where } from "./en.ts";

const tokensPage = "dash.cloudflare.com → My Profile → API Tokens(계정 토큰이면 Manage Account → API Tokens) → Edit";
const customHostnames = "dash.cloudflare.com → zone → SSL/TLS → Custom Hostnames";
const tunnelsPage = "one.dash.cloudflare.com → Networks → Tunnels";
const adoptAdvice =
  "무엇을 그대로 가져올 수 있는지, 어떻게 하는지는 `npm run init -- --adopt`가 알려 줍니다. `up`이 강제로 종료된 뒤라면 이 스택의 것일 수 있습니다(`npm run recover`)";
const afterwards = "그 뒤에 다시 실행하십시오";

/** Names of what is looked up; those with a name of their own in them follow below. */
const subjects: Readonly<Record<string, string>> = {
  "the API token": "API 토큰",
  "the accounts": "계정 목록",
  "the zones": "zone 목록",
  "the permissions": "권한",
  "the Zero Trust organisation": "Zero Trust 조직",
  "the identity providers": "로그인 방법(identity provider)",
  "the tunnels": "터널 목록",
  "the tunnel's connections": "터널의 연결",
  "the Access applications": "Access 애플리케이션 목록",
  "the Access policies": "Access 정책 목록",
  "the service tokens": "서비스 토큰 목록",
  "the notification policies": "알림 정책 목록",
  "the zone's bot settings": "zone의 봇 설정",
  "the account's region list": "계정의 지역 목록",
  "the zone's quota of custom hostnames": "zone의 사용자 지정 호스트 이름 한도",
  "the zone's fallback origin": "zone의 fallback origin",
  "the projects": "프로젝트 목록",
  "the clusters": "클러스터 목록",
  "the Flex clusters": "Flex 클러스터 목록",
  "the database users": "데이터베이스 사용자 목록",
  "the access list": "액세스 목록",
  "the right to change database users": "데이터베이스 사용자를 바꿀 권한",
  "this machine's public address": "이 컴퓨터의 공인 IP",
};
const prefixes: readonly (readonly [english: string, korean: string])[] = [
  ["the zone ", "zone"],
  ["the DNS records of ", "DNS 레코드"],
  ["the custom hostname ", "사용자 지정 호스트 이름"],
  ["the permission ", "권한"],
  ["the project ", "프로젝트"],
];

function subjectOf(english: string): string {
  const whole = subjects[english];
  if (whole !== undefined) return whole;
  const found = prefixes.find(([prefix]) => english.startsWith(prefix));
  return found ? `${found[1]} ${english.slice(found[0].length)}` : english;
}

/** In one sentence: what was looked up, and the answer, which is in the account's own words. */
export function failureText({ subject, reason, status, codes }: LookupFailure): string {
  const number = [status, ...(codes ?? [])].filter((part) => part !== undefined).join(", ");
  return `${subjectOf(subject)} 조회: ${reason}${number ? ` (${number})` : ""}`;
}

const unchecked = (failure: LookupFailure): string => `점검하지 못했습니다. ${failureText(failure)}`;

const purposes: Readonly<Record<NamedPermission["group"], string>> = {
  Zone: "zone의 이름과 상태를 읽는 데",
  DNS: "호스트 이름의 레코드에",
  "Cloudflare Tunnel": "터널과 그 ingress에",
  "Access: Apps and Policies": "호스트 이름 앞의 애플리케이션에",
  "Access: Service Tokens": "서버의 서비스 토큰에",
  "Access: Organizations, Identity Providers, and Groups": "팀 이름에",
  Notifications: "터널이 끊겼을 때의 메일(alerts.emails)에",
  "SSL and Certificates": "사용자 지정 호스트 이름(route.saasHostname)에",
};
const lacking = ({ name, group }: NamedPermission): string =>
  `API 토큰에 ${name} 권한이 없습니다. ${purposes[group]} 필요합니다`;

const sources: Readonly<Record<Where, string>> = {
  "the stack's config": "스택 설정",
  "the environment": "환경 변수",
};
const fromOnePlace = "provider는 둘 다 한곳에서 읽습니다";

export const ko: Messages = {
  notChecked: {
    limited: (failure): Said => [
      unchecked(failure),
      "5분 기다리십시오. Cloudflare는 그동안 호출을 1200번까지 받습니다",
    ],
    unreachable: (failure): Said => [
      unchecked(failure),
      "다시 해 보십시오. Cloudflare의 장애인지는 https://www.cloudflarestatus.com 에 나옵니다",
    ],
    other: (failure): Said => [unchecked(failure), "응답의 내용을 보십시오. `up`도 같은 말로 실패할 수 있습니다"],
  },
  token: {
    missing: (): Said => [
      "Cloudflare API 토큰이 설정되어 있지 않습니다",
      "토큰을 만들어(dash.cloudflare.com → My Profile → API Tokens) 환경 변수에 넣으십시오: export CLOUDFLARE_API_TOKEN=…",
    ],
    inactive: (status): Said => [`Cloudflare API 토큰의 상태가 ${status}입니다`, `새로 만드십시오: ${tokensPage}`],
    works: "Cloudflare API 토큰이 동작합니다",
    worksUntil: (end) => `Cloudflare API 토큰이 ${end}까지 동작합니다`,
    beside: (reason, names, fix): Said => [
      `Cloudflare가 자격 증명을 거절합니다(${reason}). API 토큰과 함께 ${names.join(", ")}도 보내지며, provider도 그렇게 보냅니다`,
      `API 토큰만 있으면 됩니다: ${fix}`,
    ],
    unknown: (reason): Said => [
      `Cloudflare가 모르는 API 토큰입니다(${reason})`,
      "공백이나 줄바꿈 없이 다시 복사하십시오. CLOUDFLARE_API_TOKEN에는 토큰의 값을 넣습니다. 토큰의 이름이나 id, Global API Key가 아닙니다",
    ],
    address: (reason): Said => [
      `이 컴퓨터의 주소에서는 API 토큰을 쓸 수 없습니다(${reason})`,
      `Client IP Address Filtering에 이 주소를 추가하십시오: ${tokensPage}`,
    ],
  },
  permission: {
    held: (name) => `API 토큰에 ${name} 권한이 있습니다`,
    missing: (permission): Said => [lacking(permission), `${permission.dashboard} 권한을 추가하십시오: ${tokensPage}`],
    missingInZone: (permission): Said => [
      lacking(permission),
      `${permission.dashboard} 권한을 추가하고, 토큰이 이 zone에 적용되는지 확인하십시오(Zone Resources): ${tokensPage}`,
    ],
    missingInAccount: (permission): Said => [
      lacking(permission),
      `${permission.dashboard} 권한을 추가하고, 토큰이 이 계정에 적용되는지 확인하십시오(Account Resources): ${tokensPage}`,
    ],
    beforeSaas: (name): Said => [`${name}: Cloudflare for SaaS를 켜야 알 수 있습니다`, afterwards],
    beforeZeroTrust: (name): Said => [`${name}: Zero Trust를 설정해야 알 수 있습니다`, afterwards],
  },
  zone: {
    unseen: (zoneId): Said => [
      `slm-network:zoneId: API 토큰으로는 zone ${zoneId}을(를) 볼 수 없습니다`,
      `id를 비교하고(dash.cloudflare.com → zone → Overview → API), 토큰이 이 zone에 적용되는지 확인하십시오: ${tokensPage} → Zone Resources`,
    ],
    otherAccount: (accountId, zone, id, name): Said => [
      `slm-network:accountId: ${JSON.stringify(accountId)}은(는) zone ${zone}의 계정이 아닙니다. 그 계정은 ${JSON.stringify(id)} (${name})입니다`,
      "accountId를 그 계정으로 바꾸십시오. 터널은 자기 계정의 zone에만 응답합니다",
    ],
    inactive: (zone, status, servers): Said => [
      `zone ${zone}의 상태가 ${status}여서 Cloudflare가 아직 이 도메인에 응답하지 않습니다`,
      `${zone}의 등록 기관(registrar)에 Cloudflare의 네임서버${servers}를 입력하고, dash.cloudflare.com에 Active로 나올 때까지 기다리십시오(몇 분에서 하루)`,
    ],
    paused: (zone): Said => [
      `zone ${zone}이(가) 일시 중지되어 있습니다. 이때는 요청이 Cloudflare를 거치지 않는데, 터널은 Cloudflare를 거쳐야만 닿습니다`,
      "dash.cloudflare.com → zone → Overview → Advanced Actions → Enable Cloudflare on Site",
    ],
    active: (zone, plan) => `zone ${zone}이(가) 활성 상태입니다(${plan || "요금제는 알 수 없음"})`,
  },
  zeroTrust: {
    on: (authDomain) => `Zero Trust가 설정되어 있습니다: ${authDomain}`,
    off: (): Said => [
      "이 계정에 Zero Trust가 설정되어 있지 않아 Access가 모든 호출을 거절합니다",
      "https://one.dash.cloudflare.com 을 한 번 열어 계정, 팀 이름, 무료 요금제를 고르십시오(결제 수단을 묻지만 50명까지는 청구되지 않습니다)",
    ],
  },
  saas: {
    off: (): Said => [
      "slm-network:route.mode: saas에는 Cloudflare for SaaS가 필요한데 이 zone에는 꺼져 있습니다. Cloudflare가 사용자 지정 호스트 이름을 거절합니다",
      `${customHostnames} → Enable Cloudflare for SaaS(결제 수단을 묻습니다. 이름 100개까지 포함됩니다)`,
    ],
    on: (used, hardCap) => `Cloudflare for SaaS가 켜져 있습니다: 사용자 지정 호스트 이름 ${used}개(최대 ${hardCap}개)`,
    exists: (hostname) => `사용자 지정 호스트 이름 ${hostname}이(가) 있습니다`,
    full: (used, hardCap, hostname): Said => [
      `이 zone에는 사용자 지정 호스트 이름이 ${used}개 있고, Enterprise 아래의 요금제는 ${hardCap}개까지만 받습니다. ${hostname}은(는) 거절될 수 있습니다`,
      `쓰지 않는 것을 지우거나(${customHostnames}) 다른 zone을 쓰십시오`,
    ],
  },
  hostname: {
    ours: (hostname) => `${hostname}: 레코드가 이 스택의 것입니다`,
    free: (hostname) => `${hostname}은(는) 쓸 수 있습니다`,
    taken: (hostname, record: DnsRecord, tunnel): Said => {
      const comment = record.comment ? `, 설명 ${JSON.stringify(record.comment)}` : "";
      const proxied = record.proxied ? "프록시됨" : "DNS only";
      const leads = tunnel === undefined ? record.content : `터널 ${tunnel}`;
      return [
        `slm-network:hostname: ${JSON.stringify(hostname)}은(는) 이미 쓰이고 있습니다. 이 스택이 만들지 않은 ${record.type} 레코드(${proxied}${comment})가 ${leads}(으)로 보냅니다`,
        `다른 이름을 쓰거나(zone 바로 아래의 한 단계), 누가 쓰는지 확인하고 레코드를 지우십시오(dash.cloudflare.com → zone → DNS). ${adoptAdvice}`,
      ];
    },
  },
  applications: {
    none: "호스트 이름에 다른 사람의 Access 애플리케이션이 없습니다",
    same: (destination, app, destinations): Said => [
      `${destination}은(는) 이 스택이 만들지 않은 Access 애플리케이션 ${JSON.stringify(app)} (${destinations})에 속합니다`,
      `아무도 쓰지 않으면 지우십시오(one.dash.cloudflare.com → Access → Applications). ${adoptAdvice}`,
    ],
    below: (destination, app, destinations): Said => [
      `${destination}은(는) Access 애플리케이션 ${JSON.stringify(app)} (${destinations})에 속하므로, 그 경로의 호출은 이 스택이 아니라 그 애플리케이션의 정책으로 검사됩니다`,
      "의도한 것이 아니면 지우십시오",
    ],
  },
  tunnel: {
    free: (name) => `터널 이름 ${name}은(는) 비어 있거나 이 스택의 것입니다`,
    deleted: (tunnelId): Said => [
      `이 스택의 터널 ${tunnelId}이(가) 대시보드에서 지워졌습니다. 호출자는 530을 받으며, \`pulumi refresh\`도 \`up\`도 알아차리지 못합니다`,
      "`pulumi state delete --target-dependents <터널의 URN>`(`pulumi stack --show-urns`), 계정에 남은 것은 `npm run init -- --adopt`, 그다음 `npm run up`을 실행하십시오",
    ],
    taken: (name, tunnelId, status): Said => [
      `이 스택이 만들지 않은 터널 ${JSON.stringify(name)} (${tunnelId}, ${status})이(가) 있습니다`,
      `이름을 바꾸거나 지우십시오(${tunnelsPage}). ${adoptAdvice}`,
    ],
    takenLocally: (name, tunnelId, status): Said => [
      `이 스택이 만들지 않은 터널 ${JSON.stringify(name)} (${tunnelId}, ${status})이(가) 있습니다`,
      `커넥터를 멈춘 뒤 지우십시오(${tunnelsPage}). 커넥터 옆의 파일로 설정되어 있어 가져올 수 없습니다`,
    ],
  },
  atlasKey: {
    noSecret: (where): Said => halfOfAccount(where, "id", "secret"),
    noId: (where): Said => halfOfAccount(where, "secret", "id"),
    noPrivate: (where): Said => halfOfKey(where, "public", "private"),
    noPublic: (where): Said => halfOfKey(where, "private", "public"),
    ignoredBaseUrl: (configured, used): Said => [
      `mongodbatlas:baseUrl(${configured})은 무시됩니다. 자격 증명이 환경 변수에 있으므로 provider는 base URL도 거기서 읽어 ${used}에 접속합니다`,
      `export MONGODB_ATLAS_BASE_URL=${configured}, 또는 설정에서 지우십시오`,
    ],
    secretsManager: (setting): Said => [
      `Atlas를 점검하지 못했습니다. ${setting}이(가) 설정되어 있어 provider가 자격 증명을 AWS Secrets Manager에서 읽는데, 이 점검은 그렇게 할 수 없습니다`,
      "점검하려면 MONGODB_ATLAS_PUBLIC_KEY와 MONGODB_ATLAS_PRIVATE_KEY만 설정하십시오. 점검 없이 진행해도 됩니다",
    ],
  },
  shell: {
    headers: (name): Said => [
      `이 셸에 ${name}이(가) 설정되어 있습니다. Cloudflare에 보내는 모든 호출에 덧붙습니다`,
      unset(name),
    ],
    government: (name): Said => [
      `이 셸에 ${name}이(가) 설정되어 있습니다. 모든 호출이 Atlas for Government로 갑니다`,
      unset(name),
    ],
    opsManager: (name): Said => [
      `이 셸에 ${name}이(가) 설정되어 있습니다. MONGODB_ATLAS_BASE_URL이 없으면 Atlas의 base URL로 쓰입니다`,
      unset(name),
    ],
    hiddenToken: (): Said => [
      "이 셸에 CLOUDFLARE_API_TOKEN이 설정되어 있지만 무시됩니다. 스택 설정의 cloudflare:apiToken이 먼저입니다",
      unset("CLOUDFLARE_API_TOKEN"),
    ],
    precedence: (used, others): Said => [
      `${used}이(가) 값이 다른 ${others.join(", ")}보다 먼저 쓰입니다. Atlas에는 앞의 것으로 접속합니다`,
      unset(used),
    ],
  },
};

function halfOfAccount(where: Where, half: string, other: string): Said {
  return [
    `${sources[where]}에 Atlas 서비스 계정의 client ${half}만 있고 client ${other}가 없습니다. ${fromOnePlace}`,
    "export MONGODB_ATLAS_CLIENT_ID=… MONGODB_ATLAS_CLIENT_SECRET=…, 또는 둘 다 `pulumi config set --secret`으로 설정하십시오. API 키로 로그인하려면 설정된 하나를 지우십시오",
  ];
}

function halfOfKey(where: Where, half: string, other: string): Said {
  return [
    `${sources[where]}에 Atlas API 키의 ${half} 쪽만 있고 ${other} 쪽이 없습니다. ${fromOnePlace}`,
    `export MONGODB_ATLAS_PUBLIC_KEY=… MONGODB_ATLAS_PRIVATE_KEY=…를 실행하고 설정에서 mongodbatlas:${half}Key를 지우십시오. 또는 둘 다 \`pulumi config set --secret\`으로 설정하십시오`,
  ];
}

function unset(name: string): string {
  return `의도한 것이 아니면 unset ${name}`;
}
