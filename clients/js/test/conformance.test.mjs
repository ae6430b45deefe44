import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import * as client from "../dist/index.js";
import { runVectors } from "./conformance.mjs";
import { FILE, readImage, readVectors } from "./images.mjs";

const vectors = readVectors();

test("the vectors are of this file", () => {
  const found = createHash("sha256").update(readFileSync(FILE)).digest("hex");
  assert.equal(vectors.file.sha256, found, "make them again: python -m clients.conformance.make");
});

test("every vector is met", async () => {
  const metric = await client.Metric.load(FILE, undefined, { threads: 1 });
  assert.equal(metric.device, "cpu");
  const { checked, failures, largest } = await runVectors(client, metric, vectors, readImage);
  console.log(`conformance: ${JSON.stringify({ checked, largest })}`);
  await metric.close();
  assert.deepEqual(failures, []);
  assert.ok(checked > 200);
});

test("a client that swaps channels fails", async () => {
  const metric = await client.Metric.load(FILE, undefined, { threads: 1 });
  const swapped = async (path) => {
    const image = readImage(path);
    for (let place = 0; place < image.data.length; place += 4) {
      const red = image.data[place];
      image.data[place] = image.data[place + 2];
      image.data[place + 2] = red;
    }
    return image;
  };
  const { failures } = await runVectors(client, metric, vectors, swapped);
  await metric.close();
  assert.ok(failures.some((failure) => failure.includes("amounts")));
});

test("a client that divides images evenly into the places of a map fails", async () => {
  const metric = await client.Metric.load(FILE, undefined, { threads: 1 });
  metric.manifest.cell = null;
  const { failures } = await runVectors(client, metric, vectors, readImage);
  await metric.close();
  assert.ok(failures.length > 0);
  assert.ok(failures.every((failure) => failure.includes("local")));
});

test("translucent images are composited over two backgrounds", () => {
  const { images, renderings } = vectors.decoding;
  const [first, second] = images.map(readImage);
  const found = client.renderings(first, second).map((pair) => pair.map((one) => [...one]));
  assert.deepEqual(found, renderings);
});
