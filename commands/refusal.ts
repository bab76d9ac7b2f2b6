/** Init cannot go on; the message says why and what to do. */
export class InitRefusal extends Error {
  override name = "InitRefusal";
}
