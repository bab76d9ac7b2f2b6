/** Rewrites answers of the model server that must not go to the caller unchanged. */
import type { IncomingHttpHeaders } from "node:http";
import type { Sink } from "./answer-writer.ts";

/** An answer that replaces the model server's. */
export interface Replacement {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** How an answer's body is rewritten. */
export type Rewrite =
  /** The body is collected up to `longest` bytes and passed to `replace`. A longer one is passed to `tooLong`. */
  | {
      readonly kind: "whole";
      readonly longest: number;
      /** @returns undefined: the answer passes unchanged */
      replace(body: Buffer): Replacement | undefined;
      /** @returns undefined: the answer passes unchanged */
      tooLong(): Replacement | undefined;
    }
  /** The body is rewritten piece by piece; its length changes. */
  | { readonly kind: "pieces"; readonly change: PieceChange };

/** Changes a body piece by piece. */
export interface PieceChange {
  next(chunk: Buffer): Buffer;
  /** The remaining bytes at the end. */
  end(): Buffer;
}

/** Chooses the rewriting by the answer's head; undefined: it passes unchanged. */
export type AnswerRule = (status: number, headers: IncomingHttpHeaders) => Rewrite | undefined;

/** Applies a rule to one answer. */
export class AnswerRewriter implements Sink {
  readonly #to: Sink;
  readonly #rule: AnswerRule;
  #head: { readonly status: number; readonly headers: IncomingHttpHeaders } | undefined;
  #rewrite: Rewrite | undefined;
  #collected: Buffer[] = [];
  #bytes = 0;
  /** Whether the answer has been replaced, so that the rest of it is dropped. */
  #replaced = false;

  constructor(to: Sink, rule: AnswerRule) {
    this.#to = to;
    this.#rule = rule;
  }

  head(status: number, headers: IncomingHttpHeaders): void {
    this.#rewrite = this.#rule(status, headers);
    if (this.#rewrite === undefined) this.#to.head(status, headers);
    else if (this.#rewrite.kind === "pieces") this.#to.head(status, withoutLength(headers));
    else this.#head = { status, headers };
  }

  write(chunk: Buffer): boolean {
    const rewrite = this.#rewrite;
    if (rewrite === undefined) return this.#to.write(chunk);
    if (this.#replaced) return true;
    if (rewrite.kind === "pieces") {
      const changed = rewrite.change.next(chunk);
      return changed.length === 0 || this.#to.write(changed);
    }
    this.#bytes += chunk.length;
    if (this.#bytes <= rewrite.longest) {
      // A copy: a small chunk may keep a large buffer alive.
      this.#collected.push(Buffer.from(chunk));
      return true;
    }
    const more = this.#settle(rewrite.tooLong());
    return this.#replaced ? true : this.#to.write(chunk) && more;
  }

  end(): void {
    const rewrite = this.#rewrite;
    if (rewrite?.kind === "whole" && !this.#replaced) {
      const body = Buffer.concat(this.#collected);
      this.#settle(rewrite.replace(body));
    } else if (rewrite?.kind === "pieces") {
      const rest = rewrite.change.end();
      if (rest.length > 0) this.#to.write(rest);
    }
    if (!this.#replaced) this.#to.end();
  }

  onceDrained(go: () => void): void {
    this.#to.onceDrained(go);
  }

  /** Sends what was collected, or its replacement. @returns whether more may be written */
  #settle(replacement: Replacement | undefined): boolean {
    const collected = this.#collected;
    this.#collected = [];
    const head = this.#head!;
    if (replacement === undefined) {
      this.#rewrite = undefined;
      this.#to.head(head.status, head.headers);
      return collected.map((chunk) => this.#to.write(chunk)).every(Boolean);
    }
    this.#replaced = true;
    this.#to.head(replacement.status, replacement.headers);
    this.#to.write(replacement.body);
    this.#to.end();
    return true;
  }
}

function withoutLength(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const { "content-length": _length, ...rest } = headers;
  return rest;
}
