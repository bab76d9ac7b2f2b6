import { describe, expect, test } from "vitest";
import { errorsOf, madeAnything, Patience, readEvents } from "../../../commands/up/events.ts";

describe("the engine's events", () => {
  const urn = "urn:pulumi:prod::slm-network::x::slm-documents";
  const metadata = { op: "create", urn, type: "mongodbatlas:index/databaseUser:DatabaseUser" };
  const lines = [
    { sequence: 1, resourcePreEvent: { metadata, planning: true } },
    { sequence: 2, resourcePreEvent: { metadata } },
    { sequence: 3, resourcePreEvent: { metadata } },
    { sequence: 4, resourcePreEvent: { metadata: { ...metadata, op: "same", type: "command:remote:Command" } } },
    { sequence: 5, diagnosticEvent: { message: "\u001b[31mit failed\u001b[0m\n", severity: "error", urn } },
    { sequence: 6, diagnosticEvent: { message: "a note", severity: "info", urn } },
    { sequence: 7, diagnosticEvent: { message: "passing", severity: "error", ephemeral: true } },
  ];
  const text = `${lines.map((line) => JSON.stringify(line)).join("\n")}\n{"sequence":8,"diagn`;
  test("errors are read without colours; half a line is skipped", () => {
    expect(errorsOf(readEvents(text))).toEqual(["it failed"]);
  });
  test("a run that only recorded the stack created nothing", () => {
    const outputs = (op: string, type: string, planning = false) => ({
      resOutputsEvent: { metadata: { op, urn, type }, planning },
    });
    const stack = outputs("create", "pulumi:pulumi:Stack");
    expect(madeAnything([stack, outputs("create", "slm-network:access:Access"), outputs("same", metadata.type)])).toBe(
      false,
    );
    expect(madeAnything([outputs("create", metadata.type, true)])).toBe(false);
    expect(madeAnything([stack, outputs("create", metadata.type)])).toBe(true);
  });
  test("explains once why a resource takes long, and not in a preview", () => {
    const patience = new Patience();
    expect(patience.notes(readEvents(text))).toEqual([
      expect.stringMatching(/^… slm-documents: Atlas distributes the user/),
    ]);
    expect(patience.notes(readEvents(text))).toEqual([]);
  });
});
