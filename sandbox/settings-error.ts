/** Invalid environment; the message names every problem with its value and what is allowed. See `settings.ts`. */
export class SettingsError extends Error {
  override name = "SettingsError";
}
