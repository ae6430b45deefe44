import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

import * as client from "../dist/index.js";
import { FILE, readImage, VECTORS } from "./images.mjs";

const { Metric, DpsError } = client;
const one = readImage("images/one-place-reference-0.png");
const other = readImage("images/one-place-candidate-0.png");

test("a comparison has parts that add up, readings, a map and a box at the change", async () => {
  const metric = await Metric.load(FILE, { ranking: "3,1,5,0,2,4" });
  const found = await metric.compare(one, other, { map: true });
  assert.ok(found.distance > 0);
  const sum = Object.values(found.parts).reduce((total, part) => total + part, 0);
  assert.ok(Math.abs(sum - found.distance) < 1e-5 * found.distance);
  assert.equal(Object.keys(found.percentiles).length, 6);
  assert.ok(found.anchors.length > 0);
  const [box] = metric.boxes(found.map, one);
  assert.ok(box.x <= 180 && box.x + box.width >= 180 && box.y <= 128 && box.y + box.height >= 128);
  assert.ok(box.x > 100 && box.y > 80 && box.share > 0.5);
  assert.equal(client.paint(metric.localDistances(found.map, one, found.distance)).length, 120000);
  await metric.close();
});

test("identical images are 0 apart; another context costs no run", async () => {
  const metric = await Metric.load(new Uint8Array(readFileSync(FILE)));
  const same = await metric.compare(one, one, { map: true });
  assert.equal(same.distance, 0);
  assert.equal(same.identical, true);
  assert.ok(same.map.data.every((value) => value === 0));
  const measured = await metric.measure(one, other);
  const louder = metric.inContext({ importances: "size=2" });
  const [quiet, loud] = [metric, louder].map((context) => context.weigh(measured).distance);
  assert.ok(Math.abs(loud - 2 * quiet) < 1e-6 * loud);
  await assert.rejects(metric.map(measured), DpsError);
  await metric.close();
});

test("wrong images and files are refused in one line", async () => {
  const metric = await Metric.load(FILE);
  const smaller = { ...one, data: one.data.slice(4 * one.width), height: one.height - 1 };
  await assert.rejects(metric.compare(one, smaller), /the sizes differ: 200x150 and 200x149/);
  const floats = { ...one, data: Float32Array.from(one.data) };
  await assert.rejects(metric.compare(one, floats), /expected width \* height \* 3 bytes/);
  await metric.close();
  const bytes = readFileSync(FILE);
  for (const broken of [bytes.subarray(0, 999), bytes.subarray(999), Buffer.from("no model")]) {
    await assert.rejects(Metric.load(new Uint8Array(broken)), DpsError);
  }
  const text = bytes.toString("latin1");
  const newer = Buffer.from(text.replace('{"format":4,', '{"format":5,'), "latin1");
  await assert.rejects(Metric.load(new Uint8Array(newer)), /manifest|format/);
});

test("contexts are written as dps-infer reads them", () => {
  const kinds = ["color", "blur"];
  const ranked = client.chooseContext({ ranking: "0,*,blur" }, kinds);
  assert.equal(client.commandOption(ranked), "--ranking 'color,*,blur'");
  assert.match(client.contextToml(ranked, "mine", 'a "why"'), /why = "a \\"why\\""\n.*\nranking/);
  const weighed = client.chooseContext({ importances: { blur: 2, color: 0.1 } }, kinds);
  assert.equal(client.commandOption(weighed), "--importance color=0.1,blur=2");
  assert.match(client.contextToml(weighed, "mine", "why"), /\[importances\]\n"color" = 0.1\n"blur" = 2.0\n$/);
});

test("the example of the README runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "dps-client-"));
  const images = join(VECTORS, "..", "images");
  cpSync(join(images, "one-place-reference-0.png"), join(folder, "reference.png"));
  cpSync(join(images, "one-place-candidate-0.png"), join(folder, "candidate.png"));
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf-8");
  const [, block] = readme.match(/```js\n(.*?)```/s);
  // In the package's own folder, which makes its name known; the file is copied there by `bundle`.
  const script = fileURLToPath(new URL(`../dist/readme-${process.pid}.mjs`, import.meta.url));
  const resolved = 'fileURLToPath(import.meta.resolve("dps-client/universal.onnx"))';
  assert.ok(block.includes(resolved));
  writeFileSync(script, block.replace(resolved, JSON.stringify(FILE)));
  try {
    const printed = execFileSync(process.execPath, [script], { cwd: folder, encoding: "utf-8" });
    assert.match(printed, /content: /);
    assert.match(printed, /share: /);
  } finally {
    rmSync(script);
    rmSync(folder, { recursive: true });
  }
});
