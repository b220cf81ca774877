// What the page can do with scripts on: search, sort and link the table of cells, ask for one scenario, hide a stack.
// All it shows stands in the page already; it writes text only, never markup.
"use strict";

(() => {
  const state = JSON.parse(document.getElementById("state").textContent);
  const words = state.words;
  const filled = (text, blanks) => text.replace(/\{(\w+)\}/g, (_, name) => blanks[name]);
  const option = (value, text = value) => new Option(text, value);

  // What was chosen is in the address, behind the name of the place where it was chosen last, so that it can be linked.
  const linked = ["#explore?", "#choose?"];
  const asked = () => {
    const place = linked.find((each) => location.hash.startsWith(each));
    return new URLSearchParams(place ? location.hash.slice(place.length) : "");
  };
  const written = []; // what each of the two puts there
  const write = (place) => {
    const chosen = new URLSearchParams();
    for (const each of written) each(chosen);
    history.replaceState(null, "", `#${place}?${chosen}`);
  };

  // --- one figure's stacks can be hidden by their keys
  for (const figure of document.querySelectorAll("figure")) {
    const numbers = new Set([...figure.querySelectorAll(".series")].map((each) => each.dataset.series));
    if (numbers.size < 2) continue;
    const drawn = figure.querySelector("svg");
    let foot = 0; // of the keys that are drawn
    for (const number of numbers) {
      const parts = figure.querySelectorAll(`.series[data-series="${number}"]`);
      const key = [...parts].find((each) => each.textContent.trim());
      if (!key) continue;
      const box = document.createElement("input");
      box.type = "checkbox";
      box.checked = true;
      const label = document.createElement("label");
      label.className = "key";
      const at = key.getBBox();
      foot = Math.max(foot, at.y + at.height + 4);
      const swatch = drawn.cloneNode(false);
      for (const name of ["role", "aria-label"]) swatch.removeAttribute(name);
      swatch.setAttribute("aria-hidden", "true");
      swatch.setAttribute("viewBox", `0 ${at.y - 1} ${at.x - 2} ${at.height + 2}`);
      swatch.append(...[...parts].slice(0, [...parts].indexOf(key)).map((each) => each.cloneNode(true)));
      label.append(box, swatch, ` ${key.textContent.trim()}`);
      box.addEventListener("change", () => {
        for (const part of parts) part.classList.toggle("faint", !box.checked);
      });
      figure.querySelector("figcaption").before(label);
    }
    if (!foot) continue;
    // The boxes stand for the keys, but on paper.
    const whole = drawn.getAttribute("viewBox"), [, , width, height] = whole.split(" ").map(Number);
    const show = (box) => () => drawn.setAttribute("viewBox", box);
    const cut = show(`0 ${foot} ${width} ${height - foot}`);
    window.addEventListener("beforeprint", show(whole));
    window.addEventListener("afterprint", cut);
    cut();
  }

  // --- which should I take
  const question = document.getElementById("question");
  if (question) {
    const answers = [...document.querySelectorAll("details.question")];
    const loads = [...question.elements.load.options];
    const { scenario, load } = question.elements;
    let touched = false;
    const ask = (kept = load.value) => {
      const fit = loads.filter((each) => each.dataset.scenario === scenario.value);
      load.replaceChildren(...fit);
      if (fit.some((each) => each.value === kept)) load.value = kept;
      else if (fit.length) fit[0].selected = true;
      for (const each of answers) {
        each.hidden = each.dataset.scenario !== scenario.value || each.dataset.load !== load.value;
        each.open = true;
      }
    };
    question.addEventListener("change", () => {
      ask();
      touched = true;
      write("choose");
    });
    written.push((chosen) => {
      if (!touched) return;
      chosen.set("does", scenario.value);
      chosen.set("users", load.value);
    });
    const read = () => {
      const does = asked().get("does");
      if (![...scenario.options].some((each) => each.value === does)) return;
      scenario.value = does;
      ask(asked().get("users"));
      touched = true;
    };
    window.addEventListener("hashchange", read);
    question.hidden = false;
    scenario.value = load.selectedOptions[0].dataset.scenario;
    ask();
    read();
  }

  // --- the table of cells
  const table = document.getElementById("cells");
  const form = document.getElementById("filters");
  const fixed = 5; // columns before the figures
  const controls = form.elements;
  const selects = [...form.querySelectorAll("select[data-column]")];
  const boxes = [...form.querySelectorAll("input[name=column]")];
  const last = fixed + boxes.length; // the column of trials, behind the figures
  // A cell's details stand in a row of their own behind it, which is no row of data.
  const details = new Map([...table.querySelectorAll("tr.more")].map((more) => {
    const row = more.previousElementSibling;
    more.remove();
    return [row, more.querySelector("div")];
  }));
  const rows = [...details.keys()];
  // What is missing comes last, whichever way is sorted.
  const sorted = (way) => (one, other) => {
    if (one === null || other === null) return (one === null) - (other === null);
    return way * (one - other);
  };
  DataTable.type("figure", {
    order: { pre: (order) => (order === "" ? null : Number(order)), asc: sorted(1), desc: sorted(-1) },
  });
  const grid = new DataTable(table, {
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    paging: false,
    order: [],
    autoWidth: false,
    columnDefs: [{ targets: [...boxes, null].map((_, at) => fixed + at), type: "figure" }],
    language: { emptyTable: words.nothing, zeroRecords: words.nothing },
  });
  for (const select of selects) {
    const values = new Set(rows.map((row) => row.cells[Number(select.dataset.column)].textContent));
    select.append(option("", words.all), ...[...values].map((value) => option(value)));
  }
  const stacks = new Set(rows.map((row) => row.querySelector("summary").textContent));
  controls.base.append(option("", words.own), ...[...stacks].map((value) => option(value)));

  // Each row's cells of figures, of which some may be hidden, and what they hold, to return to.
  const cells = new Map(rows.map((row) => [row, [...row.cells].slice(fixed, last)]));
  const own = new Map(rows.map((row) => [row, cells.get(row).map((cell) => [...cell.childNodes])]));
  const figures = new Map(rows.map((row) => [row, cells.get(row).map((cell) => cell.dataset.order)]));
  const relate = (base) => {
    const bases = new Map(rows.filter((row) => row.querySelector("summary").textContent === base)
      .map((row) => [row.dataset.measure, Number(row.dataset.place)]));
    for (const row of rows) {
      const place = Number(row.dataset.place), other = bases.get(row.dataset.measure);
      cells.get(row).forEach((cell, at) => {
        if (!base) {
          cell.replaceChildren(...own.get(row)[at]);
          cell.dataset.order = figures.get(row)[at];
          return;
        }
        const itself = place === other && figures.get(row)[at] !== "";
        const [value, ends] = itself ? ["1", ""] : ratio(row.dataset.measure, at, place, other);
        const interval = document.createElement("small");
        interval.textContent = ends;
        cell.replaceChildren(value ? `${value.replace(/^[≥≤]/, "$& ")}×` : "—", " ", interval);
        cell.dataset.order = value.replace(/[^\d.]/g, "");
      });
    }
    grid.rows().invalidate("dom");
  };
  const ratio = (measure, metric, one, other) => {
    for (const each of state.related[measure]?.[metric] ?? []) {
      const [both, first, second] = each.split("|");
      if (both !== `${one} ${other}` && both !== `${other} ${one}`) continue;
      const [value, low, high] = (both === `${one} ${other}` ? first : second).split(" ");
      return [value, low ? filled(words.interval, { low, high: `${high}×` }) : words.same];
    }
    return ["", ""];
  };

  // What is searched: a row and its details.
  const said = new Map(rows.map((row) => [row, `${row.textContent} ${details.get(row).textContent}`.toLowerCase()]));
  for (const row of rows) {
    const opened = row.querySelector("details");
    opened.addEventListener("toggle", () => {
      const beside = grid.row(row);
      if (!opened.open) beside.child.hide();
      else if (beside.child()) beside.child.show();
      else beside.child(details.get(row), "more").show();
    });
  }

  let order = "[]";
  const sort = (by) => {
    grid.order(by);
    order = JSON.stringify(grid.order());
  };

  const read = () => {
    const view = asked();
    for (const select of selects) select.value = view.get(select.name) ?? "";
    for (const select of [...selects, controls.base]) if (select.selectedIndex < 0) select.selectedIndex = 0;
    controls.base.value = stacks.has(view.get("base")) ? view.get("base") : "";
    controls.q.value = view.get("q") ?? "";
    const hidden = new Set((view.get("hide") ?? "").split(".").filter(Boolean));
    for (const box of boxes) box.checked = !hidden.has(box.value);
    const [at, way] = (view.get("sort") ?? "").split(".");
    const known = /^\d+$/.test(at) && Number(at) <= last && ["asc", "desc"].includes(way);
    sort(known ? [[Number(at), way]] : []);
  };
  written.push((chosen) => {
    for (const each of [...selects, controls.base, controls.q]) if (each.value) chosen.set(each.name, each.value);
    const hidden = boxes.filter((box) => !box.checked).map((box) => box.value);
    if (hidden.length) chosen.set("hide", hidden.join("."));
    const [order] = grid.order();
    if (order?.[1]) chosen.set("sort", `${order[0]}.${order[1]}`); // the third click on a head sorts by nothing
  });
  let base = "";
  const show = () => {
    if (controls.base.value !== base) relate(base = controls.base.value);
    for (const select of selects) {
      const wanted = select.value;
      grid.column(Number(select.dataset.column)).search.fixed("own", wanted ? (text) => text === wanted : null);
    }
    boxes.forEach((box, at) => grid.column(fixed + at).visible(box.checked, false));
    [...table.tHead.rows[0].cells].slice(fixed).forEach((head, at) => { // on a telephone these label the cells
      table.style.setProperty(`--label-${at}`, JSON.stringify(head.textContent));
    });
    const sought = controls.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (_text, _data, at) => sought.every((word) => said.get(grid.row(at).node()).includes(word));
    grid.search.fixed("q", sought.length ? fits : null).draw();
    const count = grid.rows({ search: "applied" }).count();
    document.getElementById("count").textContent = filled(words.shown, { shown: count, all: rows.length });
  };
  let ready = false;
  const changed = () => {
    if (ready) write("explore");
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
    write("explore");
  });
  controls.link.addEventListener("click", async () => {
    write("explore");
    try {
      await navigator.clipboard.writeText(location.href);
      document.getElementById("count").textContent = words.copied;
    } catch { /* the address bar has it */ }
  });

  // A link to one cell shows it, whatever was filtered, beside those it can be compared with.
  const follow = () => {
    const place = linked.find((each) => location.hash.startsWith(each));
    if (place) {
      read();
      show();
      document.getElementById(place.slice(1, -1))?.scrollIntoView();
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
