/** What exists under the names that the stack needs, and what adopting it means: pure functions. */
import { withoutSlash } from "../../../runtime/base-url.ts";
import { type Adoptable, adoptableType, type Found, type Lookups, programName } from "./adoptable.ts";

/** @param ingress reads the public hostnames of a tunnel that is configured in the dashboard, as `name → service`; called only when needed */
export async function findAdoptable(
  lookups: Lookups,
  ingress: (tunnelId: string) => Promise<string[]>,
): Promise<Found> {
  const parts = [
    await tunnelParts(lookups, ingress),
    recordParts(lookups),
    appParts(lookups),
    tokenParts(lookups),
    ownParts(lookups),
    userParts(lookups),
  ];
  return { adoptable: parts.flatMap((part) => part.adoptable), left: parts.flatMap((part) => part.left) };
}

async function tunnelParts(lookups: Lookups, ingress: (tunnelId: string) => Promise<string[]>): Promise<Found> {
  const { config, tunnels, tunnelName, records } = lookups;
  const leadsTo = records.map(({ content }) => /^([0-9a-f-]{36})\.cfargotunnel\.com\.?$/.exec(content)?.[1]);
  const tunnel =
    tunnels.find(({ name }) => name === tunnelName) ?? tunnels.find(({ id }) => leadsTo.some((one) => one === id));
  if (!tunnel) return nothing;
  const shown = `the tunnel ${JSON.stringify(tunnel.name)} (${tunnel.id}, ${tunnel.status})`;
  if (tunnel.configuredBy === "local") {
    const isInTheWay = tunnel.name === tunnelName;
    return {
      adoptable: [],
      left: [
        `${shown} is configured by a file beside its connector. Adopting would replace it, so it is left alone and a new one is created. ${isInTheWay ? "It has the name that the new one needs: rename it first (one.dash.cloudflare.com → Networks → Tunnels)" : "When all callers have moved, stop its connector and delete it"}.`,
      ],
    };
  }
  const rules = await ingress(tunnel.id);
  return {
    adoptable: [
      {
        shown,
        type: adoptableType("tunnel"),
        name: `${programName}-tunnel`,
        parent: "tunnel",
        id: `${config.accountId}/${tunnel.id}`,
        means: [
          ...(tunnel.name === tunnelName ? [] : [`it is renamed to ${tunnelName}`]),
          "its secret is replaced by the stack's, which Cloudflare never shows: a connector that runs now works until it restarts; then only the stack's own can connect. Afterwards, on the Mac: sudo cloudflared service uninstall",
        ],
      },
      ...(rules.length === 0
        ? []
        : [
            {
              shown: `its public hostnames (${rules.join("; ")})`,
              type: adoptableType("ingress"),
              name: `${programName}-ingress`,
              parent: "tunnel" as const,
              id: `${config.accountId}/${tunnel.id}`,
              means: [`they are replaced by ${config.hostname} alone: note first what other names need`],
            },
          ]),
    ],
    left: [],
  };
}

function recordParts({ config, records }: Lookups): Found {
  const { hostname, zoneId } = config;
  const [record, ...others] = records.filter(({ type }) => ["A", "AAAA", "CNAME", "NS"].includes(type));
  if (!record) return nothing;
  const shown = `the ${record.type} record ${hostname} → ${record.content}`;
  if (record.type !== "CNAME" || others.length > 0) {
    return {
      adoptable: [],
      left: [
        `${shown} is not a CNAME, and a record cannot change its type. Delete it when nobody needs it (dash.cloudflare.com → the zone → DNS), or choose another hostname.`,
      ],
    };
  }
  const means = [
    `it will point to the stack's tunnel${record.proxied ? "" : ", and through Cloudflare's proxy, which it does not now"}: from then on callers of ${hostname} need the two headers`,
  ];
  return {
    adoptable: [
      {
        shown,
        type: adoptableType("record"),
        name: `${programName}-dns`,
        parent: "route",
        id: `${zoneId}/${record.id}`,
        means,
      },
    ],
    left: [],
  };
}

const ADMITTED = {
  servers: "the servers of the config, by their tokens,",
  people: "the people of the config",
  metrics: "the scrapers of the config, by their tokens,",
} as const;

function appParts({ config, applications }: Lookups): Found {
  const { hostname, accountId } = config;
  const trimmed = (uri: string) => withoutSlash(uri).toLowerCase();
  const adoptable: Adoptable[] = [];
  const left: string[] = [];
  for (const [kind, uri] of [
    ["servers", hostname],
    ["people", `${hostname}/status`],
    ...(config.metrics.scrapers.length > 0 ? [["metrics", `${hostname}/metrics`] as const] : []),
  ] as const) {
    const app = applications.find(({ destinations }) => destinations.some((one) => trimmed(one) === uri));
    if (!app) continue;
    const shown = `the Access application ${JSON.stringify(app.name)} (${app.destinations.join(", ")})`;
    const others = app.destinations.filter((one) => trimmed(one) !== uri);
    if (app.type !== "self_hosted") {
      left.push(`${shown} is of the type ${app.type}, not self_hosted: delete it, or choose another hostname.`);
      continue;
    }
    adoptable.push({
      shown,
      type: adoptableType("application"),
      name: `${programName}-app-${kind}`,
      parent: "access",
      id: `accounts/${accountId}/${app.id}`,
      means: [
        `its policies are replaced by the stack's: only ${ADMITTED[kind]} are admitted`,
        ...(others.length > 0
          ? [`it no longer protects ${others.join(", ")}: give those an application of their own first`]
          : []),
      ],
    });
  }
  return { adoptable, left };
}

function tokenParts({ config, tokens, tokensOf }: Lookups): Found {
  const { hostname, accountId, access, metrics } = config;
  const adoptable: Adoptable[] = [];
  const left: string[] = [];
  const servers = [...access.servers, ...metrics.scrapers];
  for (const server of servers) {
    const wanted = tokensOf.get(server.name);
    const token = tokens.find((one) =>
      wanted ? [one.id, one.name].includes(wanted) : one.name === `${hostname} ${server.name}`,
    );
    if (!token) {
      if (wanted)
        left.push(
          `--token ${server.name}=${wanted}: there is no such service token; the account has ${tokens.map(({ name }) => name).join(", ") || "none"}.`,
        );
      continue;
    }
    adoptable.push({
      shown: `the service token ${JSON.stringify(token.name)} (${token.clientId})`,
      type: adoptableType("serviceToken"),
      name: `${programName}-token-${server.name}`,
      parent: "access",
      id: `accounts/${accountId}/${token.id}`,
      means: [
        `${server.name} keeps its client id and secret; the secret itself cannot be imported, because Cloudflare shows it only once, so \`pulumi stack output\` does not have it. To get it there: npm run rotate -- ${server.name}, then \`pulumi up\`; the old secret works for seven more days`,
      ],
    });
  }
  const unknown = [...tokensOf.keys()].filter((name) => !servers.some((server) => server.name === name));
  left.push(...unknown.map((name) => `--token ${name}=…: the config has no server ${JSON.stringify(name)}.`));
  return { adoptable, left };
}

/** What only a stack like this one creates, found by its exact name: it exists when a stack's state was lost. */
function ownParts({ config, policies, notifications }: Lookups): Found {
  const { accountId, hostname, access, alerts } = config;
  const { emails, emailDomains } = access.people;
  const wanted: readonly {
    list: readonly { id: string; name: string }[];
    name: string;
    resource: string;
    type: string;
    parent: "access" | "alerts";
  }[] = [
    {
      list: policies,
      name: `${hostname} servers`,
      resource: "policy-servers",
      type: adoptableType("accessPolicy"),
      parent: "access" as const,
    },
    ...(config.metrics.scrapers.some(({ enabled }) => enabled)
      ? [
          {
            list: policies,
            name: `${hostname} metrics`,
            resource: "policy-metrics",
            type: adoptableType("accessPolicy"),
            parent: "access" as const,
          },
        ]
      : []),
    ...(emails.length + emailDomains.length > 0
      ? [
          {
            list: policies,
            name: `${hostname} people`,
            resource: "policy-people",
            type: adoptableType("accessPolicy"),
            parent: "access" as const,
          },
        ]
      : []),
    ...(alerts.emails.length > 0
      ? [
          { name: `${hostname}: tunnel down or back`, resource: "alert-tunnel" },
          { name: `${hostname}: service token about to end`, resource: "alert-token" },
        ].map((one) => ({
          ...one,
          list: notifications,
          type: adoptableType("notification"),
          parent: "alerts" as const,
        }))
      : []),
  ];
  const adoptable = wanted.flatMap(({ list, name, resource, type, parent }): Adoptable[] => {
    const [one, ...others] = list.filter((candidate) => candidate.name === name);
    if (!one || others.length > 0) return []; // names need not be unique: with two, there is no way to choose
    const kind = parent === "access" ? "the Access policy" : "the notification policy";
    const means = ["it is changed to what the config says"];
    const id = `${accountId}/${one.id}`;
    return [{ shown: `${kind} ${JSON.stringify(name)}`, type, name: `${programName}-${resource}`, parent, id, means }];
  });
  return { adoptable, left: [] };
}

function userParts({ config, users }: Lookups): Found {
  const { atlas, store } = config.documents;
  if (store !== "atlas" || !atlas) return nothing;
  const adoptable = (["schema", "relay"] as const).flatMap((kind): Adoptable[] => {
    const username = `${atlas.userPrefix ?? atlas.database}-${kind}`;
    const user = users.find((one) => one.username === username && one.databaseName === "admin");
    if (!user) return [];
    return [
      {
        shown: `the database user ${username} (${user.roles.join(", ") || "without roles"})`,
        type: adoptableType("databaseUser"),
        name: `${programName}-user-${kind}`,
        parent: "documents",
        id: `${atlas.projectId}/${username}/admin`,
        means: ["it gets the stack's password, and roles on this one database only: the old password stops working"],
      },
    ];
  });
  return { adoptable, left: [] };
}

const nothing: Found = { adoptable: [], left: [] };
