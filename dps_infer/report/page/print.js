// Printing: the pairs of the table, or the pair that is open.

const MOST_PRINTED = 300; // pairs; the filter chooses others
const PRINTED_STAGE = { width: 690, height: 480 }; // CSS pixels: they fit A4 and Letter

window.addEventListener("beforeprint", () => {
  if (printing) return;
  printing = true;
  byId("context-card").open = true;
  if (viewer.open) {
    // A modal dialog would be cut off at the end of the first sheet.
    viewer.close();
    viewer.show();
    showStage();
    return;
  }
  showHead();
  const shown = state.order.slice(0, MOST_PRINTED);
  rows.clear();
  grid.replaceChildren(...shown.map((pair, place) => makeRow(pair, place)));
  byId("printed").textContent = shown.length === state.order.length ? ""
    : `The first ${formatCount(shown.length)} of ${formatCount(state.order.length)} pairs. ` +
      "Filter or sort the page to print others.";
});
window.addEventListener("afterprint", () => {
  printing = false;
  byId("printed").textContent = "";
  if (viewer.open) {
    viewer.close();
    viewer.showModal();
    showStage();
    return;
  }
  grid.replaceChildren();
  rows.clear();
  showTable();
});
