/**
 * Node's compile cache for the modules that are loaded after this one: types stripped and compiled once, not at every start
 * of the program and of the dynamic provider's process. In the checkout, not in Node's default folder: what lies there is run as
 * code, and others may write to a temporary folder. An entry counts only for the very same text of a module.
 */
import { enableCompileCache } from "node:module";
import { join } from "node:path";

enableCompileCache(join(import.meta.dirname, "../dist/compile-cache"));
