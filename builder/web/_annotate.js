// The keys of annotation: which criterion is marked is all that is kept here; what is scored lies with Gradio.
(() => {
  const rows = () => [...document.querySelectorAll(".criterion")].filter((row) => row.offsetParent);
  const scored = (row) => row.querySelector("input:checked");
  let at = 0;
  const mark = (place) => {
    at = Math.max(0, Math.min(place, rows().length - 1));
    rows().forEach((row, index) => row.classList.toggle("focused", index === at));
  };
  const focus = (place) => {
    mark(place);
    rows()[at]?.scrollIntoView({ block: "nearest" });
  };
  // Until the next dialogue is there, a score would fall on the one that is left.
  const leave = (way) => {
    if (document.body.classList.contains("busy")) return;
    document.querySelector(way)?.click();
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("#next, #previous")) document.body.classList.add("busy");
    const row = event.target.closest(".criterion");
    if (row) focus(rows().indexOf(row));
  }, true);
  window.shown = () => setTimeout(() => {
    document.body.classList.remove("busy");
    const first = rows().findIndex((row) => !scored(row));
    if (first > 0) return focus(first);
    mark(0);
    window.scrollTo(0, 0);
  }, 50);
  const score = (value) => {
    if (document.body.classList.contains("busy")) return;
    const place = at;
    rows()[place]?.querySelectorAll("input[type=radio]")[value - 1]?.click();
    focus(place + 1);
  };
  const sounds = () => [...document.querySelectorAll(".dialogue audio")];
  const play = () => {
    const playing = sounds().find((sound) => !sound.paused);
    if (playing) playing.pause();
    else (sounds().find((sound) => sound.currentTime > 0 && !sound.ended) ?? sounds()[0])?.play();
  };
  document.addEventListener("ended", (event) => sounds()[sounds().indexOf(event.target) + 1]?.play(), true);
  const keys = {
    ArrowUp: () => focus(at - 1), k: () => focus(at - 1), ArrowDown: () => focus(at + 1), j: () => focus(at + 1),
    Enter: () => leave("#next"), ArrowRight: () => leave("#next"), ArrowLeft: () => leave("#previous"),
    n: () => document.querySelector("#note textarea")?.focus(), p: play,
    "?": () => { const told = document.querySelector("#keys"); told.open = !told.open; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target.matches("textarea, input[type=text]")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = "12345".includes(event.key) ? () => score(Number(event.key)) : keys[event.key];
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }, true);
})();
