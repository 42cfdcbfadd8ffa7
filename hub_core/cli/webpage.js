"use strict";
(() => {
  const form = document.getElementById("filters");
  const cards = [...document.querySelectorAll("article")];
  const count = document.getElementById("count");
  const none = document.getElementById("none");
  const fields = [...form.elements].filter((field) => field.name);

  function fits(card, wanted) {
    const text = card.dataset.text;
    return wanted.q.toLowerCase().split(/\s+/).every((word) => text.includes(word))
      && ["kind", "plugin", "here"].every((key) => !wanted[key] || card.dataset[key] === wanted[key])
      && (!wanted.tag || card.dataset.tags.split(" ").includes(wanted.tag));
  }

  function apply() {
    const wanted = Object.fromEntries(fields.map((field) => [field.name, field.value]));
    let shown = 0;
    for (const card of cards) {
      card.hidden = !fits(card, wanted);
      shown += card.hidden ? 0 : 1;
    }
    count.textContent = `${shown} of ${cards.length} methods`;
    none.hidden = shown > 0;
  }

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const field of fields) {
      field.value = given.get(field.name) ?? "";
      if (field.value === "" && field.tagName === "SELECT") field.selectedIndex = 0;
    }
    apply();
  }

  function write() {
    const given = new URLSearchParams(fields.filter((f) => f.value).map((f) => [f.name, f.value]));
    const where = given.toString() ? `#${given}` : location.pathname + location.search;
    try { history.replaceState(null, "", where); } catch { /* some browsers refuse it for files */ }
    apply();
  }

  form.hidden = false;
  form.addEventListener("input", write);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", read);
  read();
})();
