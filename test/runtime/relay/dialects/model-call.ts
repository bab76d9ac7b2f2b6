import { DIALECTS } from "../../../../runtime/relay/dialects/dialects.ts";
import { createRouter, type ModelCall } from "../../../../runtime/relay/http/router.ts";

export const router = createRouter(DIALECTS, "ollama");

/** The route of a path to the model server. */
export function modelCall(path: string, method: "GET" | "POST" = "POST"): ModelCall {
  const route = router.find(method, path);
  if (route.kind !== "model") throw new Error(`${path} is not a path of the model server`);
  return route;
}
