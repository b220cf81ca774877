// Asks the local server for a session's figures every two seconds, and writes them into the page as text.
"use strict";

(() => {
  const at = (name) => document.getElementById(name);
  const made = (tag, text) => {
    const element = document.createElement(tag);
    element.textContent = text;
    return element;
  };
  const show = (now) => {
    at("title").textContent = now.title;
    at("session").textContent = now.session;
    const state = now.ended ? `ended at ${now.ended}` : "is running, or was killed";
    at("summary").textContent = `${now.trials} of ${now.planned} trials, ${now.valid} of them valid; the session ${state}.`;
    at("progress").max = Math.max(now.planned, 1);
    at("progress").value = now.trials;
    at("rows").replaceChildren(...now.rows.map((row) => {
      const line = document.createElement("tr");
      line.append(...row.map((text) => made("td", text)));
      return line;
    }));
    at("last").replaceChildren(...now.last.map((text) => made("li", text)));
  };
  const ask = async () => {
    try {
      const answer = await fetch("now.json");
      const now = await answer.json();
      if (now.problem) at("summary").textContent = now.problem;
      else show(now);
    } catch {
      at("summary").textContent = "gatebench serve does not answer any more; these are the last figures it gave.";
    }
    setTimeout(ask, 2000);
  };
  ask();
})();
