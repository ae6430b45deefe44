// The columns of one's own: those that the results hold besides the toolkit's.

const FEW = 50; // so many different values are offered for filtering

const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const ownColumns = Object.entries(pairs.other).map(([name, values]) => {
  const filled = values.filter((value) => value.trim() !== "");
  const numeric = filled.length > 0 && filled.every((value) => Number.isFinite(Number(value)));
  const keys = values.map((value) =>
    (value.trim() === "" ? null : numeric ? Number(value) : value));
  return { name, values, keys, numeric, different: new Set(values), filter: "", shown: false };
});

/** How many of them the table has room for; on narrow screens, it shows none. */
function ownRoom() {
  if (window.innerWidth <= 900) return 0;
  const width = byId("head").clientWidth - 28 - 442 - 14 * 3 - 102 * report.contexts.length;
  return Math.max(0, Math.floor(width / 102));
}

const shownColumns = () => ownColumns.filter((own) => own.shown).slice(0, ownRoom());

/** At first, the table shows the columns that tell pairs apart, as far as there is room. */
function chooseColumns() {
  ownColumns.filter(({ different }) => different.size > 1)
    .slice(0, Math.min(4, ownRoom())).forEach((own) => { own.shown = true; });
}

/**
 * Read a filter: `> 3`, `<= 3`, `= text`, `! text`, or text that the value contains; of numbers, a
 * number that it equals. Return a function that tells whether a pair fits; null if all do.
 */
function columnTest({ filter, values, keys, numeric }) {
  const [, sign, operand] = /^\s*(<=|>=|<|>|=|!)?\s*(.*?)\s*$/.exec(filter);
  const number = Number(operand);
  const asNumber = numeric && operand !== "" && !Number.isNaN(number);
  const text = operand.toLowerCase();
  const contains = asNumber
    ? (pair) => keys[pair] === number
    : (pair) => values[pair].toLowerCase().includes(text);
  if (sign === "=") {
    return asNumber ? contains : (pair) => values[pair].trim().toLowerCase() === text;
  }
  if (sign === "!") return operand === "" ? (pair) => keys[pair] !== null : (pair) => !contains(pair);
  if (operand === "") return null;
  if (sign === undefined) return contains;
  const order = asNumber
    ? (pair) => keys[pair] - number
    : (pair) => collator.compare(values[pair], operand);
  const holds = {
    "<": (value) => value < 0, "<=": (value) => value <= 0,
    ">": (value) => value > 0, ">=": (value) => value >= 0,
  }[sign];
  return (pair) => keys[pair] !== null && holds(order(pair));
}

/** Fill the panel in which they are filtered, and chosen for the table. */
function showPanel() {
  byId("columns").hidden = ownColumns.length === 0;
  byId("own").replaceChildren(...ownColumns.map((own, number) => {
    const filter = make("input", { type: "search", id: `own-${number}`, value: own.filter,
      placeholder: own.numeric ? "such as > 3" : "text", "aria-label": `Filter by ${own.name}` });
    filter.addEventListener("input", () => {
      own.filter = filter.value;
      markPanel();
      arrange();
      showTable();
    });
    const label = [make("bdi", { title: own.name }, own.name)];
    const box = make("input", { type: "checkbox", "data-own": number });
    box.addEventListener("change", () => {
      own.shown = box.checked;
      showTable();
    });
    const offered = own.different.size <= FEW && !own.numeric
      ? [make("datalist", { id: `values-${number}` },
        ...[...own.different].map((value) => make("option", { value })))]
      : [];
    if (offered.length > 0) filter.setAttribute("list", `values-${number}`);
    return make("div", { class: "own-filter" },
      make("label", { title: `Show ${own.name} in the table` }, box, ...label), filter, ...offered);
  }));
  markPanel();
}

/** Mark what the table shows, what it has room for, and that filters are set. */
function markPanel() {
  const room = ownRoom();
  const shown = shownColumns().length;
  for (const box of byId("own").querySelectorAll("[type=checkbox]")) {
    const own = ownColumns[box.dataset.own];
    box.checked = own.shown;
    box.disabled = room === 0 || (!own.shown && shown >= room);
  }
  const filters = ownColumns.filter((own) => columnTest(own) !== null).length;
  byId("columns-title").textContent = filters === 0 ? "Columns" : `Columns (${filters} filtered)`;
  byId("columns").classList.toggle("active", filters > 0);
}
