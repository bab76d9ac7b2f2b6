/** A question that must be answered, and a message that goes by itself. Both outside of what is rendered again. */
import { h } from "./dom.ts";

const SAID_MS = 6000;

/** @returns whether the reader said yes; Escape is no */
export function askWhether(
  question: string,
  detail: string,
  answers: { readonly yes: string; readonly no: string },
): Promise<boolean> {
  const no = h("button", { type: "button" }, answers.no);
  const yes = h("button", { type: "button", class: "danger" }, answers.yes);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "question" },
    h("p", { id: "question" }, question),
    h("p", { class: "note" }, h("code", {}, detail)),
    h("div", { class: "answers" }, no, yes),
  );
  document.body.append(dialog);
  return new Promise((resolve) => {
    const end = (answer: boolean) => {
      dialog.close();
      dialog.remove();
      resolve(answer);
    };
    no.addEventListener("click", () => end(false));
    yes.addEventListener("click", () => end(true));
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      end(false);
    });
    dialog.showModal();
    no.focus();
  });
}

const region = h("div", { class: "said", role: "status" });
document.body.append(region);

/** Shows a message for some seconds; screen readers read it out. */
export function say(text: string): void {
  const line = h("p", {}, text);
  region.replaceChildren(line);
  setTimeout(() => line.remove(), SAID_MS);
}
