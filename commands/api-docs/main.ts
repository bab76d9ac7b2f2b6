/** `npm run docs:api`: writes docs/api.md from the schemas that check requests. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DIALECTS } from "../../runtime/relay/dialects/dialects.ts";
import { apiMarkdown } from "../../runtime/relay/openapi/markdown.ts";
import { openApi } from "../../runtime/relay/openapi/openapi.ts";

const file = join(import.meta.dirname, "../../docs/api.md");
await writeFile(file, apiMarkdown(openApi({ hostname: "slm.example.com", dialects: DIALECTS })));
console.log(`wrote ${file}`);
