/**
 * An ONNX model as bytes: its metadata, and parts of it.
 *
 * onnxruntime computes every output of a model, fetched or not, so a model is cut to the outputs
 * that are wanted before it is loaded. And what follows from the context alone is a small part of
 * its own: it runs again when the context changes, while the rest has run once.
 */

import { DpsError } from "./errors.js";
import { joined, readFields, writeField, writeNumber } from "./protobuf.js";

// Field numbers of onnx.proto.
const MODEL = { graph: 7, metadata: 14 };
const GRAPH = { node: 1, initializer: 5, input: 11, output: 12, valueInfo: 13 };
const INITIALIZER_NAME = 8;
const ELEMENT_TYPES: Record<string, number> = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9 };

interface Node {
  takes: string[];
  gives: string[];
  bytes: Uint8Array;
}

/** The type of a tensor that enters a part of a model. */
export interface TensorType {
  type: string;
  rank: number;
}

export class Graph {
  readonly inputs = new Map<string, Uint8Array>();
  readonly outputs = new Map<string, Uint8Array>();
  readonly metadata = new Map<string, string>();
  readonly #nodes: Node[] = [];
  readonly #initializers = new Map<string, Uint8Array>();
  readonly #modelFields: Uint8Array[] = [];
  readonly #graphFields: Uint8Array[] = [];

  constructor(model: Uint8Array) {
    for (const field of readFields(model)) {
      if (field.number === MODEL.graph) this.#readGraph(field.content);
      else if (field.number === MODEL.metadata) {
        this.metadata.set(name(field.content, 1), name(field.content, 2));
      } else this.#modelFields.push(field.bytes);
    }
    if (!this.#nodes.length) {
      throw new DpsError("the file is no ONNX model: expected a context file (.onnx)");
    }
  }

  #readGraph(graph: Uint8Array): void {
    for (const field of readFields(graph)) {
      const { content, bytes } = field;
      if (field.number === GRAPH.node) {
        const takes = [];
        const gives = [];
        for (const port of readFields(content)) {
          // An empty name stands for an optional input that is left out.
          if (port.number === 1 && port.content.length) takes.push(text(port.content));
          if (port.number === 2 && port.content.length) gives.push(text(port.content));
        }
        this.#nodes.push({ takes, gives, bytes });
      } else if (field.number === GRAPH.initializer) {
        this.#initializers.set(name(content, INITIALIZER_NAME), bytes);
      } else if (field.number === GRAPH.input) this.inputs.set(name(content, 1), bytes);
      else if (field.number === GRAPH.output) this.outputs.set(name(content, 1), bytes);
      else if (field.number !== GRAPH.valueInfo) this.#graphFields.push(bytes);
    }
  }

  /**
   * Return the tensors by which a part of the model that depends on an input follows from the rest.
   *
   * @param input - the input.
   * @param fetches - outputs of the part.
   */
  between(input: string, fetches: readonly string[]): string[] {
    const dependent = this.#following(new Set([input]));
    const anyInput = this.#following(new Set(this.inputs.keys()));
    const needed = this.#needed(fetches, new Set()).filter((node) =>
      node.gives.some((port) => dependent.has(port)),
    );
    const ports = new Set<string>();
    for (const node of needed) {
      for (const port of node.takes) {
        if (!dependent.has(port) && anyInput.has(port) && !this.inputs.has(port)) ports.add(port);
      }
    }
    for (const port of fetches) if (!dependent.has(port)) ports.add(port);
    return [...ports];
  }

  /**
   * Return the model that computes some tensors from its inputs, or from tensors in between.
   *
   * @param fetches - outputs, or tensors between nodes.
   * @param given - tensors between nodes that become inputs, with their types.
   */
  part(fetches: readonly string[], given: ReadonlyMap<string, TensorType> = new Map()): Uint8Array {
    const nodes = this.#needed(fetches, new Set(given.keys()));
    const taken = new Set(nodes.flatMap((node) => node.takes));
    const kept = (ports: Map<string, Uint8Array>) =>
      [...ports].filter(([port]) => taken.has(port)).map(([, bytes]) => bytes);
    const graph = joined([
      ...nodes.map((node) => node.bytes),
      ...kept(this.#initializers),
      ...kept(this.inputs),
      ...[...given].filter(([port]) => taken.has(port)).map(([port, type]) => port_(port, type)),
      ...fetches.map((port) => this.outputs.get(port) ?? untyped(port)),
      ...this.#graphFields,
    ]);
    return joined([...this.#modelFields, writeField(MODEL.graph, graph)]);
  }

  /** Return all tensors that depend on some of them, themselves included. */
  #following(ports: ReadonlySet<string>): Set<string> {
    const found = new Set(ports);
    for (const node of this.#nodes) {
      if (node.takes.some((port) => found.has(port))) for (const port of node.gives) found.add(port);
    }
    return found;
  }

  /** Return the nodes that tensors follow from, in their order, without those behind `given`. */
  #needed(fetches: readonly string[], given: ReadonlySet<string>): Node[] {
    const wanted = new Set(fetches);
    const found = [];
    for (let index = this.#nodes.length - 1; index >= 0; index--) {
      const node = this.#nodes[index] as Node;
      if (!node.gives.some((port) => wanted.has(port) && !given.has(port))) continue;
      found.push(node);
      for (const port of node.takes) wanted.add(port);
    }
    return found.reverse();
  }
}

/** An input of a part: its type, with as many free dimensions as it has. */
function port_(port: string, { type, rank }: TensorType): Uint8Array {
  const element = ELEMENT_TYPES[type];
  if (element === undefined) throw new DpsError(`the file has a tensor of type ${type}`);
  const free = writeField(1, new Uint8Array());
  const shape = joined(new Array<Uint8Array>(rank).fill(free));
  const tensor = joined([writeNumber(1, element), writeField(2, shape)]);
  return writeField(
    GRAPH.input,
    joined([writeField(1, encoded(port)), writeField(2, writeField(1, tensor))]),
  );
}

/** An output of a part whose type onnxruntime infers. */
function untyped(port: string): Uint8Array {
  return writeField(GRAPH.output, writeField(1, encoded(port)));
}

function name(message: Uint8Array, number: number): string {
  for (const field of readFields(message)) if (field.number === number) return text(field.content);
  return "";
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function encoded(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}
