import { describe, expect, it } from "vitest";
import { documentsSchema } from "../../../../config/documents.ts";
import { DocumentLifetime } from "../../../../runtime/relay/documents/lifetime.ts";

const day = 86_400_000;

describe("the lifetime of a document", () => {
  const lifetime = new DocumentLifetime(documentsSchema.parse({}).ttlDays);

  it("ends 30 days after its last use unless the stack's config says otherwise", () => {
    expect(lifetime.expiresAt(7)).toBe(30 * day + 7);
    expect(new DocumentLifetime(1).expiresAt(7)).toBe(day + 7);
  });

  it("has ended at that time, not a millisecond before", () => {
    const isLiving = (lastAccessedAt: number, now: number) => lastAccessedAt > lifetime.livingSince(now);
    expect(isLiving(0, 30 * day - 1)).toBe(true);
    expect(isLiving(0, 30 * day)).toBe(false);
  });

  it("is almost over in its last hour", () => {
    expect(lifetime.isAlmostOver(0, 30 * day - 3_600_000)).toBe(false);
    expect(lifetime.isAlmostOver(0, 30 * day - 3_600_000 + 1)).toBe(true);
    expect(lifetime.isAlmostOver(0, 31 * day)).toBe(true);
  });
});
