/** A need that only a person can meet; its message is one sentence saying what to install. */
export class MissingTool extends Error {
  override name = "MissingTool";
}
