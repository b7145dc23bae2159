// The page of the explorer. What is asked for follows from what stands in its fields; one thing is asked at a time, and a key
// that is pressed meanwhile waits.
document.addEventListener("DOMContentLoaded", () => {
  const one = (selector, within = document) => within.querySelector(selector);
  const field = (name) => one(`#${name} input, #${name} select`);
  const selections = [...document.querySelectorAll(".selection")];
  const chosen = Object.fromEntries(selections.map(({ id }) => [id, new Set()]));
  const steps = [];
  let going = false, choices = {};

  const make = (name, attributes, words = "") => {
    const made = Object.assign(document.createElement(name), { textContent: words });
    Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
    return made;
  };
  const number = (name) => Number.parseInt(field(name).value, 10) || 0;
  const said = (wish) => ({
    wish,
    id: field("id").value,
    config: one("#voices input:checked")?.value ?? null,
    page: number("page"),
    filters: {
      ...Object.fromEntries(selections.map(({ id }) => [id, [...chosen[id]]])),
      min_turns: number("least"),
      max_turns: number("most") || null,
      words: field("words").value,
      order: field("order").value,
    },
  });

  const lists = {
    open(selection) {
      const list = one("[role=listbox]", selection);
      list.replaceChildren(...Object.entries(choices[selection.id] ?? {}).map(([name, count]) => {
        const words = `${chosen[selection.id].has(name) ? "✓ " : ""}${name} (${count.toLocaleString("en")})`;
        const option = make("li", { role: "option", "aria-selected": chosen[selection.id].has(name) }, words);
        option.addEventListener("click", () => {
          if (!chosen[selection.id].delete(name)) chosen[selection.id].add(name);
          one("input", selection).value = [...chosen[selection.id]].join(", ");
          lists.open(selection);
          ask("list");
        });
        return option;
      }));
    },
    close: () => selections.forEach((selection) => one("[role=listbox]", selection).replaceChildren()),
  };

  const show = (told) => {
    choices = told.choices ?? choices;
    if (told.title !== null) one("#title").innerHTML = told.title;
    if (told.configs !== null) {
      one("#voices").replaceChildren(...told.configs.map((config) => {
        const label = make("label", {}, ` ${config} `), radio = make("input", { type: "radio", name: "voices", value: config });
        radio.checked = config === told.config;
        radio.addEventListener("change", () => ask("show"));
        label.prepend(radio);
        return label;
      }));
    }
    if (told.lines !== null) {
      one("#count").replaceChildren(make("p", {}, told.count));
      field("page").value = told.page;
      one("#hits tbody").replaceChildren(...told.lines.map((line) => {
        const row = make("tr", { role: "row" });
        row.append(...line.map((words, place) => make("td", { role: "gridcell", "data-col": place }, words)));
        row.addEventListener("click", () => { field("id").value = line[0]; ask("show"); });
        return row;
      }));
    }
    if (told.dialogue !== null) {
      one("#dialogue").innerHTML = told.dialogue;
      field("id").value = told.id;
      history.replaceState(null, "", `?id=${encodeURIComponent(told.id)}`);
    }
  };
  const ask = async (wish) => {
    if (wish) steps.push(wish);
    if (going) return;
    going = true;
    while (steps.length) {
      let fault = "the server does not answer";
      try {
        const response = await fetch("/answer", { method: "POST", body: JSON.stringify(said(steps.shift())) });
        fault = response.ok ? "" : response.status === 401 ? "log in again" : await response.text();
        if (!fault) show(await response.json());
      } catch { /* it is down or out of reach */ }
      one("#fault").textContent = fault;
    }
    going = false;
  };

  for (const name of ["previous", "next", "random", "reload"]) one(`#${name}`).addEventListener("click", () => ask(name));
  for (const name of ["least", "most", "order", "words"]) field(name).addEventListener("change", () => ask("list"));
  field("page").addEventListener("change", () => ask("page"));
  field("id").addEventListener("keydown", ({ key }) => key === "Enter" && ask("show"));
  selections.forEach((selection) => one("input", selection).addEventListener("click", () => { lists.close(); lists.open(selection); }));
  document.addEventListener("click", ({ target }) => { if (target.isConnected && !target.closest(".selection")) lists.close(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") lists.close();
    const wish = { j: "next", k: "previous", r: "random" }[event.key];
    const typing = event.target.closest("input:not([type=radio]), select");
    if (!wish || typing || event.ctrlKey || event.metaKey || event.altKey || (event.repeat && going)) return;
    ask(wish);
  });

  field("id").value = new URLSearchParams(location.search).get("id") ?? "";
  ask("open");
});
