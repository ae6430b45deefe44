// The table of pairs. Only visible rows exist, so that thousands of pairs stay fast.

const ROW_HEIGHT = 76; // as in page.css
const MARGIN_ROWS = 6;
const PAGE_ROWS = 8;

const grid = byId("grid");
const rows = new Map(); // by the number of the pair

function showHead() {
  const several = report.contexts.length > 1;
  const columns = [
    column("number", "#", "number", state.context, "the order of the results"),
    make("span", { role: "columnheader", class: "cell pictures" }, "Reference, candidate"),
    column("name", "Name", "name"),
    ...report.contexts.map((context, place) =>
      column("distance", several ? context.label : "Distance", "distance", place)),
    ...shownColumns().map((own) => column("own", own.name, `own-${ownColumns.indexOf(own)}`)),
    make("span", { role: "columnheader", class: "cell made-of" }, "Made of"),
  ];
  byId("head").replaceChildren(...columns);
  byId("head").setAttribute("aria-rowindex", 1);
  const least = printing ? 60 : 88; // CSS pixels
  const tracks = [...report.contexts, ...shownColumns()].map(() => `minmax(${least}px, 1fr)`);
  document.body.style.setProperty("--tracks", tracks.join(" "));
}

/** A heading that sorts when clicked. */
function column(kind, title, sort, context = state.context, meaning = title) {
  const sorts = state.sort === sort && (sort !== "distance" || context === state.context);
  const order = state.descending ? "descending" : "ascending";
  const arrow = sorts ? (state.descending ? " ↓" : " ↑") : "";
  return make("span",
    { role: "columnheader", class: cellClass(kind, context), "aria-sort": sorts ? order : "none" },
    button({ title: `Sort by ${meaning}` }, () => sortBy(sort, context),
      make("span", {}, title), arrow));
}

function cellClass(kind, context) {
  return kind === "distance" && context !== state.context ? "cell distance aside" : `cell ${kind}`;
}

function showTable() {
  const focused = document.activeElement?.closest?.("#head [role=columnheader]");
  const place = focused ? [...byId("head").children].indexOf(focused) : -1;
  showHead();
  if (place >= 0) byId("head").children[place].querySelector("button")?.focus();
  for (const row of rows.values()) row.remove();
  rows.clear();
  grid.style.height = `${state.order.length * ROW_HEIGHT}px`;
  grid.setAttribute("aria-rowcount", state.order.length + 1);
  byId("nothing").hidden = state.order.length > 0;
  byId("shown").textContent = state.order.length === pairCount
    ? `${formatCount(pairCount)} pairs`
    : `${formatCount(state.order.length)} of ${formatCount(pairCount)} pairs`;
  byId("range").hidden = state.range === null;
  byId("sort").value = state.sort;
  byId("direction").textContent = state.descending ? "↓" : "↑";
  byId("direction").setAttribute("aria-label",
    state.descending ? "Sorted in descending order" : "Sorted in ascending order");
  markPanel();
  if (state.range !== null) byId("range").textContent = `${rangeWords(state.range)} ×`;
  showRows();
}

/** Make the rows that became visible, and remove those that are not any more. */
function showRows() {
  const top = -grid.getBoundingClientRect().top;
  const first = Math.max(0, Math.floor(top / ROW_HEIGHT) - MARGIN_ROWS);
  const last = Math.min(state.order.length,
    Math.ceil((top + window.innerHeight) / ROW_HEIGHT) + MARGIN_ROWS);
  const wanted = new Set(state.order.slice(first, last));
  for (const [pair, row] of rows) {
    if (!wanted.has(pair)) {
      row.remove();
      rows.delete(pair);
    }
  }
  for (let place = first; place < last; place += 1) {
    const pair = state.order[place];
    if (!rows.has(pair)) {
      rows.set(pair, makeRow(pair, place));
      grid.append(rows.get(pair));
    }
  }
  markSelected();
}

function makeRow(pair, place) {
  const row = make("div",
    { id: `pair-${pair}`, class: "row", role: "row", "aria-rowindex": place + 2 },
    make("span", { role: "gridcell", class: "cell number quiet" }, formatCount(place + 1)),
    make("span", { role: "gridcell", class: "cell pictures" },
      thumbnail(pairs.referenceImage[pair], pair), thumbnail(pairs.candidateImage[pair], pair)),
    nameCell(pair),
    ...report.contexts.map((_, context) => distanceCell(pair, context)),
    ...shownColumns().map(({ values }) => make("span",
      { role: "gridcell", class: "cell own", title: values[pair] }, make("bdi", {}, values[pair]))),
    madeOfCell(pair));
  row.style.top = `${place * ROW_HEIGHT}px`;
  row.addEventListener("click", () => {
    state.selected = pair;
    openViewer(pair);
  });
  return row;
}

function thumbnail(image, pair) {
  const { thumbnail: url, why } = report.images[image];
  if (url === null) return make("span", { class: "thumbnail missing", title: why }, "no image");
  const picture = make("img", { class: "thumbnail", src: url, alt: "" });
  const hatched = hatchLayer(pair);
  return hatched.length > 0 ? make("span", { class: "framed" }, picture, ...hatched) : picture;
}

function nameCell(pair) {
  const cell = make("span", { role: "gridcell", class: "cell name" },
    make("bdi", { title: pairs.candidate[pair] }, pairs.candidate[pair]),
    make("bdi", { class: "quiet", title: pairs.reference[pair] }, `from ${pairs.reference[pair]}`));
  const remark = pairs.error[pair] || pairs.notes[pair];
  if (remark !== "") {
    const tone = pairs.error[pair] === "" ? "note" : "bad";
    cell.append(make("span", { class: tone, title: remark }, remark));
  }
  return cell;
}

function distanceCell(pair, context) {
  const distance = distanceOf(pair, context);
  const cell = make("span", { role: "gridcell", class: cellClass("distance", context) });
  if (distance === null) {
    // With rules, a pair has distances in its own contexts only.
    const error = pairs.error[pair] !== "";
    cell.append(make("span", { class: error ? "bad" : "quiet" }, error ? "error" : "–"));
    return cell;
  }
  const above = isAbove(pair, context);
  const words = pairs.identical[pair] ? "identical" : formatDistance(distance, context);
  cell.append(
    make("span", { class: above ? "value bad" : "value", title: String(distance) }, words));
  if (above) cell.append(make("span", { class: "flag bad" }, "above"));
  return cell;
}

/** The parts of a distance as one bar, whose length is relative to the worst distance. */
function madeOfCell(pair) {
  const { parts } = report.contexts[state.context];
  const values = partsOf(pair);
  const words = parts.map((name, place) => [name, values[place]])
    .filter(([, value]) => value > 0).sort((one, other) => other[1] - one[1])
    .map(([name, value]) => `${name} ${formatNumber(value)}`);
  const bar = make("span", { class: "stack" }, ...parts.map((_, place) => {
    const piece = make("i", { class: partClass(place) });
    piece.style.width = `${values[place] / worstDistance() * 100}%`;
    return piece;
  }));
  return make("span", { role: "gridcell", class: "cell made-of", title: words.join(", ") },
    bar, make("span", { class: "quiet" }, words.slice(0, 3).join(", ")));
}

const partsOf = (pair) => pairs.parts[state.context].map((column) => column[pair] ?? 0);

const worst = [];
function worstDistance() {
  worst[state.context] ??= distances().at(-1) || 1;
  return worst[state.context];
}

function markSelected() {
  for (const [pair, row] of rows) {
    row.setAttribute("aria-selected", String(pair === state.selected));
  }
  if (rows.has(state.selected)) {
    grid.setAttribute("aria-activedescendant", `pair-${state.selected}`);
  } else {
    grid.removeAttribute("aria-activedescendant");
  }
}

/** Select the pair `step` rows further, and scroll to it. */
function moveSelection(step) {
  if (state.order.length === 0) return;
  const place = state.order.indexOf(state.selected) + step;
  state.selected = state.order[Math.max(0, Math.min(state.order.length - 1, place))];
  showSelected();
}

function showSelected() {
  const top = grid.getBoundingClientRect().top + state.order.indexOf(state.selected) * ROW_HEIGHT;
  const covered = document.querySelector(".sticky").getBoundingClientRect().height;
  const below = top + ROW_HEIGHT - window.innerHeight;
  if (top < covered) window.scrollBy(0, top - covered);
  else if (below > 0) window.scrollBy(0, below);
  showRows();
}

const TABLE_KEYS = {
  j: () => moveSelection(1),
  ArrowDown: () => moveSelection(1),
  k: () => moveSelection(-1),
  ArrowUp: () => moveSelection(-1),
  PageDown: () => moveSelection(PAGE_ROWS),
  PageUp: () => moveSelection(-PAGE_ROWS),
  Home: () => moveSelection(-pairCount),
  End: () => moveSelection(pairCount),
  Enter: () => openViewer(state.selected),
};
