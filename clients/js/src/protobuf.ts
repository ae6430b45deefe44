/** Just enough of the protobuf wire format to read an ONNX model and to take it apart. */

import { DpsError } from "./errors.js";

export interface Field {
  number: number;
  /** The whole field, tag included, to be copied into another message. */
  bytes: Uint8Array;
  /** What a length-delimited field holds; empty for numbers. */
  content: Uint8Array;
  /** The value of a varint; 0 for all other fields. */
  value: number;
}

const VARINT = 0;
const FIXED64 = 1;
const LENGTH = 2;
const FIXED32 = 5;

/** Yield the fields of a message. */
export function* readFields(message: Uint8Array): Generator<Field> {
  let place = 0;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1, count = 0; count < 10; scale *= 128, count++) {
      const byte = message[place++];
      if (byte === undefined) throw new DpsError("the file is cut short: get the whole file again");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    throw new DpsError("the file is no ONNX model: expected a context file (.onnx)");
  };
  while (place < message.length) {
    const start = place;
    const tag = varint();
    const wire = tag % 8;
    let value = 0;
    let from = place;
    if (wire === VARINT) value = varint();
    else if (wire === FIXED64) place += 8;
    else if (wire === FIXED32) place += 4;
    else if (wire === LENGTH) {
      const length = varint();
      from = place;
      place += length;
    } else throw new DpsError("the file is no ONNX model: expected a context file (.onnx)");
    if (place > message.length) {
      throw new DpsError("the file is cut short: get the whole file again");
    }
    yield {
      number: Math.floor(tag / 8),
      bytes: message.subarray(start, place),
      content: wire === LENGTH ? message.subarray(from, place) : new Uint8Array(),
      value,
    };
  }
}

/** Return a length-delimited field. */
export function writeField(number: number, content: Uint8Array): Uint8Array {
  return joined([varintBytes(number * 8 + LENGTH), varintBytes(content.length), content]);
}

/** Return a number as a field. */
export function writeNumber(number: number, value: number): Uint8Array {
  return joined([varintBytes(number * 8 + VARINT), varintBytes(value)]);
}

/** Return byte strings one after another. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((total, part) => total + part.length, 0));
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

function varintBytes(value: number): Uint8Array {
  const bytes = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Uint8Array.from([...bytes, value]);
}
