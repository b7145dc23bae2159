// The page of annotation. What is pressed is to be seen at once and is owed to the server until it says that it is kept; what is
// pressed after a dialogue is left waits for the next one. One thing is sent at a time, and again until it is answered.
document.addEventListener("DOMContentLoaded", () => {
  const RETRY_MS = 1000;
  const one = (selector) => document.querySelector(selector);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const rows = all(".criterion"), sheet = one("#sheet"), note = one("#note");
  const tab = crypto.getRandomValues(new Uint32Array(2)).join("-");
  const owed = []; // in order, and none of it sent yet
  const drafts = new Map(); // notes on dialogues that were left before they had a score
  let number = 0, key = "", noted = "", at = 0, sending = false;
  let waiting = []; // the keys for the dialogue that is on its way; null where none is

  const value = (row) => Number(row.querySelector("input:checked")?.value) || null;
  const unscored = () => rows.findIndex((row) => !value(row));
  const focus = (place) => {
    at = Math.max(0, Math.min(place, rows.length - 1));
    rows.forEach((row, index) => row.classList.toggle("focused", index === at));
    rows[at].scrollIntoView({ block: "nearest" });
  };
  const tell = (said) => { one("#said").textContent = said; };

  const answered = async (said) => {
    for (;;) {
      let fault = "the server does not answer";
      try {
        const response = await fetch("/answer", { method: "POST", body: JSON.stringify(said) });
        if (response.ok) return await response.json();
        fault = response.status === 401 ? "log in again in another tab" : await response.text();
      } catch { /* it is down or out of reach */ }
      tell(`not kept yet: ${fault}. Trying again.`);
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  };
  const send = async () => {
    if (sending) return;
    sending = true;
    while (owed.length) {
      const said = owed.shift();
      const told = await answered({ ...said, tab, number: ++number });
      if (told.item) show(told.item);
      if (said.go && !owed.some(({ go }) => go)) release();
      if (!owed.length) tell(told.said);
    }
    sending = false;
  };
  const say = (scores, go = "") => {
    if (owed.at(-1)?.key !== key || owed.at(-1).go) owed.push({ key, scores: {} });
    const last = owed.at(-1);
    Object.assign(last.scores, scores);
    last.go = go;
    if (note.value !== noted) {
      last.note = note.value;
      // A note alone is not kept, and goes along again.
      if (rows.some(value)) noted = note.value;
    }
    tell("…");
    send();
  };
  const show = (item) => {
    if (key) drafts.set(key, rows.some(value) ? "" : note.value);
    key = item.key;
    one("#top").innerHTML = item.top;
    one("#item").innerHTML = item.dialogue;
    one("#scored").hidden = !key;
    rows.forEach((row) => row.querySelectorAll("input").forEach((input) => {
      input.checked = item.scores[row.dataset.name] === Number(input.value);
    }));
    noted = item.note;
    note.value = item.note || drafts.get(key) || "";
    speak();
    focus(unscored());
    window.scrollTo(0, 0);
  };
  const release = () => {
    const pressed = waiting ?? [];
    waiting = null;
    sheet.inert = false;
    pressed.forEach(press);
  };

  const score = (mark) => {
    if (!key) return;
    rows[at].querySelectorAll("input")[mark - 1].checked = true;
    say({ [rows[at].dataset.name]: mark });
    focus(at + 1);
  };
  const leave = (go) => {
    if (go === "previous" || unscored() < 0) {
      waiting = [];
      sheet.inert = true;
    } else focus(unscored()); // the page stays, and the next key is for what is to be seen
    say({}, go);
  };
  const speak = () => {
    const voice = one("#voices input:checked")?.value;
    if (voice) all("#item audio").forEach((sound) => { sound.src = sound.getAttribute("src").replace(/\d+/, voice); });
  };
  const play = () => {
    const sounds = all("#item audio"), playing = sounds.find((sound) => !sound.paused);
    if (playing) playing.pause();
    else (sounds.find((sound) => sound.currentTime > 0 && !sound.ended) ?? sounds[0])?.play();
  };
  const next = () => leave("next"), previous = () => leave("previous"), up = () => focus(at - 1), down = () => focus(at + 1);
  const keys = {
    ArrowUp: up, k: up, ArrowDown: down, j: down, Enter: next, ArrowRight: next, ArrowLeft: previous,
    n: () => note.focus(), p: play, "?": () => { one("#keys").open = !one("#keys").open; },
    ...Object.fromEntries([1, 2, 3, 4, 5].map((mark) => [mark, () => score(mark)])),
  };
  const typing = ["Escape", "Backspace"];
  const press = (pressed) => {
    if (waiting) waiting.push(pressed);
    else if (document.activeElement !== note) keys[pressed]?.();
    else if (pressed === "Escape") note.blur();
    else if (pressed === "Backspace") note.value = note.value.slice(0, -1);
    else if (pressed === "Enter") note.value += "\n";
    else if (pressed.length === 1) note.value += pressed;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.closest("a, summary")) return;
    if (event.target === note) {
      if (event.key === "Escape") note.blur();
    } else if (Object.hasOwn(keys, event.key) || (waiting && (event.key.length === 1 || typing.includes(event.key)))) {
      event.preventDefault();
      // A key that is held down is not pressed again.
      if (!(event.repeat && waiting)) press(event.key);
    }
  });
  one("#next").addEventListener("click", next);
  one("#previous").addEventListener("click", previous);
  one("#voices").addEventListener("change", speak);
  note.addEventListener("blur", () => { if (note.value !== noted) say({}); });
  rows.forEach((row, place) => {
    row.addEventListener("click", () => focus(place));
    row.addEventListener("change", () => say({ [row.dataset.name]: value(row) }));
  });
  document.addEventListener("ended", ({ target }) => {
    const sounds = all("#item audio");
    sounds[sounds.indexOf(target) + 1]?.play();
  }, true);
  window.addEventListener("beforeunload", (event) => { if (sending && key) event.preventDefault(); });

  say({}, "next");
});
