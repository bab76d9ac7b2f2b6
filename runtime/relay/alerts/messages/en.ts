/** Alerts in English. */
import type { Words } from "./words.ts";

const STORES: Readonly<Record<string, string>> = { jobs: "job store", documents: "document store" };

export const en: Words = {
  raised: {
    model_down: (subject, { seconds }) =>
      `The model server (${subject}) has not answered for ${seconds} s. Requests get 503; jobs wait.`,
    queue_wait: (subject, { seconds, waiting }) =>
      `Queue ${subject}: a request has been waiting for ${seconds} s; ${waiting} are waiting.`,
    disk: (_, { percent, freeGiB }) =>
      `The Mac's disk is ${percent} % full: ${freeGiB} GiB free. Delete what is not needed; models are the large files.`,
    quota: (subject, { percent }) => `${subject}: ${percent} % of the quota is used.`,
    token_end: (subject, { expiresAt }) =>
      `The service token of ${subject} ends at ${expiresAt}. Extend its duration before, or make a new one (docs/rotation.md).`,
    update_waiting: (_, { updates }) =>
      `macOS has updates waiting: ${updates}. Install them when it suits you; the Mac restarts.`,
    store_down: (subject, { seconds }) => `The ${STORES[subject] ?? subject} has been unavailable for ${seconds} s.`,
    direct_line_down: (subject, { seconds }) =>
      `The direct line of ${subject} has been down for ${seconds} s. Its calls fail unless they go through Cloudflare.`,
  },
  resolved: {
    model_down: (subject) => `The model server (${subject}) answers again.`,
    queue_wait: (subject) => `Queue ${subject}: waits are short again.`,
    disk: (_, { percent }) => `The Mac's disk has room again (it was ${percent} % full).`,
    quota: (subject) => `${subject}: the quota has been renewed.`,
    token_end: (subject) => `The service token of ${subject} no longer ends soon.`,
    update_waiting: () => "No macOS update is waiting any more.",
    store_down: (subject) => `The ${STORES[subject] ?? subject} is available again.`,
    direct_line_down: (subject) => `The direct line of ${subject} is up again.`,
  },
  test: "This is a test: alerts of this network arrive here.",
};
