/** Answers requests below `/status`: the page, its program, its data, and what operators do from it. */
import type { RelayConfig } from "../../config.ts";
import type { Person } from "../access/access.ts";
import { isOperator } from "../access/operators.ts";
import { RelayError } from "../errors.ts";
import type { Exchange } from "../http/exchange.ts";
import { sendJson, sendText } from "../http/listener.ts";
import type { StatusView } from "../http/router.ts";
import { type ActParts, cancelJob } from "./act.ts";
import { type PageAssets, sendAsset } from "./assets.ts";
import type { LiveFeed } from "./live-feed.ts";
import { renderPage } from "./page.ts";
import type { UsageAnswer } from "./page-data.ts";
import { readPreferences } from "./preferences.ts";
import type { Status } from "./status.ts";
import { readUsageQuery, type UsageQuery } from "./usage-answer.ts";

/** What the page is answered with. */
export interface StatusPage extends ActParts {
  readonly config: RelayConfig;
  readonly status: Status;
  readonly feed: LiveFeed;
  readonly usage: (query: UsageQuery) => Promise<UsageAnswer>;
  readonly assets: PageAssets | undefined;
}

/** Everything comes from this origin; no script or style within the page. uPlot sets styles by CSSOM, which this allows. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  // Nothing in the page writes HTML: browsers that know this refuse it if anything did.
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join("; ");

const SAFE_HEADERS = {
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
} as const;

/** @throws RelayError */
export async function serveStatus(
  exchange: Exchange,
  person: Person,
  route: { readonly view: StatusView; readonly id: string },
  page: StatusPage,
): Promise<void> {
  const { res, req } = exchange;
  for (const [name, value] of Object.entries(SAFE_HEADERS)) res.setHeader(name, value);
  switch (route.view) {
    case "page": {
      res.setHeader("Content-Security-Policy", POLICY);
      res.setHeader("Vary", "Accept-Language, Cookie");
      const html = renderPage(await page.status.data(), {
        ...readPreferences(req.headers),
        person: { name: person.name, isOperator: isOperator(person, page.config) },
        hasProgram: page.assets !== undefined,
      });
      return sendText(res, 200, "text/html; charset=utf-8", html);
    }
    case "data":
      return sendJson(res, 200, await page.status.data());
    case "script":
      return sendAsset(req, res, present(page.assets).script);
    case "style":
      return sendAsset(req, res, present(page.assets).style);
    case "usage": {
      const query = readUsageQuery(exchange.query, Date.now());
      return sendJson(res, 200, await usageOf(query, page));
    }
    case "events":
      return page.feed.open(res, person);
    case "cancel": {
      const done = await cancelJob({ person, headers: req.headers, job: route.id }, page);
      void page.feed.refresh();
      return sendJson(res, 200, done);
    }
  }
}

function present(assets: PageAssets | undefined): PageAssets {
  if (assets === undefined) throw new RelayError("not_found", "This relay was started without the page's program.");
  return assets;
}

async function usageOf(query: UsageQuery, { usage }: StatusPage): Promise<UsageAnswer> {
  try {
    return await usage(query);
  } catch (cause) {
    throw new RelayError("usage_unavailable", "The ledger of usage is unavailable at the moment.", { cause });
  }
}
