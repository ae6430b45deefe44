// The selection and the order of the pairs.

const state = {
  context: 0, // number of the context that is shown and sorted by
  sort: "distance",
  descending: true,
  text: "",
  kind: "all",
  range: null, // distances from the first number to below the second
  order: [], // numbers of the pairs that are shown
  selected: null, // number of the selected pair
};

const distanceOf = (pair, context = state.context) => pairs.distance[context][pair];
const thresholdOf = (context = state.context) => report.thresholds[context];
const isAbove = (pair, context = state.context) =>
  thresholdOf(context) !== null && distanceOf(pair, context) !== null &&
  distanceOf(pair, context) > thresholdOf(context);

const KINDS = {
  all: ["All pairs", () => true],
  errors: ["Errors", (pair) => pairs.error[pair] !== ""],
  identical: ["Identical", (pair) => pairs.identical[pair]],
  different: ["Not identical", (pair) => !pairs.identical[pair] && pairs.error[pair] === ""],
  notes: ["With notes", (pair) => pairs.notes[pair] !== ""],
};
if (thresholdOf() !== null) {
  KINDS.above = ["Above the threshold", (pair) => isAbove(pair)];
}

/** What pairs can be sorted by: the title, and the value of a pair; null if it has none. */
const SORTS = {
  distance: ["distance", (pair) => distanceOf(pair)],
  name: ["name", (pair) => pairs.candidate[pair]],
  number: ["order of the results", (pair) => pair],
};
ownColumns.forEach(({ name, keys }, number) => {
  SORTS[`own-${number}`] = [name, (pair) => keys[pair]];
});

/** The text that the filter searches, made once per pair. */
const haystacks = new Array(pairCount);
function haystack(pair) {
  haystacks[pair] ??= [
    pairs.reference[pair], pairs.candidate[pair], pairs.notes[pair], pairs.error[pair],
    ...Object.values(pairs.other).map((column) => column[pair]),
  ].join("\n").toLowerCase();
  return haystacks[pair];
}

function inRange(pair) {
  if (state.range === null) return true;
  const [low, high] = state.range;
  const distance = distanceOf(pair);
  return distance !== null && distance >= low && distance < high;
}

/**
 * Compute `state.order`: the pairs that match the filters, sorted.
 *
 * Pairs without a value are the last ones. By distance, they are the first ones: they could not be
 * compared, and somebody has to look at them.
 */
function arrange() {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const tests = [KINDS[state.kind][1], inRange, ...ownColumns.map(columnTest).filter(Boolean),
    (pair) => words.every((word) => haystack(pair).includes(word))];
  const shown = [];
  for (let pair = 0; pair < pairCount; pair += 1) {
    if (tests.every((test) => test(pair))) shown.push(pair);
  }
  const keys = new Map(shown.map((pair) => [pair, SORTS[state.sort][1](pair)]));
  const sign = state.descending ? -1 : 1;
  const missing = state.sort === "distance" ? -1 : 1;
  shown.sort((first, second) => {
    const [one, other] = [keys.get(first), keys.get(second)];
    if (one === other) return first - second;
    if (one === null || other === null) return one === null ? missing : -missing;
    const order = typeof one === "string" ? collator.compare(one, other) : one - other;
    return sign * order || first - second;
  });
  state.order = shown;
  if (!keys.has(state.selected)) state.selected = shown.length > 0 ? shown[0] : null;
}

/** Sort by a column; reverse the order if it is sorted by already. */
function sortBy(sort, context = state.context) {
  const again = state.sort === sort && state.context === context;
  state.descending = again ? !state.descending : sort === "distance";
  state.sort = sort;
  chooseContext(context);
}

function chooseContext(context) {
  // A range of distances in one context is meaningless in another.
  if (context !== state.context) state.range = null;
  state.context = context;
  update();
}
