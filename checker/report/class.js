"use strict";
// The table is whole without this; it adds buttons that sort and a field that searches.
(() => {
  const table = document.getElementById("students");
  const body = table.tBodies[0];
  const headers = Array.from(table.tHead.rows[0].cells);
  const told = document.getElementById("told");
  const field = document.getElementById("search");
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // An e is found in an é, too.
  const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const value = (cell) => (cell.dataset.value ?? cell.textContent).trim();

  let rows = Array.from(body.rows, (row) => {
    const values = Array.from(row.cells, value);
    const state = row.querySelector(".state").textContent;
    return { row, values, words: plain(`${values[0]} ${row.dataset.search} ${state}`) };
  });
  let sorted = "";

  function tell() {
    const shown = rows.filter(({ row }) => !row.hidden).length;
    told.textContent = `${shown} of ${rows.length} students shown${sorted}.`;
  }

  function sort(column) {
    const header = headers[column];
    const up = header.getAttribute("aria-sort") !== "ascending";
    const number = header.dataset.sort === "number";
    for (const other of headers) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", up ? "ascending" : "descending");
    rows = rows.toSorted((one, two) => {
      const [a, b] = [one.values[column], two.values[column]];
      if (a === "" || b === "") return (a === "") - (b === ""); // nothing comes last, either way
      const order = number ? a - b : collator.compare(a, b);
      return up ? order : -order;
    });
    body.append(...rows.map(({ row }) => row));
    sorted = `, sorted by ${header.textContent.trim()}, ${up ? "ascending" : "descending"}`;
    tell();
  }

  function search() {
    const wanted = plain(field.value).split(/\s+/).filter(Boolean);
    for (const { row, words } of rows) row.hidden = !wanted.every((word) => words.includes(word));
    tell();
  }

  headers.forEach((header, column) => {
    const button = document.createElement("button");
    button.type = "button";
    const words = header.textContent.split(" ");
    const last = document.createElement("span"); // the arrow stays with the last word
    last.textContent = words.pop();
    button.append(...words.map((word) => `${word} `), last);
    button.addEventListener("click", () => sort(column));
    header.replaceChildren(button);
  });
  field.addEventListener("input", search);
  field.closest("[hidden]").hidden = false;
  search(); // a browser may have kept what stood in the field
})();
