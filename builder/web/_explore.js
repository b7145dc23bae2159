// The keys of the page: they press its buttons, unless somebody types, one after the other however slowly it answers.
(() => {
  const steps = [];
  let going = false;
  const go = () => {
    going = steps.length > 0;
    if (going) document.getElementById(steps.shift()).click();
  };
  window.explored = go;
  document.addEventListener("keydown", (event) => {
    const button = { j: "next", k: "previous", r: "random" }[event.key];
    const typing = event.target.closest("input, textarea, select, [contenteditable=true]");
    if (!button || typing || event.ctrlKey || event.metaKey || event.altKey || (event.repeat && going)) return;
    steps.push(button);
    if (!going) go();
  });
})();
