/** People who may act from the status page. */
import type { RelayConfig } from "../../config.ts";
import type { Person } from "./access.ts";

/**
 * E-mail addresses as identity providers write them, in ASCII. Only these are compared without regard to case: Unicode's
 * lower case of other letters can be an ASCII one (K, the kelvin sign, becomes k).
 */
const PLAIN_ADDRESS = /^[\x21-\x3f\x41-\x7e]+@[\x21-\x3f\x41-\x7e]+$/;

/**
 * Whether `access.operators` names the person: by the address, or by its domain (`@example.com`, without subdomains). Without
 * that setting nobody is an operator.
 */
export function isOperator({ email }: Pick<Person, "email">, { access }: Pick<RelayConfig, "access">): boolean {
  const { operators = [] } = access;
  if (email === undefined || email.length > 320 || !PLAIN_ADDRESS.test(email)) return false;
  const address = email.toLowerCase();
  const domain = address.slice(address.indexOf("@"));
  return operators.some((entry) => {
    const named = entry.toLowerCase();
    return named === address || named === domain;
  });
}
