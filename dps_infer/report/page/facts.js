// What the results state about one pair, beside its pictures.

/** Show everything the results state about a pair. */
function showFacts(pair) {
  const facts = byId("facts");
  facts.replaceChildren();
  if (pairs.error[pair] === "") showReading(facts, pair);
  else facts.append(make("p", { class: "bad" }, pairs.error[pair]));
  if (pairs.notes[pair] !== "") facts.append(fact("Notes", pairs.notes[pair]));
  facts.append(fact("Reference", pairs.reference[pair], sizeOf(pairs.referenceImage[pair])),
    fact("Candidate", pairs.candidate[pair], sizeOf(pairs.candidateImage[pair])));
  for (const [name, values] of Object.entries(pairs.other)) {
    if (values[pair] !== "") facts.append(fact(name, values[pair]));
  }
}

function showReading(facts, pair) {
  const several = report.contexts.length > 1;
  report.contexts.forEach((context, place) => {
    const above = isAbove(pair, place);
    const value = make("strong", { class: above ? "bad" : "" },
      formatDistance(distanceOf(pair, place), place));
    const words = [make("span", {}, several ? context.label : "distance")];
    if (above) words.push(make("span", { class: "bad" }, `above ${thresholdOf(place)}`));
    if (pairs.identical[pair]) words.push(make("span", {}, "identical images"));
    facts.append(several
      ? button({ class: "tile", "aria-pressed": String(place === state.context) },
        () => switchContext(place), value, ...words)
      : make("div", { class: "tile" }, value, ...words));
  });
  const { parts, words } = report.contexts[state.context];
  // Only pairs with a heat map have more than their parts: the results hold no more.
  const map = report.maps[state.context]?.[pair];
  if (map?.anchors) facts.append(make("p", { class: "anchors" }, map.anchors));
  if (parts.length > 0) {
    facts.append(make("h3", {}, "Made of"), bars(parts, partsOf(pair), map?.words));
  }
  if (map?.regions.length > 0) {
    facts.append(make("h3", {}, "Regions that differ"),
      make("ol", { class: "regions" }, ...map.regions.map((region) => {
        const limit = thresholdOf();
        const above = limit !== null && region.distance > limit;
        return make("li", { class: above ? "bad" : "" },
          button({ class: "plain", title: "Zoom to this region" }, () => zoomTo(region),
            region.words));
      })));
  }
  if (map && map.size !== null) {
    facts.append(fact("Size, all kinds alike", formatNumber(map.size)));
  }
  if (words !== "") facts.append(fact("Context", words));
}

/** Change the context and the order of the pairs; the pair that is shown stays. */
function switchContext(place) {
  const pair = state.selected;
  chooseContext(place);
  // The filter may be "above the threshold", which the pair is not in this context.
  if (!state.order.includes(pair)) chooseKind("all");
  state.selected = pair;
  showViewer();
  byId("facts").querySelector("[aria-pressed=true]")?.focus();
}

const fact = (name, value, more = "") => make("div", { class: "fact" },
  make("h3", {}, name), make("bdi", {}, value), make("span", { class: "quiet" }, more));

function sizeOf(image) {
  const { width, height, thumbnail } = report.images[image];
  return thumbnail === null ? "" : `${width} × ${height} pixels`;
}
