/** Puts the page for people together. */
import type { Upstream } from "../model/upstream.ts";
import type { Log } from "../telemetry/log.ts";
import { loadAssets } from "./assets.ts";
import { openAudit } from "./audit.ts";
import { LiveFeed } from "./live-feed.ts";
import { watchModel } from "./model-watch.ts";
import { type PageSources, pageState } from "./page-state.ts";
import type { StatusPage } from "./serve.ts";
import type { Status } from "./status.ts";
import { createUsageAnswers, type UsageSource } from "./usage-answer.ts";

export interface StatusPageOptions extends Omit<PageSources, "model" | "audit" | "draining" | "jobs" | "ledger"> {
  readonly log: Log;
  readonly status: Status;
  readonly upstream: Pick<Upstream, "look">;
  readonly ledger: UsageSource & PageSources["ledger"];
  readonly jobs: PageSources["jobs"] & StatusPage["jobs"];
  /** Folder with the page's own program. @default beside the bundled relay */
  readonly assets?: URL | undefined;
}

export interface OpenStatusPage extends StatusPage {
  /** Ends the open pages' event streams: they connect again, to the next relay. */
  close(): void;
}

/** Never rejects. */
export async function openStatusPage(options: StatusPageOptions): Promise<OpenStatusPage> {
  const { config, log, status, jobs, upstream, ledger, speed } = options;
  const [audit, assets] = await Promise.all([openAudit(config.dataDir, log), loadAssets(options.assets)]);
  const model = watchModel(upstream);
  const feed = new LiveFeed(
    pageState({ ...options, model, draining: () => status.draining, audit: () => audit.latest }),
  );
  return {
    config,
    log,
    status,
    jobs,
    audit,
    assets,
    feed,
    usage: createUsageAnswers(ledger),
    close() {
      feed.close();
      model.close();
      speed.close();
    },
  };
}
