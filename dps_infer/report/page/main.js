// Connects the parts of the page: the update of all of them, and the keyboard.

function update() {
  arrange();
  showSummary();
  showHistogram();
  showExplanation();
  showTable();
  byId("context").value = String(state.context);
  byId("kind").value = state.kind;
}

function fillChoices() {
  byId("source").textContent = report.source;
  byId("made").textContent = `Made by dps-infer ${report.version}.`;
  byId("context").replaceChildren(...report.contexts.map((context, place) =>
    make("option", { value: place }, context.label)));
  document.querySelector(".context-choice").hidden = report.contexts.length < 2;
  byId("kind").replaceChildren(...Object.entries(KINDS).map(([kind, [title]]) =>
    make("option", { value: kind }, title)));
  byId("sort").replaceChildren(...Object.entries(SORTS).map(([sort, [title]]) =>
    make("option", { value: sort }, `Sort: ${title}`)));
  showHead();
  chooseColumns();
  showPanel();
}

const help = byId("help");
byId("help-close").addEventListener("click", () => help.close());
for (const place of document.querySelectorAll(".help")) {
  place.addEventListener("click", () => help.showModal());
}

byId("context").addEventListener("change", (event) => chooseContext(Number(event.target.value)));
byId("kind").addEventListener("change", (event) => chooseKind(event.target.value));
byId("sort").addEventListener("change", (event) => {
  state.sort = event.target.value;
  state.descending = state.sort === "distance";
  update();
});
byId("direction").addEventListener("click", () => {
  state.descending = !state.descending;
  update();
});
byId("columns").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  byId("columns").open = false;
  byId("columns-title").focus();
  event.stopPropagation();
});
document.addEventListener("pointerdown", (event) => {
  if (!byId("columns").contains(event.target)) byId("columns").open = false;
});
byId("filter").addEventListener("input", (event) => {
  state.text = event.target.value;
  arrange();
  showTable();
});
byId("range").addEventListener("click", () => {
  state.range = null;
  update();
  grid.focus();
});
window.addEventListener("scroll", showRows, { passive: true });
window.addEventListener("resize", () => {
  // The room for columns may be another one.
  if (!printing) showTable();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || viewer.open || help.open) return;
  if (event.target.matches("input, select")) {
    if (event.key === "Escape") grid.focus();
    return;
  }
  if (event.key === "/") {
    byId("filter").focus();
    event.preventDefault();
  } else if (event.key === "?") {
    help.showModal();
  } else if (event.key in VIEW_KEYS && state.selected !== null) {
    openViewer(state.selected, VIEW_KEYS[event.key]);
  } else if (event.key in TABLE_KEYS && (event.target === grid || event.target === document.body)) {
    if (event.key === "Enter" && state.selected === null) return;
    TABLE_KEYS[event.key]();
    event.preventDefault();
  }
});

// On a narrow screen, the explanation would push the pairs out of view.
byId("context-card").open = window.matchMedia("(min-width: 901px)").matches;
fillChoices();
update();
document.documentElement.dataset.ready = "true";
