/** Names in a zone. Pure. */

/** True when the name is the zone's or below it. */
export function inZone(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`);
}
