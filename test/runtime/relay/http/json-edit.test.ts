import { describe, expect, it } from "vitest";
import { innerPieces, withMember, withoutMember } from "../../../../runtime/relay/http/json-edit.ts";
import { JsonScanner } from "../../../../runtime/relay/http/json-scanner.ts";

const scan = (object: Buffer) => {
  const scanner = new JsonScanner(object, { wanted: new Set(["model", "background", "id"]) });
  while (!scanner.step(3));
  return scanner.result;
};

describe("a member is replaced", () => {
  const renamed = (json: string) => withMember(Buffer.from(json), scan(Buffer.from(json)), "model", '"new"').toString();

  it.each([
    ['{"model":"old"}', '{"model":"new"}'],
    ['{ "a" : 1.50 , "model" : {"x":[1]} , "b":"가" }', '{ "a" : 1.50 , "model" : "new" , "b":"가" }'],
    ["{}", '{"model":"new"}'],
    [' { "a":1}', ' {"model":"new", "a":1}'],
    ['{"model":1,"MODEL":2,"mod\\u0065l":3}', '{"model":"new","MODEL":"new","mod\\u0065l":"new"}'],
    ['{"a":{"model":1}}', '{"model":"new","a":{"model":1}}'],
  ])("%s", (json, expected) => expect(renamed(json)).toBe(expected));
});

describe("a member is removed", () => {
  const without = (json: string) => withoutMember(Buffer.from(json), scan(Buffer.from(json)), "background").toString();

  it.each([
    ['{"background":true}', "{}"],
    ['{"background":true,"a":1}', '{"a":1}'],
    ['{"a":1,"background":true}', '{"a":1}'],
    ['{"a":1 , "background" : true , "b":2 }', '{"a":1  , "b":2 }'],
    ['{ "background":1 ,"background":2 ,"background":3 }', "{  }"],
    ['{"background":1,"a":0,"background":2}', '{"a":0}'],
    ['{"a":0,"background":1,"background":2,"b":0}', '{"a":0,"b":0}'],
    ['{"Background":1,"a":{"background":2}}', '{"Background":1,"a":{"background":2}}'],
  ])("%s", (json, expected) => expect(without(json)).toBe(expected));

  it("in any combination and order: the rest is what JSON.parse has without them", () => {
    const keys = ["id", "background", "a", "id", "b", "background"];
    for (let chosen = 0; chosen < 3 ** keys.length; chosen += 1) {
      const members = keys.flatMap((key, at) => {
        const how = Math.floor(chosen / 3 ** at) % 3;
        return how === 0 ? [] : [`${how === 1 ? "" : " "}"${key}": ${at} `];
      });
      const object = Buffer.from(`{${members.join(",")}}`);
      const rest = Buffer.concat(innerPieces(object, scan(object), ["id", "background"])).toString();
      const { id: _, background: __, ...left } = JSON.parse(object.toString()) as Record<string, number>;
      expect(JSON.parse(`{${rest}}`)).toEqual(left);
      expect(rest === "" || Object.keys(left).length > 0).toBe(true);
    }
  });
});
