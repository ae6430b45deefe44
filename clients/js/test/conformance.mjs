/**
 * The conformance vectors, run by this client: in Node, and in a browser.
 *
 * @param client - the module of the client.
 * @param metric - of the universal file, in any context.
 * @param vectors - `vectors.json`.
 * @param readImage - gives the RGB or RGBA pixels of an image by its path in the vectors.
 * @returns {Promise<{checked: number, failures: string[], largest: Record<string, number>}>}
 */
export async function runVectors(client, metric, vectors, readImage) {
  const found = { checked: 0, failures: [], largest: {} };
  const check = (what, kind, got, expected) => {
    const wanted = [expected].flat(Infinity);
    const values = [...got];
    const least = Math.max(1, ...wanted.map(Math.abs));
    const difference =
      values.length === wanted.length
        ? Math.max(...values.map((value, index) => Math.abs(value - wanted[index]))) / least
        : NaN;
    const output = what.split(" ").at(-1);
    found.checked += 1;
    if (!(difference <= (found.largest[output] ?? 0))) found.largest[output] = difference;
    if (!(difference <= vectors.tolerances[kind])) found.failures.push(`${what}: ${difference}`);
  };

  const metrics = vectors.contexts.map(({ expected, ...given }, number) => {
    const one = metric.inContext(given);
    const names = Object.keys(expected);
    if (`${Object.keys(one.context.importances)}` !== `${names}`) {
      found.failures.push(`context ${number}: ${Object.keys(one.context.importances)}`);
    }
    const values = names.map((name) => one.context.importances[name] ?? NaN);
    check(`context ${number} importances`, "arithmetic", values, Object.values(expected));
    return one;
  });

  for (const given of vectors.refused) {
    found.checked += 1;
    try {
      metric.inContext(given);
      found.failures.push(`accepted ${JSON.stringify(given)}`);
    } catch (error) {
      if (!(error instanceof client.DpsError)) throw error;
    }
  }

  for (const { name, references, candidates, expected, contexts } of vectors.cases) {
    const ones = await Promise.all(references.map(readImage));
    const others = await Promise.all(candidates.map(readImage));
    const image = { width: ones[0].width, height: ones[0].height };
    const names = metric.manifest.metric.amounts;
    for (const [index, candidate] of others.entries()) {
      const label = `${name} ${index}`;
      const reference = ones[Math.min(index, ones.length - 1)];
      const measured = await metric.measure(reference, candidate, { map: true });
      const [measurement] = measured.measurements;
      check(`${label} amounts`, "measured", measurement.amounts, expected.amounts[index]);
      check(`${label} strengths`, "read", measurement.strengths, expected.strengths[index]);
      check(`${label} directions`, "read", measurement.directions, expected.directions[index]);
      check(`${label} cells`, "read", measurement.cells.data, expected.cells[index]);
      for (const { context, distance, parts, map, local } of contexts) {
        const one = metrics[context];
        const comparison = one.weigh(measured);
        const at = `${label} in ${context}`;
        check(`${at} distance`, "measured", [comparison.distance], distance[index]);
        check(
          `${at} parts`,
          "measured",
          names.flatMap((part) => comparison.parts[part] ?? []),
          names.flatMap((part) => parts[index][part] ?? []),
        );
        const grid = await one.map(measured);
        check(`${at} map`, "measured", grid.data, map[index]);
        const all = one.localDistances(grid, image, comparison.distance);
        const shown = local.x.map((x, place) => all[local.y[place] * image.width + x]);
        check(`${at} local`, "measured", shown, local.values[index]);
      }
      await measured.release();
    }
    if (ones.length === 1) {
      for (const { context, distance } of contexts) {
        const batch = await metrics[context].compareBatch(ones[0], others);
        const distances = batch.map((comparison) => comparison.distance);
        check(`${name} batch in ${context} distance`, "measured", distances, distance);
      }
    }
  }

  for (const { context, distances, percentiles, anchors } of vectors.readings) {
    const { importances } = metrics[context].context;
    const calibration = client.calibrationIn(metric.manifest, importances);
    const scales = client.scalesIn(metric.manifest, importances);
    for (const [index, distance] of distances.entries()) {
      const shares = client.percentilesOf(distance, calibration);
      const at = `reading of ${distance} in ${context}`;
      check(`${at} percentiles`, "arithmetic", Object.values(shares), Object.values(percentiles[index]));
      const read = scales.map((scale) => client.anchorOn(distance, scale));
      const numbers = (list) => list.flatMap((one) => [one.value, one.beyond]);
      check(`${at} anchors`, "arithmetic", numbers(read), numbers(anchors[index]));
      if (`${read.map((one) => one.change)}` !== `${anchors[index].map((one) => one.change)}`) {
        found.failures.push(`${at}: ${read.map((one) => one.change)}`);
      }
    }
  }
  return found;
}
