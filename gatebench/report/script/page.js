// What the page can do with scripts on: search, sort and link the table of cells, ask for one scenario, hide a stack.
// All it shows stands in the page already; it writes text only, never markup.
"use strict";

(() => {
  const state = JSON.parse(document.getElementById("state").textContent);
  const words = state.words;
  const filled = (text, blanks) => text.replace(/\{(\w+)\}/g, (_, name) => blanks[name]);
  const option = (value, text = value) => new Option(text, value);

  // --- one figure's stacks can be hidden by their keys
  for (const figure of document.querySelectorAll("figure")) {
    const numbers = new Set([...figure.querySelectorAll(".series")].map((each) => each.dataset.series));
    if (numbers.size < 2) continue;
    for (const number of numbers) {
      const parts = figure.querySelectorAll(`.series[data-series="${number}"]`);
      const key = [...parts].find((each) => each.textContent.trim());
      if (!key) continue;
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      const label = document.createElement("label");
      label.className = "key";
      label.append(box, ` ${key.textContent.trim()}`);
      box.addEventListener("change", () => {
        for (const part of parts) part.classList.toggle("faint", !box.checked);
      });
      figure.querySelector("figcaption").before(label);
    }
  }

  // --- which should I take
  const question = document.getElementById("question");
  if (question) {
    const answers = [...document.querySelectorAll("details.question")];
    const loads = [...question.elements.load.options];
    const ask = () => {
      const scenario = question.elements.scenario.value;
      const kept = question.elements.load.value;
      const fit = loads.filter((each) => each.dataset.scenario === scenario);
      question.elements.load.replaceChildren(...fit);
      if (fit.some((each) => each.value === kept)) question.elements.load.value = kept;
      else if (fit.length) fit[0].selected = true;
      for (const each of answers) {
        each.hidden = each.dataset.scenario !== scenario || each.dataset.load !== question.elements.load.value;
        each.open = true;
      }
    };
    question.addEventListener("change", ask);
    question.hidden = false;
    ask();
  }

  // --- the table of cells
  const table = document.getElementById("cells");
  const form = document.getElementById("filters");
  const fixed = 5; // columns before the figures
  const controls = form.elements;
  const selects = [...form.querySelectorAll("select[data-column]")];
  const boxes = [...form.querySelectorAll("input[name=column]")];
  const rows = [...table.tBodies[0].rows];
  const grid = new DataTable(table, {
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    paging: false,
    order: [],
    autoWidth: false,
    language: { emptyTable: words.nothing, zeroRecords: words.nothing },
  });
  for (const select of selects) {
    const values = new Set(rows.map((row) => row.cells[Number(select.dataset.column)].textContent));
    select.append(option("", words.all), ...[...values].map((value) => option(value)));
  }
  const stacks = new Set(rows.map((row) => row.querySelector("summary").textContent));
  controls.base.append(option("", words.own), ...[...stacks].map((value) => option(value)));

  // Each row's own figures, to return to.
  const own = new Map(rows.map((row) => [row, boxes.map((_, at) => {
    const cell = row.cells[fixed + at];
    return [...cell.childNodes];
  })]));
  const figures = new Map(rows.map((row) => [row, boxes.map((_, at) => row.cells[fixed + at].dataset.order)]));
  const relate = (base) => {
    const bases = new Map(rows.filter((row) => row.querySelector("summary").textContent === base)
      .map((row) => [row.dataset.measure, Number(row.dataset.place)]));
    for (const row of rows) {
      const place = Number(row.dataset.place), other = bases.get(row.dataset.measure);
      boxes.forEach((_, at) => {
        const cell = row.cells[fixed + at];
        if (!base) {
          cell.replaceChildren(...own.get(row)[at]);
          cell.dataset.order = figures.get(row)[at];
          return;
        }
        const text = place === other ? ["1×", ""] : ratio(row.dataset.measure, at, place, other);
        const interval = document.createElement("small");
        interval.textContent = text[1];
        cell.replaceChildren(text[0], " ", interval);
        cell.dataset.order = text[2] ?? (place === other ? 1 : -1);
      });
    }
    grid.rows().invalidate("dom");
  };
  const short = (value) => value.toLocaleString("en", { maximumSignificantDigits: 3 });
  const ratio = (measure, metric, one, other) => {
    for (const [which, first, second, value, low, high] of state.related[measure] ?? []) {
      if (which !== metric) continue;
      if (first === one && second === other) return [`${short(value)}×`, `${short(low)} – ${short(high)}`, value];
      if (first === other && second === one) {
        const ends = [high ? 1 / high : 0, low ? 1 / low : Infinity];
        return [`${short(1 / value)}×`, ends.map(short).join(" – "), 1 / value];
      }
    }
    return ["—", ""];
  };

  let order = "[]";
  const sort = (by) => {
    grid.order(by);
    order = JSON.stringify(grid.order());
  };

  // --- the view is in the address, so that it can be linked
  const read = () => {
    const asked = new URLSearchParams(location.hash.startsWith("#explore?") ? location.hash.slice(9) : "");
    for (const select of selects) select.value = asked.get(select.name) ?? "";
    for (const select of [...selects, controls.base]) if (select.selectedIndex < 0) select.selectedIndex = 0;
    controls.base.value = stacks.has(asked.get("base")) ? asked.get("base") : "";
    controls.q.value = asked.get("q") ?? "";
    const hidden = new Set((asked.get("hide") ?? "").split(".").filter(Boolean));
    for (const box of boxes) box.checked = !hidden.has(box.value);
    const [at, way] = (asked.get("sort") ?? "").split(".");
    const known = /^\d+$/.test(at) && Number(at) < fixed + boxes.length + 1 && ["asc", "desc"].includes(way);
    sort(known ? [[Number(at), way]] : []);
  };
  const write = () => {
    const asked = new URLSearchParams();
    for (const select of [...selects, controls.base, controls.q]) if (select.value) asked.set(select.name, select.value);
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.value);
    if (hidden.length) asked.set("hide", hidden.join("."));
    const [order] = grid.order();
    if (order) asked.set("sort", `${order[0]}.${order[1]}`);
    history.replaceState(null, "", `#explore?${asked}`);
  };
  let base = "";
  const show = () => {
    if (controls.base.value !== base) relate(base = controls.base.value);
    for (const select of selects) {
      const wanted = select.value;
      grid.column(Number(select.dataset.column)).search.fixed("own", wanted ? (text) => text === wanted : null);
    }
    boxes.forEach((box, at) => grid.column(fixed + at).visible(box.checked, false));
    grid.search(controls.q.value).draw();
    const count = grid.rows({ search: "applied" }).count();
    document.getElementById("count").textContent = filled(words.shown, { shown: count, all: rows.length });
  };
  let ready = false;
  const changed = () => {
    if (ready) write();
    show();
  };
  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());
  const clear = () => {
    for (const control of [...selects, controls.base, controls.q]) control.value = "";
    for (const box of boxes) box.checked = true;
    sort([]);
  };
  controls.clear.addEventListener("click", () => {
    clear();
    changed();
  });
  grid.on("order", () => {
    if (!ready || order === JSON.stringify(grid.order())) return; // it was us
    order = JSON.stringify(grid.order());
    write();
  });
  controls.link.addEventListener("click", async () => {
    write();
    try {
      await navigator.clipboard.writeText(location.href);
      document.getElementById("count").textContent = words.copied;
    } catch { /* the address bar has it */ }
  });

  // A link to one cell shows it, whatever was filtered, beside those it can be compared with.
  const follow = () => {
    if (location.hash.startsWith("#explore?")) {
      read();
      show();
      document.getElementById("explore").scrollIntoView();
      return;
    }
    const row = rows.find((each) => `#${each.id}` === location.hash);
    if (!row) return;
    clear();
    for (const select of selects) {
      const text = row.cells[Number(select.dataset.column)].textContent;
      if (["part", "scenario", "load"].includes(select.name)) select.value = text;
    }
    show();
    row.querySelector("details").open = true;
    row.scrollIntoView({ block: "center" });
  };
  window.addEventListener("hashchange", follow);
  form.hidden = false;
  read();
  show();
  ready = true;
  follow();
})();
