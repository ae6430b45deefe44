// Which pairs are shown, and in which order.

const state = {
  context: 0, // the one that sorts and is shown
  sort: "distance",
  descending: true,
  text: "",
  kind: "all",
  range: null, // of the distance: from, and below
  order: [], // numbers of the pairs that are shown
  selected: null, // number of a pair
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

const SORTS = {
  number: (pair) => pair,
  name: (pair) => pairs.candidate[pair].toLowerCase(),
  distance: (pair) => distanceOf(pair),
};

/** What the text filter looks through, once a pair. */
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

/** Compute `state.order`: what fits the filters, sorted; pairs without a value come last. */
function arrange() {
  const words = state.text.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = KINDS[state.kind][1];
  const shown = [];
  for (let pair = 0; pair < pairCount; pair += 1) {
    if (fits(pair) && inRange(pair) && words.every((word) => haystack(pair).includes(word))) {
      shown.push(pair);
    }
  }
  const keys = new Map(shown.map((pair) => [pair, SORTS[state.sort](pair)]));
  const sign = state.descending ? -1 : 1;
  shown.sort((first, second) => {
    const [one, other] = [keys.get(first), keys.get(second)];
    if (one === other) return first - second;
    if (one === null || other === null) return one === null ? 1 : -1;
    return one < other ? -sign : sign;
  });
  state.order = shown;
  if (!keys.has(state.selected)) state.selected = shown.length > 0 ? shown[0] : null;
}

/** Sort by a column, the other way round if it sorts already. */
function sortBy(sort, context = state.context) {
  const again = state.sort === sort && state.context === context;
  state.descending = again ? !state.descending : sort === "distance";
  state.sort = sort;
  chooseContext(context);
}

function chooseContext(context) {
  // A range of one context's distances means nothing in another's.
  if (context !== state.context) state.range = null;
  state.context = context;
  update();
}
