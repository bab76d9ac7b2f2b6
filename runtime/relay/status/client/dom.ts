/**
 * Makes elements, and brings the page up to date with them. Every text becomes a text node, every value an attribute of a
 * known name: nothing that comes from the relay is ever read as HTML.
 */

export type Child = Node | string | number | null | undefined | false;
type Value = string | number | boolean | null | undefined;

/** Attributes; `key` names the element among its siblings, `onclick` is called. */
export interface Attributes {
  readonly key?: string;
  readonly onclick?: () => void;
  readonly [name: string]: Value | (() => void);
}

/** Handlers of clicks: replaced when the page is brought up to date, so that they see the newest state. */
const handlers = new WeakMap<Element, () => void>();

/** An element with attributes and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") handlers.set(element, value as () => void);
    else if (name === "key") element.dataset.key = String(value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...textAndNodes(children));
  return element;
}

function textAndNodes(children: readonly Child[]): (Node | string)[] {
  return children.flatMap((child) => {
    if (child === null || child === undefined || child === false) return [];
    return [child instanceof Node ? child : String(child)];
  });
}

/** Calls the handlers of `onclick` below an element. */
export function listenForClicks(root: Element): void {
  root.addEventListener("click", (event) => {
    for (let at = event.target as Element | null; at !== null && at !== root; at = at.parentElement) {
      const handler = handlers.get(at);
      if (handler !== undefined) {
        handler();
        return;
      }
    }
  });
}

/**
 * Makes the children of `parent` equal to `wanted`, and keeps the elements that are there: focus, selection, opened details
 * and charts survive. What is inside an element with `data-keep` stays.
 */
export function update(parent: Element, wanted: readonly Child[]): void {
  patchChildren(
    parent,
    textAndNodes(wanted).map((child) => (typeof child === "string" ? document.createTextNode(child) : child)),
  );
}

function patchChildren(parent: Element, wanted: readonly Node[]): void {
  const keyed = new Map<string, Element>();
  for (const child of parent.children) {
    const key = keyOf(child);
    if (key !== undefined) keyed.set(key, child);
  }
  let at: ChildNode | null = parent.firstChild;
  for (const next of wanted) {
    const key = keyOf(next);
    const same: Node | null | undefined = key === undefined ? at : keyed.get(key);
    if (same && isAlike(same, next)) {
      if (same === at) at = at!.nextSibling;
      else parent.insertBefore(same, at);
      patch(same, next);
    } else {
      parent.insertBefore(next, at);
    }
  }
  while (at !== null) {
    const after: ChildNode | null = at.nextSibling;
    at.remove();
    at = after;
  }
}

const keyOf = (node: Node): string | undefined => (node instanceof HTMLElement ? node.dataset.key : undefined);

const isAlike = (one: Node, other: Node): boolean => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);

function patch(now: Node, next: Node): void {
  if (!(now instanceof Element && next instanceof Element)) {
    if (now.nodeValue !== next.nodeValue) now.nodeValue = next.nodeValue;
    return;
  }
  const handler = handlers.get(next);
  if (handler === undefined) handlers.delete(now);
  else handlers.set(now, handler);
  for (const { name } of [...now.attributes]) {
    // The reader opens and closes it.
    if (!next.hasAttribute(name) && !(name === "open" && now.nodeName === "DETAILS")) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
  if (!next.hasAttribute("data-keep")) patchChildren(now, [...next.childNodes]);
}
