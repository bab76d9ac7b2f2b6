/**
 * Loaded into the relay (NODE_OPTIONS=--import) by the proving suite: shifts the wall clock by the milliseconds that the file
 * PROVE_CLOCK holds, in every thread, as somebody does who sets the Mac's clock. Monotonic time is left alone, as there.
 */
import { readFileSync } from "node:fs";

const RealDate = Date;
const realNow = Date.now.bind(Date);
let shiftMs = 0;

class ShiftedDate extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(realNow() + shiftMs);
    else super(...given);
  }
  static now() {
    return realNow() + shiftMs;
  }
}

const file = process.env.PROVE_CLOCK;
if (file !== undefined) {
  globalThis.Date = ShiftedDate;
  const read = () => {
    try {
      shiftMs = Number(readFileSync(file, "utf8")) || 0;
    } catch {
      shiftMs = 0;
    }
  };
  read();
  setInterval(read, 100).unref();
}
