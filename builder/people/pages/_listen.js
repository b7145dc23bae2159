// The page of the listening study. What is chosen and what was heard lies in the page itself; a new trial is a new page.
document.addEventListener("DOMContentLoaded", () => {
  const all = (selector) => [...document.querySelectorAll(`#trial ${selector}`)];
  const trial = () => document.querySelector("#trial");
  const sound = (side) => all("audio").find((audio) => audio.dataset.side === side);
  const chosen = (question) => question.querySelector("input:checked")?.value;
  const unheard = () => all("audio").find((audio) => !audio.dataset.heard);
  const complete = () => trial() && !unheard() && all("fieldset").every((question) => chosen(question) !== undefined);
  let number, since, current, sending = false;

  const goTo = (place) => {
    current = Math.max(0, Math.min(place, all("fieldset").length - 1));
    all("fieldset").forEach((question, at) => question.classList.toggle("current", at === current));
  };
  const look = () => {
    const next = document.querySelector("#trial .next");
    if (next) next.disabled = !complete();
  };
  const show = (html) => {
    document.querySelector("#shown").innerHTML = html;
    number = trial()?.dataset.number;
    since = performance.now();
    if (number) goTo(0);
    look();
  };
  const ask = async (said) => {
    if (sending) return;
    sending = true;
    let fault = "the server does not answer. Try again.";
    try {
      const response = await fetch("/answer", { method: "POST", body: JSON.stringify(said) });
      if (response.ok) {
        show((await response.json()).trial);
        fault = "";
      } else fault = response.status === 401 ? "log in again in another tab." : await response.text();
    } catch { /* it is down or out of reach */ }
    document.querySelector("#said").textContent = fault && `The answer was not kept: ${fault}`;
    sending = false;
  };
  const play = (audio) => {
    all("audio").forEach((other) => other.pause());
    audio.currentTime = 0;
    audio.play().catch(() => {}); // stopped by the other, or broken, which its own event says
  };
  const mark = (audio, name, on = true) => audio.closest("section").classList.toggle(name, on);
  const send = () => {
    const [heardA, naturalA, heardB, naturalB, prefers] = all("fieldset").map(chosen);
    return ask({
      reply: {
        number: Number(number),
        heard: [heardA || null, heardB || null],
        naturalness: [Number(naturalA), Number(naturalB)],
        prefers,
        seconds: (performance.now() - since) / 1000,
        played: all("audio").map((audio) => Boolean(audio.dataset.heard)),
      },
    });
  };

  for (const [name, playing] of [["play", true], ["pause", false], ["ended", false]]) {
    document.addEventListener(name, ({ target }) => mark(target, "playing", playing), true);
  }
  document.addEventListener("ended", ({ target }) => {
    target.dataset.heard = "yes";
    mark(target, "heard");
    look();
  }, true);
  document.addEventListener("error", ({ target }) => target.dataset?.side && mark(target, "broken"), true);
  document.addEventListener("change", ({ target }) => {
    if (!target.closest("#trial fieldset")) return;
    goTo(all("fieldset").indexOf(target.closest("fieldset")));
    look();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.matches("#trial button")) target.blur(); // else Space would press it again
    if (target.matches("#trial .play")) play(sound(target.dataset.side));
    if (target.matches("#trial .next")) send();
    if (target.matches("#send")) send();
  });
  document.addEventListener("keydown", (event) => {
    if (!trial() || event.ctrlKey || event.altKey || event.metaKey) return;
    const key = event.key.toLowerCase();
    const option = [...all("fieldset")[current].querySelectorAll("input")].find((input) => input.dataset.key === key);
    if (sound(key)) play(sound(key));
    else if (key === " ") play(unheard() ?? sound("a"));
    else if (key === "enter") complete() && send();
    else if (key === "arrowdown") goTo(current + 1);
    else if (key === "arrowup") goTo(current - 1);
    else if (option) {
      option.checked = true;
      goTo(current + 1);
      look();
    } else return;
    event.preventDefault();
  });
  ask({});
});
