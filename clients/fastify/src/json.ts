/**
 * Reads amounts without ever making floats of them: a number of the service is kept as the digits that it sent.
 */

/** What a JSON number looks like. */
const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** Longer is no amount. */
const DIGITS_MOST = 64;

/** Whether the text is one JSON number, of a sensible length. */
export function isNumberText(text: unknown): text is string {
  return typeof text === "string" && text.length <= DIGITS_MOST && NUMBER.test(text);
}

/** A JSON object, and the digits of its numbers as they were written. */
export interface Parsed {
  readonly value: Readonly<Record<string, unknown>>;
  /** The text of the numbers directly within the object, by name. */
  readonly numbers: ReadonlyMap<string, string>;
}

/** Reads a JSON object; nothing when the text is anything else. */
export function parseObject(text: string): Parsed | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  return { value, numbers: numbersOf(text) };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The member, where it is a string of at most `most` characters. */
export function stringOf(value: Readonly<Record<string, unknown>>, name: string, most = 2000): string | undefined {
  const member = value[name];
  return typeof member === "string" ? member.slice(0, most) : undefined;
}

/** One token of JSON: a string, a bracket, a colon or comma, or a run of anything else but space. */
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\]:,]|[^\s"{}[\]:,]+/g;

/** Walks JSON that is known to be valid. */
function numbersOf(text: string): Map<string, string> {
  const numbers = new Map<string, string>();
  let depth = 0;
  let name: string | undefined;
  let last = "";
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (depth === 1 && token === ":") name = JSON.parse(last) as string;
    else if (depth === 1 && token === ",") name = undefined;
    else if (depth === 1 && name !== undefined && last === ":" && isNumberText(token)) numbers.set(name, token);
    last = token;
  }
  return numbers;
}
