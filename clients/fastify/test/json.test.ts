/** Amounts keep the digits that they were sent with. */

import assert from "node:assert/strict";
import { it } from "node:test";

import { isNumberText, parseObject } from "../src/json.js";

it("the numbers of an object are read as they were written", () => {
  const cases: [string, Record<string, string>][] = [
    ["{}", {}],
    ['{"a":1}', { a: "1" }],
    ['{ "a" : 1.000000000 , "b":-0.1,"c":1e-9 }', { a: "1.000000000", b: "-0.1", c: "1e-9" }],
    ['{"a":12345678901234567890.123456789}', { a: "12345678901234567890.123456789" }],
    ['{"a":"1","b":true,"c":null,"d":[2],"e":{"a":3}}', {}],
    ['{"e":{"a":3},"d":[1,2],"a":4}', { a: "4" }],
    ['{"x":"\\"a\\":5,{[","a":6}', { a: "6" }],
    ['{"x":"\\\\","a":7,"\\u0062":8}', { a: "7", b: "8" }],
    ['{"a":1,"a":2}', { a: "2" }],
  ];
  for (const [text, numbers] of cases) {
    assert.deepEqual(Object.fromEntries(parseObject(text)?.numbers ?? [["none", ""]]), numbers, text);
  }
});

it("what is no object is nothing", () => {
  for (const text of ["", "{", "[]", "1", "null", '"a"', '{"a":01}', '{"a":1}x']) {
    assert.equal(parseObject(text), undefined, text);
  }
});

it("a number's text is a number's text and nothing else", () => {
  for (const text of ["0", "-1", "0.5", "1e9", "1E+9", "100.01"]) assert.ok(isNumberText(text), text);
  for (const text of ["", "01", ".5", "1.", "1,", "NaN", '1,"x":2', " 1", "1\n", "1".repeat(65), 1, null]) {
    assert.ok(!isNumberText(text), String(text));
  }
});
